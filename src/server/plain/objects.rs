//! Signed links: images are handed in by PUT and fetched by GET, by whoever has the link.

use axum::{
    Router,
    body::Body,
    extract::{Path, RawQuery, State},
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};

use crate::{
    domain::{Error, media::Format},
    host::Objects,
    rpc, transcode,
};

#[derive(Clone)]
struct Store {
    objects: Objects,
    max_bytes: usize,
}

/// The routes of all objects.
pub fn router(objects: Objects, max_bytes: usize) -> Router {
    let store = Store { objects, max_bytes };
    Router::new().route("/objects/{name}", get(fetch).put(hand_in)).with_state(store)
}

/// Refuses a link that was not made here, or whose time is over.
fn check(store: &Store, verb: &str, name: &str, query: Option<&str>) -> Result<(), Response> {
    let (mut expires, mut signature) = (None, None);
    for (key, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        match key.as_ref() {
            "expires" => expires = value.parse().ok(),
            "signature" => signature = Some(value),
            _ => {}
        }
    }
    let (Some(expires), Some(signature)) = (expires, signature) else {
        return Err(transcode::message(StatusCode::FORBIDDEN, "the link is not signed"));
    };
    match store.objects.is_signed(verb, name, expires, &signature) {
        true => Ok(()),
        false => Err(transcode::message(StatusCode::FORBIDDEN, "the link is not valid, or no longer")),
    }
}

fn failed(error: &Error) -> Response {
    transcode::error_response(&rpc::error::status(error))
}

async fn fetch(
    State(store): State<Store>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    method: Method,
) -> Response {
    // HEAD shows what GET would send.
    if let Err(refusal) = check(&store, "GET", &name, query.as_deref()) {
        return refusal;
    }
    let found = match method {
        Method::HEAD => {
            let described = store.objects.describe(&name).await;
            described.map(|found| found.map(|(format, size_bytes)| (format, size_bytes, Body::empty())))
        }
        _ => store.objects.get(&name).await.map(|found| {
            found.map(|content| (Format::of(&content), content.len() as u64, Body::from(content)))
        }),
    };
    match found {
        Ok(Some((format, size_bytes, body))) => {
            let headers = [
                // By the content itself: what workers say of it varies.
                (header::CONTENT_TYPE, format.content_type()),
                (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
                (header::CACHE_CONTROL, "private, max-age=1800"),
            ];
            (headers, [(header::CONTENT_LENGTH, size_bytes)], body).into_response()
        }
        Ok(None) => transcode::message(StatusCode::NOT_FOUND, "there is no such object (any more)"),
        Err(error) => failed(&error),
    }
}

async fn hand_in(
    State(store): State<Store>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Response {
    if let Err(refusal) = check(&store, "PUT", &name, query.as_deref()) {
        return refusal;
    }
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if declared.is_some_and(|length: usize| length > store.max_bytes) {
        return transcode::error_response(&transcode::too_large(store.max_bytes));
    }
    let content = match transcode::collect(body, store.max_bytes).await {
        Ok(content) => content,
        Err(refusal) => return refusal,
    };
    if content.is_empty() {
        return transcode::message(StatusCode::BAD_REQUEST, "the object is empty");
    }
    if let Err(error) = store.objects.may_hand_in(&name).await {
        return failed(&error);
    }
    match store.objects.put(&name, content).await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(error) => failed(&error),
    }
}
