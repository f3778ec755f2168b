//! The one client that calls addresses which strangers chose.
//!
//! A name is resolved once for each call, every address that it has is vetted, and the connection is made
//! to one of those: what the name leads to a moment later does not matter. If one of a name's addresses is
//! not public the name is refused as a whole, as whoever wrote it meant no good.
//!
//! Connections are not kept: the next call is vetted anew.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use reqwest::{
    Response, StatusCode,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect::Policy,
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject},
};
use tokio::sync::Semaphore;

use super::{Schemes, Target, address};
use crate::config::{Api, Network};

/// Names that are looked up at a time. A look-up cannot be called off, so one that nobody waits for any
/// more still counts.
const LOOKUPS: usize = 64;
/// Most addresses of a name.
const MAX_ADDRESSES: usize = 64;

/// Why a call came to nothing. The texts go on after "it", and hold nothing of the URL.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Trouble {
    /// The name leads to an address that may not be called. Told in the same words as a name that
    /// leads nowhere: else anybody could ask which names there are within the operator's network.
    #[error("cannot be reached at a public address")]
    NotPublic,
    /// Nobody answers, or not in HTTP, or the certificate is not believed.
    #[error("cannot be reached at a public address")]
    Unreachable,
    /// The answer did not come in time, or not whole.
    #[error("does not answer in time")]
    TooSlow,
    /// The answer leads elsewhere.
    #[error("leads to another address; give that one")]
    Redirected,
    /// Any other answer than success.
    #[error("answers with status {0}")]
    Status(u16),
    /// The answer is larger than it may be.
    #[error("is larger than it may be")]
    TooLarge,
}

impl Trouble {
    /// A word for metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::NotPublic => "not_public",
            Self::Unreachable => "unreachable",
            Self::TooSlow => "too_slow",
            Self::Redirected => "redirected",
            Self::Status(_) => "status",
            Self::TooLarge => "too_large",
        }
    }
}

/// The client. Cheap to clone.
#[derive(Clone)]
pub struct Guarded {
    http: reqwest::Client,
    allowed: Arc<[Network]>,
}

impl Guarded {
    /// A client as the settings say.
    ///
    /// # Errors
    /// `fetch_ca` cannot be read; what is wrong, for the operator.
    pub fn new(settings: &Api) -> Result<Self, String> {
        let allowed: Arc<[Network]> = settings.fetch_allow.as_slice().into();
        let resolver = Resolver { allowed: allowed.clone(), lookups: Arc::new(Semaphore::new(LOOKUPS)) };
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls(settings)?)
            .dns_resolver(resolver)
            .redirect(Policy::none())
            .no_proxy()
            .referer(false)
            .http1_only()
            .pool_max_idle_per_host(0)
            .user_agent(concat!("gridbroker/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| format!("no client can be made: {error}"))?;
        Ok(Self { http, allowed })
    }

    /// Reads a URL that this client may call.
    ///
    /// # Errors
    /// As [`Target::parse`].
    pub fn target(&self, text: &str, schemes: Schemes) -> Result<Target, &'static str> {
        Target::parse(text, schemes, &self.allowed)
    }

    /// What is at a URL, if it comes whole within the deadline and is no larger than so many bytes.
    ///
    /// # Errors
    /// Any [`Trouble`].
    pub async fn fetch(
        &self,
        target: &Target,
        accept: &str,
        most: usize,
        deadline: Duration,
    ) -> Result<Bytes, Trouble> {
        let request = self.http.get(target.url().clone()).timeout(deadline).header("accept", accept);
        let answer = successful(request.send().await)?;
        if answer.content_length().is_some_and(|length| length > most as u64) {
            return Err(Trouble::TooLarge);
        }
        // What is told beforehand need not be so.
        let mut content = BytesMut::new();
        let mut chunks = answer.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| trouble(&error))?;
            if content.len() + chunk.len() > most {
                return Err(Trouble::TooLarge);
            }
            content.extend_from_slice(&chunk);
        }
        Ok(content.freeze())
    }

    /// Hands a JSON body to a URL. What the answer says besides its status is not read.
    ///
    /// # Errors
    /// Any [`Trouble`] but `TooLarge`.
    pub async fn post(
        &self,
        target: &Target,
        headers: &[(&'static str, String)],
        body: Bytes,
        deadline: Duration,
    ) -> Result<(), Trouble> {
        let request = self.http.post(target.url().clone()).timeout(deadline);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, value));
        let request = request.header("content-type", "application/json").body(body);
        successful(request.send().await).map(|_| ())
    }
}

fn successful(outcome: reqwest::Result<Response>) -> Result<Response, Trouble> {
    let answer = outcome.map_err(|error| trouble(&error))?;
    match answer.status() {
        status if status.is_success() => Ok(answer),
        // All others of the kind lead elsewhere.
        status if status.is_redirection() && status != StatusCode::NOT_MODIFIED => Err(Trouble::Redirected),
        status => Err(Trouble::Status(status.as_u16())),
    }
}

fn trouble(error: &reqwest::Error) -> Trouble {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<NotPublic>() {
            return Trouble::NotPublic;
        }
        cause = error.source();
    }
    if error.is_timeout() { Trouble::TooSlow } else { Trouble::Unreachable }
}

/// The system's authorities and those of `fetch_ca`.
pub(super) fn tls(settings: &Api) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    // A system without any can still call http, or rely on `fetch_ca` alone.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = &settings.fetch_ca {
        let shown = path.display();
        let unreadable = |error| format!("fetch_ca: {shown} cannot be read as PEM: {error}");
        let certificates: Vec<_> =
            CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(unreadable)?;
        let (added, ignored) = roots.add_parsable_certificates(certificates);
        if added == 0 || ignored > 0 {
            return Err(format!("fetch_ca: {shown} must hold certificates of authorities, and nothing else"));
        }
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// A name has an address that may not be called.
#[derive(Debug, thiserror::Error)]
#[error("not all addresses are public")]
struct NotPublic;

/// Resolves names to addresses that were vetted, or not at all.
struct Resolver {
    allowed: Arc<[Network]>,
    lookups: Arc<Semaphore>,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (allowed, lookups) = (self.allowed.clone(), self.lookups.clone());
        Box::pin(async move {
            let turn = lookups.acquire_owned().await?;
            let lookup = tokio::spawn(async move {
                let found = tokio::net::lookup_host((name.as_str(), 0)).await;
                drop(turn);
                found.map(|found| found.take(MAX_ADDRESSES).collect::<Vec<_>>())
            });
            let found = lookup.await??;
            vetted(&found, &allowed)?;
            let addresses: Addrs = Box::new(found.into_iter());
            Ok(addresses)
        })
    }
}

fn vetted(addresses: &[SocketAddr], allowed: &[Network]) -> Result<(), NotPublic> {
    match addresses.iter().all(|found| address::vet(found.ip(), allowed).is_ok()) {
        true => Ok(()),
        false => Err(NotPublic),
    }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use super::*;

    async fn resolved(name: &str, allowed: &[&str]) -> Result<Vec<SocketAddr>, bool> {
        let allowed = allowed.iter().map(|network| network.parse().unwrap()).collect();
        let resolver = Resolver { allowed, lookups: Arc::new(Semaphore::new(1)) };
        let found = resolver.resolve(Name::from_str(name).unwrap()).await;
        found.map(Iterator::collect).map_err(|error| error.is::<NotPublic>())
    }

    #[tokio::test]
    async fn a_name_is_as_good_as_the_worst_of_its_addresses() {
        assert_eq!(resolved("localhost", &[]).await, Err(true), "it leads to this machine");
        let found = resolved("localhost", &["127.0.0.0/8", "::1"]).await.unwrap();
        assert!(!found.is_empty() && found.iter().all(|address| address.ip().is_loopback()));
        assert_eq!(resolved("no-such-name.invalid", &[]).await, Err(false), "it leads nowhere");
        let addresses = ["8.8.8.8:0", "127.0.0.1:0"].map(|address| address.parse().unwrap());
        assert!(vetted(&addresses[..1], &[]).is_ok());
        assert!(vetted(&addresses, &[]).is_err(), "one of both is enough");
    }

    #[tokio::test]
    async fn a_name_that_is_not_public_is_not_connected_to() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://localhost:{}/", listener.local_addr().unwrap().port());
        let settings = Api { fetch_allow: vec!["127.0.0.0/8".parse().unwrap()], ..Api::default() };
        // As if the name had led elsewhere when it was looked at first.
        let target = Guarded::new(&settings).unwrap().target(&url, Schemes::HttpOrHttps).unwrap();
        let guarded = Guarded::new(&Api::default()).unwrap();
        let fetched = guarded.fetch(&target, "*/*", 100, Duration::from_secs(5)).await;
        assert_eq!(fetched, Err(Trouble::NotPublic));
        let connected = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
        assert!(connected.is_err(), "nobody came");
    }

    #[test]
    fn authorities_are_read_from_a_file_or_told_to_be_unreadable() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            Guarded::new(&Api { fetch_ca: Some(path), ..Api::default() }).map(|_| ())
        };
        let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
        assert_eq!(file("ca.pem", &made.cert.pem()), Ok(()));
        for (name, text) in [("empty.pem", String::new()), ("key.pem", made.key_pair.serialize_pem())] {
            let problem = file(name, &text).unwrap_err();
            assert!(problem.starts_with("fetch_ca: ") && problem.contains(name), "{problem}");
        }
        let missing = Api { fetch_ca: Some(dir.path().join("missing.pem")), ..Api::default() };
        assert!(Guarded::new(&missing).is_err_and(|problem| problem.contains("missing.pem")));
    }
}
