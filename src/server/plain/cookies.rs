//! Cookies: what browsers keep for the pages at which people sign in and register.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, header};

/// A cookie. Scripts do not see it, other sites' forms do not bring it along, and over https it belongs to this host
/// alone: a neighbour within the same domain cannot set it.
#[derive(Clone, Copy)]
pub struct Cookie {
    /// Its name over http.
    name: &'static str,
    /// Its name over https. Source: cookie name prefixes of RFC 6265bis, 4.1.3.
    secure_name: &'static str,
    is_secure: bool,
}

impl Cookie {
    /// What somebody has on their way to a provider.
    pub fn pass(is_secure: bool) -> Self {
        Self { name: "gridbroker-pass", secure_name: "__Host-gridbroker-pass", is_secure }
    }

    /// Who is signed in.
    pub fn session(is_secure: bool) -> Self {
        Self { name: "gridbroker-session", secure_name: "__Host-gridbroker-session", is_secure }
    }

    fn own_name(self) -> &'static str {
        if self.is_secure { self.secure_name } else { self.name }
    }

    /// Its value among those that a browser sends.
    pub fn of(self, headers: &HeaderMap) -> Option<&str> {
        let sent = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs =
            sent.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(name, _)| *name == self.own_name()).map(|(_, value)| value)
    }

    /// Has a browser keep a value for so long. It is one that stands in a header as it is.
    pub fn set(self, value: &str, lasts: Duration) -> HeaderValue {
        let secure = if self.is_secure { "; Secure" } else { "" };
        let (name, seconds) = (self.own_name(), lasts.as_secs());
        let cookie = format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
        HeaderValue::from_str(&cookie).unwrap_or(HeaderValue::from_static(""))
    }

    /// Has a browser forget it.
    pub fn clear(self) -> HeaderValue {
        self.set("", Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_for_this_host_and_no_script() {
        let lasts = Duration::from_secs(600);
        assert_eq!(
            Cookie::pass(false).set("a.b", lasts),
            "gridbroker-pass=a.b; Path=/; Max-Age=600; HttpOnly; SameSite=Lax"
        );
        assert_eq!(
            Cookie::session(true).set("a.b", lasts),
            "__Host-gridbroker-session=a.b; Path=/; Max-Age=600; HttpOnly; SameSite=Lax; Secure"
        );
        assert_eq!(
            Cookie::session(true).clear(),
            "__Host-gridbroker-session=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax; Secure"
        );
    }

    #[test]
    fn a_cookie_is_found_among_others_by_its_whole_name() {
        for (sent, found) in [
            (&["gridbroker-session=a"][..], Some("a")),
            (&["theme=dark; gridbroker-session=a.b=; x=y"], Some("a.b=")),
            (&["theme=dark", "gridbroker-session=a"], Some("a")),
            (&["xgridbroker-session=a; gridbroker-session2=b; gridbroker-session"], None),
            (&["__Host-gridbroker-session=a"], None),
            (&[], None),
        ] {
            let mut headers = HeaderMap::new();
            for value in sent {
                headers.append(header::COOKIE, value.parse().unwrap());
            }
            assert_eq!(Cookie::session(false).of(&headers), found, "{sent:?}");
        }
    }
}
