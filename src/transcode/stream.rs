//! Server streams as SSE, or as NDJSON by `Accept`.
//!
//! SSE: `id:` is the event's cursor, if it has one, `event:` its kind, `data:` its JSON. After the clean end of the
//! stream comes `data: [DONE]`. A stream that breaks ends in `event: error` with the error's body:
//! the HTTP status is out by then.

use std::{convert::Infallible, time::Duration};

use async_stream::stream;
use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, header},
    response::{
        IntoResponse, Response,
        sse::{Event as SseEvent, KeepAlive, Sse},
    },
};
use futures_util::{Stream, StreamExt};
use serde_json::json;
use tonic::Status;
use tonic_types::StatusExt;

use super::{error, line};

/// Below the idle limits of common proxies.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const NDJSON: &str = "application/x-ndjson";

/// The message of a server stream that has an HTTP form.
pub trait Event {
    /// Where a reader continues after it; `None`: a reader who comes back begins anew.
    fn cursor(&self) -> Option<&str>;
    /// What it is.
    fn kind(&self) -> &'static str;
    /// Its JSON, on one line.
    fn data(&self) -> String;
}

fn body_of(status: &Status) -> serde_json::Value {
    error::form(status, &status.get_error_details()).1
}

/// The HTTP form of a stream.
pub(super) fn respond<O, S>(events: S, accept: Option<&HeaderValue>) -> Response
where
    O: Event + Send + 'static,
    S: Stream<Item = Result<O, Status>> + Send + 'static,
{
    let wants_lines =
        accept.and_then(|value| value.to_str().ok()).is_some_and(|accept| accept.contains(NDJSON));
    let mut response = if wants_lines { lines(events) } else { sse(events) };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // nginx would gather tokens into buffers otherwise.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

fn sse<O, S>(events: S) -> Response
where
    O: Event + Send + 'static,
    S: Stream<Item = Result<O, Status>> + Send + 'static,
{
    let frames = stream! {
        let mut events = std::pin::pin!(events);
        while let Some(next) = events.next().await {
            match next {
                Ok(event) => {
                    let frame = SseEvent::default().event(event.kind()).data(event.data());
                    yield Ok::<_, Infallible>(match event.cursor() {
                        Some(cursor) => frame.id(cursor),
                        None => frame,
                    });
                }
                Err(status) => {
                    yield Ok(SseEvent::default().event("error").data(line(&body_of(&status))));
                    return;
                }
            }
        }
        yield Ok(SseEvent::default().data("[DONE]"));
    };
    Sse::new(frames).keep_alive(KeepAlive::new().interval(KEEP_ALIVE).text("keep-alive")).into_response()
}

fn lines<O, S>(events: S) -> Response
where
    O: Event + Send + 'static,
    S: Stream<Item = Result<O, Status>> + Send + 'static,
{
    let lines = stream! {
        let mut events = std::pin::pin!(events);
        loop {
            let next = tokio::select! {
                next = events.next() => next,
                // An empty line is no event; readers of NDJSON pass over it.
                () = tokio::time::sleep(KEEP_ALIVE) => {
                    yield Ok::<_, Infallible>(Bytes::from_static(b"\n"));
                    continue;
                }
            };
            match next {
                None => return,
                Some(Ok(event)) => {
                    let id = event.cursor().map(|cursor| format!("\"id\":{},", line(&cursor))).unwrap_or_default();
                    let (kind, data) = (event.kind(), event.data());
                    yield Ok(Bytes::from(format!("{{{id}\"event\":\"{kind}\",\"data\":{data}}}\n")));
                }
                Some(Err(status)) => {
                    let last = json!({ "event": "error", "data": body_of(&status) });
                    yield Ok(Bytes::from(line(&last) + "\n"));
                    return;
                }
            }
        }
    };
    ([(header::CONTENT_TYPE, NDJSON)], Body::from_stream(lines)).into_response()
}
