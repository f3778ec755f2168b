//! HTTP/JSON ⇄ gRPC, from the `google.api.http` options of the protos. Knows descriptors, not jobs.
//!
//! `codegen/` runs inside `build.rs` and writes one route for each binding; a route is a call into
//! `unary` or `stream` with the RPC's rule and the service's own method, in process. So the two
//! faces cannot differ in what they do, only in how it is written down: `binding.rs` reads a request,
//! `error.rs` and `stream.rs` write what comes back, `mask.rs` cuts it down to what was asked for.

mod binding;
mod body;
mod error;
mod mask;
#[cfg(test)]
mod properties;
mod stream;

use std::{future::Future, sync::Arc};

use axum::{
    body::Body,
    extract::{FromRequest, RawPathParams, Request},
    http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
    routing::MethodRouter,
};
use serde::Serialize;
use tonic::{Status, metadata::MetadataMap};

use crate::rpc::{
    gate::{Admitted, Gate},
    json, pb,
    rules::{self, Binding, HttpStatus, MethodRule},
};

use mask::Mask;

pub use binding::Input;
pub use body::{collect, too_large, too_slow};
pub use error::{message, respond as error_response};
pub use stream::Event;

/// The API as an OpenAPI 3.1 document.
pub const OPENAPI: &str = include_str!(concat!(env!("OUT_DIR"), "/openapi.json"));
/// The same in the older form, Swagger 2.0.
pub const SWAGGER: &str = include_str!(concat!(env!("OUT_DIR"), "/swagger.json"));

/// What all routes share.
#[derive(Clone)]
pub struct Door {
    /// Asked before a call is read.
    pub gate: Arc<dyn Gate>,
    /// Largest body, in bytes.
    pub max_body_bytes: usize,
}

/// Which RPC a route leads to, and how.
#[derive(Clone, Copy)]
pub struct Target {
    /// The RPC's rule.
    pub rule: &'static MethodRule,
    /// How it was reached.
    pub binding: &'static Binding,
}

/// A request on its way in.
pub struct Incoming {
    captures: Vec<(String, String)>,
    request: Request,
}

impl FromRequest<()> for Incoming {
    type Rejection = Response;

    async fn from_request(request: Request, _: &()) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let captures =
            <RawPathParams as axum::extract::FromRequestParts<()>>::from_request_parts(&mut parts, &())
                .await
                .map_err(|_| message(StatusCode::NOT_FOUND, "the path is not UTF-8"))?;
        let captures = captures.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Ok(Self { captures, request: Request::from_parts(parts, body) })
    }
}

/// A call whose headers were taken apart.
struct Opened<T> {
    request: tonic::Request<T>,
    mask: Option<Mask>,
    accept: Option<HeaderValue>,
    limits: HeaderMap,
}

async fn open<T: Input>(door: &Door, target: Target, incoming: Incoming) -> Result<Opened<T>, Response> {
    let Incoming { captures, request } = incoming;
    let (mut parts, body) = request.into_parts();
    let limits = door
        .gate
        .admit(target.rule, parts.uri.path(), &parts.headers, &parts.extensions)
        .map_err(|refusal| with_headers(error::respond(&refusal.0), refusal.1))?;
    let refuse = |refusal| with_headers(refusal, limits.clone());
    let mask = parts.headers.get("x-fields").map(mask::read).transpose();
    let mask = mask.map_err(|text| refuse(message(StatusCode::BAD_REQUEST, &text)))?;
    let input = binding::read::<T>(door, target, &parts, body, &captures).await.map_err(refuse)?;
    let accept = parts.headers.get(header::ACCEPT).cloned();
    let metadata = MetadataMap::from_headers(parts.headers);
    parts.extensions.insert(Admitted);
    let request = tonic::Request::from_parts(metadata, parts.extensions, input);
    Ok(Opened { request, mask, accept, limits })
}

/// Adds headers to a response. Its own win: a full queue knows better than a limiter when to come back.
fn with_headers(mut response: Response, headers: HeaderMap) -> Response {
    for (name, value) in &headers {
        response.headers_mut().entry(name).or_insert_with(|| value.clone());
    }
    response
}

fn json_response(status: StatusCode, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

fn status_of(target: Target, extensions: &Extensions) -> StatusCode {
    let status = extensions.get::<HttpStatus>().map_or(target.rule.success_status, |status| status.0);
    StatusCode::from_u16(status).unwrap_or(StatusCode::OK)
}

/// One call, one answer.
async fn unary<I, O, P, C, F>(
    door: Door,
    target: Target,
    incoming: Incoming,
    call: C,
    project: impl FnOnce(O) -> P,
) -> Response
where
    I: Input,
    P: Serialize,
    C: FnOnce(tonic::Request<I>) -> F,
    F: Future<Output = Result<tonic::Response<O>, Status>>,
{
    let opened = match open::<I>(&door, target, incoming).await {
        Ok(opened) => opened,
        Err(refusal) => return refusal,
    };
    let response = match call(opened.request).await {
        Ok(answer) => {
            let (_, answer, extensions) = answer.into_parts();
            let answer = project(answer);
            let body = match opened.mask {
                None => json::to_vec(&answer),
                Some(mask) => json::to_vec(&mask.apply(&answer)),
            };
            json_response(status_of(target, &extensions), body)
        }
        Err(status) => error::respond(&status),
    };
    with_headers(response, opened.limits)
}

/// One call, a stream of events.
async fn stream<I, O, S, C, F>(door: Door, target: Target, incoming: Incoming, call: C) -> Response
where
    I: Input,
    O: Event + Send + 'static,
    S: futures_util::Stream<Item = Result<O, Status>> + Send + 'static,
    C: FnOnce(tonic::Request<I>) -> F,
    F: Future<Output = Result<tonic::Response<S>, Status>>,
{
    let opened = match open::<I>(&door, target, incoming).await {
        Ok(opened) => opened,
        Err(refusal) => return refusal,
    };
    let response = match call(opened.request).await {
        Ok(answer) => {
            let (_, events, extensions) = answer.into_parts();
            match status_of(target, &extensions) {
                StatusCode::NO_CONTENT => StatusCode::NO_CONTENT.into_response(),
                _ => stream::respond(events, opened.accept.as_ref()),
            }
        }
        Err(status) => error::respond(&status),
    };
    with_headers(response, opened.limits)
}

/// A path's answer to verbs that it does not have.
fn other_verbs(allow: &'static str) -> MethodRouter {
    MethodRouter::new().fallback(move |method: Method| async move {
        let response = match method {
            Method::OPTIONS => StatusCode::OK.into_response(),
            _ => message(StatusCode::METHOD_NOT_ALLOWED, "The method is not allowed for the requested URL."),
        };
        let allow =
            HeaderMap::from_iter([(HeaderName::from_static("allow"), HeaderValue::from_static(allow))]);
        with_headers(response, allow)
    })
}

/// One JSON line without its newline, for a stream.
fn line<T: Serialize>(value: &T) -> String {
    let mut line = json::to_vec(value);
    line.pop();
    String::from_utf8(line).expect("JSON is UTF-8")
}

include!(concat!(env!("OUT_DIR"), "/routes.rs"));
