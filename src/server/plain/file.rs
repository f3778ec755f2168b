//! Files that are served from memory, and not sent again to those who have them.

use axum::{
    body::Bytes,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use sha2::{Digest, Sha256};

/// A file, ready to be sent.
#[derive(Clone)]
pub struct File {
    content: Bytes,
    kind: &'static str,
    tag: HeaderValue,
    policy: HeaderValue,
}

impl File {
    /// A file of this type, which browsers treat by this policy (CSP).
    pub fn new(kind: &'static str, content: impl Into<Bytes>, policy: HeaderValue) -> Self {
        let content = content.into();
        let digest: String =
            Sha256::digest(&content)[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        let tag = HeaderValue::from_str(&format!("\"{digest}\"")).expect("hexadecimal digits are ASCII");
        Self { content, kind, tag, policy }
    }

    /// The answer to who asks for it with these headers.
    pub fn answer(&self, asked: &HeaderMap) -> Response {
        let is_known = has(asked, &self.tag);
        let headers = [
            (header::ETAG, self.tag.clone()),
            // A new broker may come with new files: each use asks whether the old ones will do.
            (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
            (header::CONTENT_SECURITY_POLICY, self.policy.clone()),
            (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
            (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        ];
        match is_known {
            true => (StatusCode::NOT_MODIFIED, headers).into_response(),
            false => (headers, [(header::CONTENT_TYPE, self.kind)], self.content.clone()).into_response(),
        }
    }
}

/// Whether the caller has this file already, by `If-None-Match` (RFC 9110, 13.1.2: compared weakly).
fn has(asked: &HeaderMap, tag: &HeaderValue) -> bool {
    let listed = asked.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut tags = listed.flat_map(|value| value.split(',')).map(str::trim);
    tags.any(|one| one == "*" || one.trim_start_matches("W/").as_bytes() == tag.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_the_caller_has_is_not_sent_again() {
        let tag = HeaderValue::from_static("\"abc\"");
        for (asked, expected) in [
            ("\"abc\"", true),
            ("\"x\", \"abc\"", true),
            ("W/\"abc\"", true),
            ("*", true),
            ("\"ab\"", false),
            ("abc", false),
            ("", false),
        ] {
            let asked = HeaderMap::from_iter([(header::IF_NONE_MATCH, asked.parse().unwrap())]);
            assert_eq!(has(&asked, &tag), expected, "{asked:?}");
        }
        assert!(!has(&HeaderMap::new(), &tag));
    }
}
