//! The operator's documents as pages, and what this service is, for programs.
//!
//! A page loads nothing but its own style: the policy that it is sent with lets a browser do no more.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
    routing::get,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::{
    config::Config,
    domain::document::{Topic, escape},
    host::Documents,
    rpc::{self, Api},
};

const STYLE: &str = "body{max-width:46rem;margin:2rem auto;padding:0 1rem;font:1rem/1.6 system-ui,sans-serif;\
     color:#1c1e21;background:#fff}a{color:#0b57a4}nav{margin-bottom:2rem}\
     @media(prefers-color-scheme:dark){body{color:#e4e6ea;background:#16181c}a{color:#8ab8f0}}";

/// The version of the API that clients of the family know.
const API_VERSION: &str = "2.5";

/// The routes, of a broker that listens at an address.
pub fn router(config: &Config, api: &Api, address: SocketAddr) -> Router {
    let policy = policy();
    let pages = Topic::ALL.into_iter().fold(Router::new(), |router, topic| {
        let (documents, policy) = (api.documents.clone(), policy.clone());
        let page = move || {
            let (documents, policy) = (documents.clone(), policy.clone());
            async move { page(&documents, topic, policy).await }
        };
        router.route(&format!("/{}", topic.word()), get(page))
    });
    let info: Arc<[u8]> = info(config, &config.public_url(address)).into();
    pages.route("/.well-known/serviceinfo", get(async move || json_body(&info)))
}

fn policy() -> HeaderValue {
    let style = BASE64_STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; img-src 'self' data:; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy).expect("base64 is ASCII")
}

async fn page(documents: &Documents, topic: Topic, policy: HeaderValue) -> Response {
    let document = documents.get(topic).await;
    let service = escape(&documents.operator().title);
    let links: Vec<_> = Topic::ALL
        .iter()
        .map(|topic| format!("<a href=\"/{}\">{}</a>", topic.word(), topic.title()))
        .collect();
    let page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{} · {service}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <nav><a href=\"/\">{service}</a> · {}</nav>\n<main>\n{}\n</main>\n</body>\n</html>\n",
        topic.title(),
        links.join(" · "),
        document.html
    );
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    (headers, page).into_response()
}

/// What this service is. Source: the service info of the v2 contract.
fn info(config: &Config, url: &str) -> Vec<u8> {
    let said = |url: &Option<String>| url.clone().unwrap_or_default();
    rpc::json::to_vec(&json!({
        "version": "0.2",
        "software": {
            "name": "gridbroker",
            "version": env!("CARGO_PKG_VERSION"),
            "repository": said(&config.documents.repository_url),
            "homepage": url,
            "logo": said(&config.documents.logo_url),
        },
        "api": {
            "aihorde": {
                "name": config.documents.title,
                "version": API_VERSION,
                "base_url": format!("{url}/api/v2"),
                "rel_url": "/api/v2",
                "documentation": format!("{url}/api"),
            }
        }
    }))
}

fn json_body(body: &[u8]) -> Response {
    ([(header::CONTENT_TYPE, "application/json; charset=utf-8")], body.to_vec()).into_response()
}
