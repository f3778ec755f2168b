//! Certificates for servers of tests, and who vouches for them.

use std::{net::Ipv4Addr, path::PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, SanType};

/// An authority, and a certificate that it gave out for this machine, as files.
pub struct Authority {
    dir: tempfile::TempDir,
}

impl Authority {
    /// A new one, whom nobody knows.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        let key = KeyPair::generate().expect("there is a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Each its own name, so that none is taken for another.
        params.distinguished_name.push(DnType::CommonName, format!("authority {}", uuid::Uuid::new_v4()));
        let authority = params.self_signed(&key).expect("it can be signed");
        let own = KeyPair::generate().expect("there is a key");
        let mut params = CertificateParams::new(vec!["localhost".into()]).expect("it is a name");
        params.distinguished_name.push(DnType::CommonName, "a server");
        params.subject_alt_names.push(SanType::IpAddress(Ipv4Addr::LOCALHOST.into()));
        let certificate = params.signed_by(&own, &authority, &key).expect("it can be signed");
        let made = Self { dir };
        for (path, text) in [
            (made.authority(), authority.pem()),
            (made.certificate(), certificate.pem()),
            (made.key(), own.serialize_pem()),
        ] {
            std::fs::write(path, text).expect("it can be written");
        }
        made
    }

    /// The authority's own certificate.
    pub fn authority(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// The certificate it gave out.
    pub fn certificate(&self) -> PathBuf {
        self.dir.path().join("cert.pem")
    }

    /// The key of that.
    pub fn key(&self) -> PathBuf {
        self.dir.path().join("key.pem")
    }
}
