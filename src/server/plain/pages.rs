//! What pages for people have in common: their frame, their style, and the policy that they are sent with.
//!
//! They work without a script, and load nothing from elsewhere.

use axum::{
    Router,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};

const STYLE: &str = include_str!("pages/style.css");
const POLICY: &str = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; \
     frame-ancestors 'none'";

/// The route of their style.
pub fn router() -> Router {
    let headers = [
        (header::CONTENT_TYPE, "text/css; charset=utf-8"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "max-age=3600"),
    ];
    Router::new().route("/pages/style.css", get(async move || (headers, STYLE)))
}

/// A page; what stands in its body is markup.
pub fn page(status: StatusCode, title: &str, body: &str) -> Response {
    let html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<link rel=\"stylesheet\" href=\"/pages/style.css\">\n</head>\n\
         <body>\n<main>\n<h1>{title}</h1>\n{body}\n</main>\n</body>\n</html>\n",
        title = escaped(title)
    );
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
        // A page may hold a key.
        (header::CACHE_CONTROL, "no-store"),
    ];
    (status, headers, html).into_response()
}

/// Text that is no markup.
pub fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

/// Whether a form was sent by a page of somebody else: browsers say from where they send.
pub fn is_from_elsewhere(headers: &HeaderMap, host: Option<&str>, public: Option<&str>) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("null"));
    if let Some(site) = text("sec-fetch-site") {
        return !matches!(site, "same-origin" | "none");
    }
    let Some(origin) = text("origin") else { return false };
    let host = text("host").or(host);
    let is_here = origin.split_once("://").is_some_and(|(_, sender)| Some(sender) == host);
    !is_here && Some(origin) != public
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_taken_from_our_own_pages_and_from_no_browser_at_all() {
        for (sent, is_foreign, rule) in [
            (&[][..], false, "no browser"),
            (&[("sec-fetch-site", "same-origin")], false, "our page"),
            (&[("sec-fetch-site", "none")], false, "the address bar"),
            (&[("sec-fetch-site", "cross-site"), ("origin", "http://grid.example")], true, "somebody's page"),
            (&[("sec-fetch-site", "same-site")], true, "a neighbour's page"),
            (&[("origin", "http://grid.example"), ("host", "grid.example")], false, "an older browser"),
            (&[("origin", "https://public.example"), ("host", "inside")], false, "behind a proxy"),
            (&[("origin", "http://evil.example"), ("host", "grid.example")], true, "another host"),
            (&[("origin", "null"), ("host", "grid.example")], true, "a page that hides"),
        ] {
            let headers: HeaderMap =
                sent.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
            assert_eq!(
                is_from_elsewhere(&headers, None, Some("https://public.example")),
                is_foreign,
                "{rule}"
            );
        }
    }

    #[test]
    fn text_is_no_markup() {
        assert_eq!(escaped("<b a='\"'>&"), "&lt;b a=&#39;&quot;&#39;&gt;&amp;");
    }
}
