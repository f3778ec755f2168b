//! URLs that strangers hand in, as far as they can be judged without calling anybody.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
};

use reqwest::Url;

use super::address;
use crate::config::Network;

/// Longest URL, in bytes.
const LONGEST: usize = 8192;

/// Which schemes a URL may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Schemes {
    /// https alone.
    Https,
    /// http or https.
    HttpOrHttps,
}

/// A URL that may be called, unless its name turns out to lead to where nobody may.
#[derive(Clone, PartialEq, Eq)]
pub struct Target(Url);

impl fmt::Debug for Target {
    /// It may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Target {
    /// Reads a URL.
    ///
    /// # Errors
    /// What is wrong with it, to follow after "the URL".
    pub fn parse(text: &str, schemes: Schemes, allowed: &[Network]) -> Result<Self, &'static str> {
        if text.len() > LONGEST {
            return Err("is longer than 8192 bytes");
        }
        let url = Url::parse(text).map_err(|_| "cannot be read as one")?;
        match (url.scheme(), schemes) {
            ("https", _) | ("http", Schemes::HttpOrHttps) => {}
            (_, Schemes::Https) => return Err("must begin with https://"),
            (_, Schemes::HttpOrHttps) => return Err("must begin with https:// or http://"),
        }
        // Parsers of URLs forgive much; what is meant should be written.
        let scheme = format!("{}://", url.scheme());
        if text.get(..scheme.len()).is_none_or(|begin| !begin.eq_ignore_ascii_case(&scheme)) {
            return Err("must begin with its scheme and two slashes");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("must not hold a user name or a password");
        }
        if url.port() == Some(0) {
            return Err("has a port that nobody can listen on");
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or("names no host")?;
        let literal = match host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            Ok(address) => Some(address),
            Err(_) if is_this_machine(host) => Some(Ipv4Addr::LOCALHOST.into()),
            Err(_) => None,
        };
        if let Some(address) = literal {
            address::vet(address, allowed)
                .map_err(|_| "names an address that is not on the public Internet")?;
        }
        Ok(Self(url))
    }

    /// The URL, for the one who calls it. It may be a secret: never to be printed.
    pub(super) fn url(&self) -> &Url {
        &self.0
    }
}

/// Source: RFC 6761.
fn is_this_machine(host: &str) -> bool {
    let name = host.trim_end_matches('.');
    name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn verdict(text: &str) -> Result<(), &'static str> {
        Target::parse(text, Schemes::Https, &[]).map(|_| ())
    }

    #[test]
    fn urls_are_judged_before_anybody_is_called() {
        let private = Err("names an address that is not on the public Internet");
        for (url, judged) in [
            ("https://example.org/hook?a=b#c", Ok(())),
            ("https://example.org:8443/hook", Ok(())),
            ("HTTPS://EXAMPLE.ORG", Ok(())),
            ("https://8.8.8.8/", Ok(())),
            ("https://[2606:4700:4700::1111]/", Ok(())),
            ("http://example.org/", Err("must begin with https://")),
            ("ftp://example.org/", Err("must begin with https://")),
            ("file:///etc/passwd", Err("must begin with https://")),
            ("https://", Err("cannot be read as one")),
            ("https//example.org", Err("cannot be read as one")),
            ("https://exa mple.org", Err("cannot be read as one")),
            ("https://a:b@example.org/", Err("must not hold a user name or a password")),
            ("https://a@example.org/", Err("must not hold a user name or a password")),
            ("https://:b@example.org/", Err("must not hold a user name or a password")),
            ("https://example.org:0/", Err("has a port that nobody can listen on")),
            ("https://127.0.0.1/", private),
            ("https://127.1/", private),
            ("https://2130706433/", private),
            ("https://0x7f000001/", private),
            ("https://0177.0.0.1/", private),
            ("https://0/", private),
            ("https://\u{ff11}27.0.0.1/", private),
            ("https://10.0.0.1:8443/", private),
            ("https://169.254.169.254/latest/meta-data", private),
            ("https://[::1]/", private),
            ("https://[::ffff:127.0.0.1]/", private),
            ("https://[::ffff:7f00:1]/", private),
            ("https://[64:ff9b::7f00:1]/", private),
            ("https://[fd00::1]/", private),
            ("https://localhost/", private),
            ("https://LOCALHOST./", private),
            ("https://a.localhost/", private),
        ] {
            assert_eq!(verdict(url), judged, "{url}");
        }
        assert_eq!(
            verdict(&format!("https://example.org/{}", "a".repeat(9000))).err(),
            Some("is longer than 8192 bytes")
        );
    }

    #[test]
    fn images_may_be_at_http_too_and_allowed_networks_may_be_named() {
        let allowed = ["127.0.0.0/8".parse().unwrap()];
        for (url, is_fine) in [
            ("http://example.org/a.png", true),
            ("https://example.org/a.png", true),
            ("http://127.0.0.1:80/", true),
            ("http://localhost/", true),
            ("http://10.0.0.1/", false),
            ("data:image/png;base64,AAAA", false),
        ] {
            assert_eq!(Target::parse(url, Schemes::HttpOrHttps, &allowed).is_ok(), is_fine, "{url}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_target_or_none(text in "https?://.*|.*") {
            if let Ok(target) = Target::parse(&text, Schemes::HttpOrHttps, &[]) {
                let host = target.url().host_str().unwrap();
                prop_assert!(!host.is_empty() && target.url().username().is_empty());
            }
        }
    }
}
