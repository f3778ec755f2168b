//! How the API meets its callers.

use std::{path::PathBuf, time::Duration};

use super::{Complaints, LONGEST_SECONDS, Network, Secret};
use crate::domain::{key_salt::KeySalt, route};

/// Fewest bytes of a secret that signs.
const SHORTEST_SECRET: usize = 16;
/// Most salts of keys.
const MOST_SALTS: usize = 8;

/// Headers, origins, waits, and what the API reaches for.
#[derive(Clone, PartialEq, Debug)]
pub struct Api {
    /// Header that carries the API key, in lower case.
    pub api_key_header: String,
    /// Origins that browsers may call from; `*` stands for all.
    pub cors_origins: Vec<String>,
    /// Longest time that a pop without a job is held, in seconds; 0 answers at once.
    pub long_poll_timeout: u64,
    /// Whether accounts for tests can be made over HTTP, from this machine only.
    pub test_users: bool,
    /// Networks that the guarded client may reach although they are private.
    pub fetch_allow: Vec<Network>,
    /// PEM file of authorities that the guarded client believes beside those of the system.
    pub fetch_ca: Option<PathBuf>,
    /// What webhooks are signed with; `None`: they are not signed.
    pub webhook_secret: Option<Secret>,
    /// What another server, whose accounts were imported, hashed their keys with: they stay valid.
    pub key_salts: Vec<Secret>,
    /// Files that replace the built-in model reference; none: the built-in one.
    pub model_reference: Vec<PathBuf>,
    /// Whether requests that name workers need kudos up front.
    pub upfront_kudos_on_worker_list: bool,
    /// Whether requests that name the workers they are for go to those alone that serve who asks first.
    pub require_matched_targeting: bool,
    /// Base of the server that answers what this one does not: calls are passed on. `None`: nothing is.
    pub legacy_upstream: Option<String>,
    /// Paths that are passed on although they are answered here, each with all that lies below.
    pub legacy_paths: Vec<String>,
}

impl Default for Api {
    fn default() -> Self {
        Self {
            api_key_header: "apikey".into(),
            cors_origins: vec!["*".into()],
            long_poll_timeout: 30,
            test_users: false,
            fetch_allow: Vec::new(),
            fetch_ca: None,
            webhook_secret: None,
            key_salts: Vec::new(),
            model_reference: Vec::new(),
            upfront_kudos_on_worker_list: false,
            require_matched_targeting: false,
            legacy_upstream: None,
            legacy_paths: Vec::new(),
        }
    }
}

impl Api {
    /// `long_poll_timeout` as a span.
    pub fn long_poll(&self) -> Duration {
        Duration::from_secs(self.long_poll_timeout)
    }

    /// `key_salts` for the one who looks keys up.
    pub fn salts(&self) -> Vec<KeySalt> {
        self.key_salts.iter().map(|salt| KeySalt::new(salt.expose())).collect()
    }

    pub(super) fn check(&self, complaints: &mut Complaints) {
        if let Some(url) = &self.legacy_upstream
            && let Err(problem) = is_upstream(url)
        {
            complaints.about("legacy_upstream", problem);
        }
        if self.legacy_upstream.is_none() && !self.legacy_paths.is_empty() {
            complaints.about("legacy_paths", "set without legacy_upstream; set both, or none");
        }
        for path in &self.legacy_paths {
            if let Err(problem) = route::check(path) {
                complaints.about("legacy_paths", format!("{path:?}: {problem}"));
            }
        }
        let is_header_char = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        if self.api_key_header.is_empty() || !self.api_key_header.chars().all(is_header_char) {
            complaints.about(
                "api_key_header",
                "must be a header name: lower-case letters, digits, dashes and underscores",
            );
        }
        for origin in &self.cors_origins {
            if !is_origin(origin) {
                complaints.about(
                    "cors_origins",
                    format!("{origin:?} is no origin; write \"*\", or scheme://host, perhaps with :port"),
                );
            }
        }
        if self.long_poll_timeout > LONGEST_SECONDS {
            complaints
                .about("long_poll_timeout", format!("is more than a day; give at most {LONGEST_SECONDS}"));
        }
        if self.key_salts.len() > MOST_SALTS {
            complaints.about(
                "key_salts",
                format!(
                    "are more than {MOST_SALTS}, and each key that is not known is tried with all of them"
                ),
            );
        }
        if self.webhook_secret.as_ref().is_some_and(|secret| secret.expose().len() < SHORTEST_SECRET) {
            complaints.about(
                "webhook_secret",
                format!("is too short to be secret; give at least {SHORTEST_SECRET} characters"),
            );
        }
    }
}

/// An origin has a scheme and a host, and no path.
fn is_origin(origin: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, '/' | '?' | '#' | '@' | ',');
    origin == "*"
        || origin.split_once("://").is_some_and(|(scheme, host)| {
            !scheme.is_empty() && !host.is_empty() && host.chars().all(is_plain)
        })
}

/// Whether calls can be passed on to it.
fn is_upstream(url: &str) -> Result<(), &'static str> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let rest = rest.ok_or("must begin with http:// or https://, such as http://10.0.0.7:7001")?;
    if rest.is_empty() || rest.starts_with(['/', ':']) {
        return Err("has no host; write it as http://10.0.0.7:7001");
    }
    if rest.contains(['?', '#', '@', '\\', '%'])
        || !rest.chars().all(|c| c.is_ascii_graphic())
        || rest.contains("/.")
    {
        return Err("must be a scheme, a host and perhaps a port and a path, nothing else");
    }
    Ok(())
}
