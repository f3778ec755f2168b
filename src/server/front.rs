//! What every request and every answer passes: where it comes from, which key header it uses, CORS.

use std::{
    net::IpAddr,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header},
};
use futures_util::future::{Either, Map, Ready};
use futures_util::{FutureExt, future::ready};
use tower::{Layer, Service};

use super::listen::Peer;
use crate::{
    domain::user::KeyHash,
    host::Host,
    rpc::gate::{ClientAddress, Recognised, ServiceAddress},
};

const METHODS: &str = "POST, GET, OPTIONS, PUT, DELETE, PATCH";
/// The contract's list, and what browsers need for gRPC-Web, SSE and held pops.
const ALLOWED: &str = "Accept, Content-Type, Content-Length, Accept-Encoding, X-CSRF-Token, apikey, \
     Client-Agent, X-Fields, X-Forwarded-For, Proxied-For, Proxy-Authorization, Prefer, Last-Event-ID, \
     X-Grpc-Web, X-User-Agent, Grpc-Timeout";
const EXPOSED: &str = "Grpc-Status, Grpc-Message, Grpc-Status-Details-Bin, Retry-After, \
     X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, Horde-Node";

/// What is the same for all requests.
struct Rules {
    /// Allowed origins; `None`: all.
    origins: Option<Vec<HeaderValue>>,
    /// The header that the key comes in, if it is not `apikey`.
    key_header: Option<HeaderName>,
    /// The headers that pages may send.
    allowed: HeaderValue,
    /// `host:port:version`.
    node: HeaderValue,
    /// Knows which services may say for whom they call; `None`: no service yet.
    host: Option<Host>,
}

/// Wraps a service with the front.
#[derive(Clone)]
pub struct FrontLayer(Arc<Rules>);

impl FrontLayer {
    /// A front that lets pages of these origins in (`*`: all), reads keys from this header, and believes the
    /// services that a host knows.
    pub fn new(origins: &[String], key_header: &str, node: &str, host: Option<Host>) -> Self {
        let is_open = origins.iter().any(|origin| origin == "*");
        let listed = || origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect();
        let key_header = HeaderName::from_bytes(key_header.as_bytes()).ok().filter(|name| *name != "apikey");
        let node = HeaderValue::from_str(node).unwrap_or(HeaderValue::from_static("unknown"));
        let allowed = match &key_header {
            Some(name) => HeaderValue::from_str(&format!("{ALLOWED}, {name}")).ok(),
            None => None,
        };
        let allowed = allowed.unwrap_or(HeaderValue::from_static(ALLOWED));
        Self(Arc::new(Rules { origins: (!is_open).then(listed), key_header, allowed, node, host }))
    }
}

impl<S> Layer<S> for FrontLayer {
    type Service = Front<S>;

    fn layer(&self, inner: S) -> Front<S> {
        Front { inner, rules: self.0.clone() }
    }
}

/// A service behind the front.
#[derive(Clone)]
pub struct Front<S> {
    inner: S,
    rules: Arc<Rules>,
}

type Finish<E> = Box<dyn FnOnce(Result<Response<Body>, E>) -> Result<Response<Body>, E> + Send>;

impl<S> Service<Request<Body>> for Front<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<Ready<Result<Response<Body>, S::Error>>, Map<S::Future, Finish<S::Error>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let rules = self.rules.clone();
        let origin = request.headers().get(header::ORIGIN).cloned();
        // gRPC paths do not know the verb; API paths answer it with what they allow.
        if request.method() == Method::OPTIONS && !request.uri().path().starts_with("/api/") {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::OK;
            finish(&rules, origin, &mut response);
            return Either::Left(ready(Ok(response)));
        }
        if let Some(name) = &rules.key_header {
            request.headers_mut().remove("apikey");
            if let Some(key) = request.headers_mut().remove(name) {
                request.headers_mut().insert("apikey", key);
            }
        }
        if let Some(hash) = request.headers().get("apikey").and_then(|key| rules.recognise(key.as_bytes())) {
            request.extensions_mut().insert(Recognised(hash));
        }
        if let Some(address) = address(&request) {
            let client = proxied_for(&request, |passkey| rules.knows(passkey));
            request.extensions_mut().insert(ClientAddress(client.unwrap_or(address)));
            if client.is_some() {
                request.extensions_mut().insert(ServiceAddress(address));
            }
        }
        let done: Finish<S::Error> = Box::new(move |answer| {
            answer.map(|mut response| {
                finish(&rules, origin, &mut response);
                response
            })
        });
        Either::Right(self.inner.call(request).map(done))
    }
}

/// The client's address: what the proxy next to us says, if there is one, or else the other end.
fn address<B>(request: &Request<B>) -> Option<IpAddr> {
    let peer = request.extensions().get::<Peer>()?.0.ip();
    // Only a neighbour is believed: anybody can write the header.
    if !is_near(peer) {
        return Some(peer);
    }
    let forwarded = request.headers().get_all("x-forwarded-for").iter().next_back();
    let last = forwarded.and_then(|value| value.to_str().ok()).and_then(|value| value.rsplit(',').next());
    Some(last.and_then(|text| text.trim().parse().ok()).unwrap_or(peer))
}

impl Rules {
    /// The hash that a key is known by.
    fn recognise(&self, key: &[u8]) -> Option<KeyHash> {
        self.host.as_ref().map(|host| host.recognise(key))
    }

    fn knows(&self, passkey: &KeyHash) -> bool {
        self.host.as_ref().is_some_and(|host| host.glance(|engine, _| engine.is_passkey(passkey)))
    }
}

/// For whom a service calls, if its passkey is one.
fn proxied_for<B>(request: &Request<B>, is_known: impl Fn(&KeyHash) -> bool) -> Option<IpAddr> {
    let passkey = request.headers().get("proxy-authorization")?;
    let client = request.headers().get("proxied-for")?.to_str().ok()?.trim().parse().ok()?;
    // Hashes are compared: how long that takes tells nothing.
    is_known(&KeyHash::of_bytes(passkey.as_bytes())).then_some(client)
}

/// Loopback and private networks, where proxies stand.
pub(super) fn is_near(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private(),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => v4.is_loopback() || v4.is_private(),
            None => v6.is_loopback() || v6.is_unique_local(),
        },
    }
}

fn finish(rules: &Rules, origin: Option<HeaderValue>, response: &mut Response<Body>) {
    let allowed = match &rules.origins {
        None => Some(HeaderValue::from_static("*")),
        Some(listed) => origin.filter(|origin| listed.contains(origin)),
    };
    let headers = response.headers_mut();
    if rules.origins.is_some() {
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }
    if let Some(allowed) = allowed {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, rules.allowed.clone());
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    } else {
        // An old server that answered may let everybody in.
        headers.remove(header::ACCESS_CONTROL_ALLOW_ORIGIN);
        headers.remove(header::ACCESS_CONTROL_ALLOW_CREDENTIALS);
    }
    // Of a call that was passed on, who answered it.
    headers.entry("horde-node").or_insert_with(|| rules.node.clone());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(peer: &str, forwarded: Option<&str>) -> Option<IpAddr> {
        let mut request = Request::new(());
        request.extensions_mut().insert(Peer(format!("{peer}:9").parse().unwrap()));
        if let Some(text) = forwarded {
            request.headers_mut().insert("x-forwarded-for", text.parse().unwrap());
        }
        address(&request)
    }

    #[test]
    fn a_service_says_for_whom_it_calls_if_its_passkey_is_exactly_one() {
        for (passkey, client, believed, rule) in [
            (Some("right"), Some("9.9.9.9"), Some("9.9.9.9"), "its passkey"),
            (Some("right"), Some(" 2001:db8::7 "), Some("2001:db8::7"), "any address"),
            (Some("righ"), Some("9.9.9.9"), None, "a part of one"),
            (Some("wrong"), Some("9.9.9.9"), None, "another one"),
            (None, Some("9.9.9.9"), None, "none"),
            (Some("right"), None, None, "nobody is named"),
            (Some("right"), Some("somebody"), None, "nor is that an address"),
        ] {
            let mut request = Request::new(());
            for (name, value) in [("proxy-authorization", passkey), ("proxied-for", client)] {
                if let Some(value) = value {
                    request.headers_mut().insert(name, value.parse().unwrap());
                }
            }
            let client = proxied_for(&request, |passkey| *passkey == KeyHash::of("right"));
            assert_eq!(client, believed.map(|text| text.parse().unwrap()), "{rule}");
        }
    }

    #[test]
    fn only_a_neighbouring_proxy_is_believed_and_only_its_own_entry() {
        let address = |text: &str| Some(text.parse::<IpAddr>().unwrap());
        for (peer, forwarded, client, rule) in [
            ("127.0.0.1", None, "127.0.0.1", "without a proxy it is the peer"),
            ("127.0.0.1", Some("9.9.9.9, 8.8.8.8"), "8.8.8.8", "the right-most entry is the proxy's"),
            ("7.7.7.7", Some("8.8.8.8"), "7.7.7.7", "a stranger's word is worth nothing"),
            ("10.0.0.1", Some("nonsense"), "10.0.0.1", "what is no address is left aside"),
        ] {
            assert_eq!(from(peer, forwarded), address(client), "{rule}");
        }
    }
}
