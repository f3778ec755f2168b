//! A webhook that is due: somebody wants to be told of a delivered job.

use super::{AttemptId, RequestId, Timestamp};

/// Told at least once, until it is taken or was tried often enough. What is told, and where, is in the
/// request and its result.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Webhook {
    /// The attempt that delivered the job.
    pub attempt: AttemptId,
    /// Whose job it was.
    pub request: RequestId,
    /// Host that is called: so many calls of one may be out at a time.
    pub host: String,
    /// Calls that were begun.
    pub tries: u32,
    /// When the job was delivered.
    pub made_at: Timestamp,
}

/// The host of a URL that was checked, as far as it takes to tell hosts apart.
pub fn host_of(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    host.trim_end_matches('.').to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_the_same_however_it_is_written() {
        for (url, host) in [
            ("https://example.org/hook", "example.org"),
            ("https://Example.ORG.:8443?x=1", "example.org"),
            ("https://example.org", "example.org"),
            ("https://example.org#a/b", "example.org"),
            ("https://8.8.8.8:1/", "8.8.8.8"),
            ("https://[::1]:1/", "[::1]"),
        ] {
            assert_eq!(host_of(url), host, "{url}");
        }
    }
}
