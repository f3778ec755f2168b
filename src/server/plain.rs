//! Routes that are not the API: the console, documents about the API, pages, health, metrics, signed objects,
//! accounts for tests; and the one of the API whose body is no JSON, previews.

mod console;
mod docs;
mod documents;
mod file;
mod objects;
mod pages;
mod preview;
mod register;
mod test_users;

use std::net::SocketAddr;

use axum::{
    Router,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};

use super::health::Readiness;
use crate::{config::Config, rpc::Api, telemetry, transcode};

/// All plain routes of a broker that listens at an address.
pub fn router(config: &Config, api: &Api, is_ready: Readiness, address: SocketAddr) -> Router {
    let host = api.host.clone();
    let ready = move || {
        let (host, is_ready) = (host.clone(), is_ready.clone());
        async move {
            match is_ready.is_ready() && host.is_healthy().await {
                true => said(StatusCode::OK, "ready"),
                false => said(StatusCode::SERVICE_UNAVAILABLE, "not ready"),
            }
        }
    };
    let router = basics(config, address)
        .route("/readyz", get(ready))
        .merge(objects::router(api.objects.clone(), config.limits.max_body_bytes))
        .merge(preview::router(api))
        .merge(documents::router(config, api, address))
        .merge(pages::router())
        .merge(register::router(config, api, address));
    let router = match config.api.test_users {
        true => router.merge(test_users::router(api)),
        false => router,
    };
    router.method_not_allowed_fallback(async || {
        transcode::message(StatusCode::METHOD_NOT_ALLOWED, "The method is not allowed for the requested URL.")
    })
}

/// Those of a broker whose store is not open yet.
pub fn waiting(config: &Config, address: SocketAddr) -> Router {
    basics(config, address).route("/readyz", get(async || said(StatusCode::SERVICE_UNAVAILABLE, "not ready")))
}

/// Those that need no store.
fn basics(config: &Config, address: SocketAddr) -> Router {
    console::router(config, address)
        .merge(docs::router(config, address))
        .route("/health", get(async || said(StatusCode::OK, "ok")))
        .route("/livez", get(async || said(StatusCode::OK, "alive")))
        .route("/metrics", get(metrics))
}

fn said(status: StatusCode, word: &str) -> Response {
    let body = format!("{{\"status\": \"{word}\"}}\n");
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

async fn metrics() -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], telemetry::metrics()).into_response()
}
