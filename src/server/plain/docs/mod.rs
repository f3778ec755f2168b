//! Documents about the API: for programs as OpenAPI 3.1 and Swagger 2.0, for people as a page.
//!
//! The page is made of the OpenAPI document and is HTML alone: no script, nothing from elsewhere, and its
//! search is a form.

mod page;
mod parts;

use std::{
    future::ready,
    net::SocketAddr,
    sync::{Arc, OnceLock},
};

use axum::{
    Router,
    extract::RawQuery,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::IntoResponse,
    routing::{MethodRouter, get},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::Value;
use sha2::{Digest, Sha256};

use self::page::Page;
use super::file::File;
use crate::{config::Config, rpc::json, transcode};

/// Longest text that is searched for, in characters; what is beyond is not looked at.
const LONGEST_SEARCH: usize = 100;

/// What is said here.
struct Docs {
    openapi: File,
    swagger: File,
    page: Page,
    /// The page without a search.
    whole: File,
}

/// The same, made when it is asked for first.
struct Lazy {
    title: String,
    key_header: String,
    /// The base of the broker's URLs.
    base: String,
    made: OnceLock<Docs>,
}

impl Lazy {
    fn get(&self) -> &Docs {
        self.made.get_or_init(|| Docs::new(&self.title, &self.key_header, &self.base))
    }
}

/// The routes of the documents of a broker that listens at an address.
pub fn router(config: &Config, address: SocketAddr) -> Router {
    let docs = Lazy {
        title: config.documents.title.clone(),
        key_header: config.api.api_key_header.clone(),
        base: config.public_url(address),
        made: OnceLock::new(),
    };
    let docs = Arc::new(docs);
    let file = |pick: fn(&Docs) -> &File| {
        let docs = docs.clone();
        route(get(move |headers: HeaderMap| ready(pick(docs.get()).answer(&headers))))
    };
    let (openapi, swagger) = (file(|docs| &docs.openapi), file(|docs| &docs.swagger));
    let page = get(move |RawQuery(query): RawQuery, headers: HeaderMap| {
        let docs = docs.get();
        ready(match searched(query.as_deref()) {
            None => docs.whole.answer(&headers),
            Some(words) => page_file(docs.page.render(&words)).answer(&headers),
        })
    });
    Router::new()
        .route("/api/openapi.json", openapi)
        .route("/api/swagger.json", swagger)
        .route("/api/", route(page))
        .route("/api", route(get(async || (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, "/api/")]))))
}

/// Answers OPTIONS as all of the API does.
fn route(routes: MethodRouter) -> MethodRouter {
    routes.options(async || ([(header::ALLOW, "GET, HEAD, OPTIONS")], StatusCode::OK).into_response())
}

/// What is searched for, if it is anything.
fn searched(query: Option<&str>) -> Option<String> {
    let (_, words) = form_urlencoded::parse(query?.as_bytes()).find(|(name, _)| name == "q")?;
    let words: String = words.trim().chars().take(LONGEST_SEARCH).collect();
    (!words.is_empty()).then_some(words)
}

impl Docs {
    fn new(title: &str, key_header: &str, base: &str) -> Self {
        let mut openapi = read(transcode::OPENAPI);
        let mut swagger = read(transcode::SWAGGER);
        openapi["info"]["title"] = title.into();
        openapi["components"]["securitySchemes"]["ApiKey"]["name"] = key_header.into();
        swagger["info"]["title"] = title.into();
        swagger["securityDefinitions"]["ApiKey"]["name"] = key_header.into();
        let data = |document: &Value| {
            let policy = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
            File::new("application/json; charset=utf-8", json::to_vec(document), policy)
        };
        let page = Page::new(&openapi, base);
        let whole = page_file(page.render(""));
        Self { openapi: data(&openapi), swagger: data(&swagger), page, whole }
    }
}

fn read(document: &str) -> Value {
    serde_json::from_str(document).expect("the build writes JSON")
}

/// The page, with a policy that lets in its own style and nothing else.
fn page_file(html: String) -> File {
    let digest = BASE64_STANDARD.encode(Sha256::digest(page::STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    );
    let policy = HeaderValue::from_str(&policy).expect("base64 is ASCII");
    File::new("text/html; charset=utf-8", html, policy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_is_a_text_that_is_not_empty_and_not_endless() {
        let long = format!("q={}", "x".repeat(5000));
        for (query, expected) in [
            (None, None),
            (Some(""), None),
            (Some("q="), None),
            (Some("q=+%20"), None),
            (Some("a=b&q=pop+image"), Some("pop image".to_owned())),
            (Some("q=%3Cscript%3E"), Some("<script>".to_owned())),
            (Some(long.as_str()), Some("x".repeat(LONGEST_SEARCH))),
        ] {
            assert_eq!(searched(query), expected, "{query:?}");
        }
    }

    #[test]
    fn documents_bear_the_title_and_the_header_that_are_set() {
        let docs = Docs::new("Our <grid>", "x-key", "https://grid.example.org");
        let html = docs.page.render("");
        assert!(html.contains("<title>Our &lt;grid&gt;") && !html.contains("Our <grid>"), "it is escaped");
        assert!(
            html.contains("-H &#39;x-key: 0000000000&#39;"),
            "curl sends the key in the header that is set"
        );
        assert!(html.contains("https://grid.example.org/api/v2/generate/async"), "at the URL that is set");
    }
}
