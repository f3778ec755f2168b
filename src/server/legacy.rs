//! Calls that the old server answers: for paths that are unknown here, and for those that the operator
//! returned to it.
//!
//! Asked for each call, so a path moves over and back with the next one: what the settings list, and what
//! was switched since, which Records keep and all brokers know. gRPC, and what [`route::is_own`], is
//! never passed on.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use axum::{
    body::{Body, HttpBody},
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::Next,
    response::Response,
};
use parking_lot::Mutex;

use super::{front, listen::Peer, stack::is_grpc};
use crate::{
    config::Config,
    domain::{
        Error,
        route::{self, Routes},
    },
    host::Host,
    outside::upstream::{Caller, Passing, Setback, Upstream},
    rpc::{self, gate::ClientAddress},
    transcode,
};

/// What calls for paths that are unknown here are counted under.
pub const UNKNOWN: &str = "unknown";
/// Most addresses of proxies that the old server is told of.
const MOST_ADDRESSES: usize = 20;

/// How calls for a path went, since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Calls that were passed on.
    pub calls: u64,
    /// Of those, calls that the old server did not answer.
    pub failures: u64,
}

/// What passes calls on. Cheap to clone.
#[derive(Clone)]
pub struct Legacy(Arc<Shared>);

struct Shared {
    upstream: Upstream,
    host: Host,
    /// What the settings list.
    listed: Routes,
    most: usize,
    scheme: HeaderValue,
    /// By the path that decided; guards a few lines.
    counts: Mutex<BTreeMap<String, Counts>>,
}

impl Legacy {
    /// As the settings say; `None` without an old server.
    ///
    /// # Errors
    /// No client can be made for it; why, for the operator.
    pub fn new(config: &Config, host: Host) -> Result<Option<Self>, String> {
        let Some(upstream) = Upstream::new(&config.api)? else { return Ok(None) };
        tracing::info!("what is unknown here is passed on to {}", upstream.base());
        let shared = Shared {
            upstream,
            host,
            listed: Routes::returned(&config.api.legacy_paths),
            most: config.limits.max_body_bytes,
            scheme: HeaderValue::from_static(if config.server.has_tls() { "https" } else { "http" }),
            counts: Mutex::default(),
        };
        Ok(Some(Self(Arc::new(shared))))
    }

    /// The base of the old server's URLs.
    pub fn base(&self) -> &str {
        self.0.upstream.base()
    }

    /// What the settings list.
    pub fn listed(&self) -> &Routes {
        &self.0.listed
    }

    /// How calls went, by the path that decided.
    pub fn counts(&self) -> BTreeMap<String, Counts> {
        self.0.counts.lock().clone()
    }

    /// The path by which a call is the old server's; `None`: it is answered here, if it can be.
    fn decides(&self, request: &Request) -> Option<String> {
        let path = request.uri().path();
        if is_grpc(request) || route::is_own(path) {
            return None;
        }
        let listed = self.0.listed.decide(path);
        let switched = self.0.host.glance(|engine, _| {
            engine.routes().decide(path).map(|(known, is_returned)| (known.to_owned(), is_returned))
        });
        match (switched, listed) {
            // What was said last about the same path counts.
            (Some((known, is_returned)), listed)
                if listed.is_none_or(|(other, _)| other.len() <= known.len()) =>
            {
                is_returned.then_some(known)
            }
            (_, listed) => listed.map(|(known, _)| known.to_owned()),
        }
    }

    /// Passes a call on.
    pub async fn pass(&self, request: Request, by: &str) -> Response {
        let caller = self.caller(&request);
        let (parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let mut headers = parts.headers;
        // What HTTP/2 says by the end of a stream.
        let length = body.size_hint().exact().filter(|length| *length > 0);
        if let (Some(length), false) = (length, headers.contains_key(header::CONTENT_LENGTH)) {
            headers.insert(header::CONTENT_LENGTH, length.into());
        }
        let call = Passing {
            verb: parts.method,
            path,
            headers,
            caller,
            body: body.into_data_stream(),
            most: self.0.most,
        };
        let passed = self.0.upstream.pass(call).await;
        let outcome = match &passed {
            Ok((status, ..)) => {
                ["1xx", "2xx", "3xx", "4xx", "5xx"][usize::from(status.as_u16() / 100).clamp(1, 5) - 1]
            }
            Err(Setback::Unreachable) => "unreachable",
            Err(Setback::TooSlow) => "too_slow",
            Err(Setback::BodyTooLarge | Setback::BodyTooSlow | Setback::BadPath) => "refused",
        };
        let is_failure = matches!(passed, Err(Setback::Unreachable | Setback::TooSlow));
        metrics::counter!("gridbroker_legacy_calls_total", "path" => by.to_owned(), "outcome" => outcome)
            .increment(1);
        {
            let mut counts = self.0.counts.lock();
            let counts = counts.entry(by.to_owned()).or_default();
            counts.calls += 1;
            counts.failures += u64::from(is_failure);
        }
        match passed {
            Ok((status, headers, body)) => {
                let mut response = Response::new(Body::from_stream(body));
                *response.status_mut() = status;
                *response.headers_mut() = headers;
                response
            }
            Err(setback) => {
                if is_failure {
                    tracing::warn!("the old server did not answer a call under {by}: {outcome}");
                }
                refused(setback, self.0.most)
            }
        }
    }

    /// Who calls. The old server believes one proxy, whose word is the last entry.
    fn caller(&self, request: &Request) -> Caller {
        let headers = request.headers();
        let is_near = request.extensions().get::<Peer>().is_some_and(|peer| front::is_near(peer.0.ip()));
        let client = request.extensions().get::<ClientAddress>().map(|address| address.0);
        // Only a neighbour's word is worth anything, as at the front.
        let said = |name: &str| headers.get(name).filter(|_| is_near).cloned();
        let host = headers.get(header::HOST).cloned().or_else(|| {
            let authority = request.uri().authority()?;
            HeaderValue::from_str(authority.as_str()).ok()
        });
        Caller {
            addresses: addresses(is_near.then_some(headers), client),
            scheme: said("x-forwarded-proto").unwrap_or_else(|| self.0.scheme.clone()),
            host: said("x-forwarded-host").or(host),
        }
    }
}

/// `X-Forwarded-For` that ends in the client: what a neighbouring proxy says, if that is whom it means.
fn addresses(near: Option<&HeaderMap>, client: Option<IpAddr>) -> String {
    let Some(client) = client else { return String::new() };
    let said = near.into_iter().flat_map(|headers| headers.get_all("x-forwarded-for"));
    let said = said.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    let mut chain: Vec<IpAddr> = said.filter_map(|text| text.trim().parse().ok()).collect();
    if chain.last() != Some(&client) {
        chain = vec![client];
    }
    let from = chain.len().saturating_sub(MOST_ADDRESSES);
    chain[from..].iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ")
}

fn refused(setback: Setback, most: usize) -> Response {
    let error = match setback {
        Setback::Unreachable => Error::LegacyUnreachable,
        Setback::TooSlow => Error::LegacyTooSlow,
        Setback::BodyTooLarge => return transcode::error_response(&transcode::too_large(most)),
        Setback::BodyTooSlow => return transcode::error_response(&transcode::too_slow()),
        Setback::BadPath => {
            return transcode::message(
                StatusCode::NOT_FOUND,
                "a path with dots alone between slashes leads nowhere",
            );
        }
    };
    transcode::error_response(&rpc::error::status(&error))
}

/// Passes on what is the old server's, and lets everything else through.
pub async fn look(State(legacy): State<Legacy>, request: Request, next: Next) -> Response {
    match legacy.decides(&request) {
        Some(by) => legacy.pass(request, &by).await,
        None => next.run(request).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_address_is_the_client() {
        let with = |value: &str| {
            HeaderMap::from_iter([("x-forwarded-for".parse().unwrap(), value.parse().unwrap())])
        };
        let client = |text: &str| Some(text.parse::<IpAddr>().unwrap());
        for (near, address, told, rule) in [
            (Some("1.1.1.1, 8.8.8.8"), "8.8.8.8", "1.1.1.1, 8.8.8.8", "a neighbour's chain is kept"),
            (Some(""), "127.0.0.1", "127.0.0.1", "a neighbour that is the client"),
            (Some("nonsense"), "10.0.0.1", "10.0.0.1", "what is no address is left out"),
            (None, "7.7.7.7", "7.7.7.7", "a stranger's header is nothing"),
        ] {
            let headers = near.map(with);
            assert_eq!(addresses(headers.as_ref(), client(address)), told, "{rule}");
        }
        let long = with(&vec!["1.1.1.1"; 100].join(","));
        assert_eq!(addresses(Some(&long), client("1.1.1.1")).split(", ").count(), MOST_ADDRESSES);
    }
}
