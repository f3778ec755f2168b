//! The listener, its addresses, and how it stops.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use reqwest::Url;

use super::{Complaints, LONGEST_SECONDS};

/// Where the broker listens and how it is reached.
#[derive(Clone, PartialEq, Debug)]
pub struct Server {
    /// Address and port of every face of the API. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Base of signed links, as clients reach it; `None`: the scheme and the bound address. Where people sign in it
    /// is set, unless `listen` is on this machine alone, and has no path.
    /// See [`Config::public_url`](super::Config::public_url).
    pub public_url: Option<String>,
    /// PEM file with the certificate chain; set if and only if `tls_key` is.
    pub tls_cert: Option<PathBuf>,
    /// PEM file with the private key.
    pub tls_key: Option<PathBuf>,
    /// Longest wait for open calls and streams when the broker stops, in seconds.
    pub drain_seconds: u64,
    /// Threads that serve calls; 0: as many as there are cores.
    pub worker_threads: usize,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 7001)),
            public_url: None,
            tls_cert: None,
            tls_key: None,
            drain_seconds: 10,
            worker_threads: 0,
        }
    }
}

impl Server {
    /// Whether connections are encrypted.
    pub fn has_tls(&self) -> bool {
        self.tls_cert.is_some()
    }

    /// `drain_seconds` as a span.
    pub fn drain(&self) -> Duration {
        Duration::from_secs(self.drain_seconds)
    }

    pub(super) fn check(&self, complaints: &mut Complaints) {
        if let Some(url) = &self.public_url
            && let Err(problem) = is_base_url(url)
        {
            complaints.about("public_url", problem);
        }
        match (&self.tls_cert, &self.tls_key) {
            (Some(_), None) => {
                complaints.about("tls_cert", "set without tls_key; set both, or none to serve without TLS");
            }
            (None, Some(_)) => {
                complaints.about("tls_key", "set without tls_cert; set both, or none to serve without TLS");
            }
            _ => {}
        }
        if self.drain_seconds > LONGEST_SECONDS {
            complaints.about("drain_seconds", format!("is more than a day; give at most {LONGEST_SECONDS}"));
        }
        if self.worker_threads > 1024 {
            complaints.about("worker_threads", "is more than 1024; 0 takes as many as there are cores");
        }
    }
}

/// Whether links may begin with it.
fn is_base_url(url: &str) -> Result<(), &'static str> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let rest = rest.ok_or("must begin with http:// or https://, such as https://grid.example.org")?;
    if rest.is_empty() || rest.starts_with('/') {
        return Err("has no host; write it as https://grid.example.org");
    }
    if rest.contains(['?', '#', '@', '\\']) || rest.contains(char::is_whitespace) {
        return Err("must be a scheme, a host and perhaps a path, nothing else");
    }
    Url::parse(url).map(drop).map_err(|_| "cannot be read as a URL; check its host and its port (1 to 65535)")
}
