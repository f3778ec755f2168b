//! The server that this one takes the place of, path by path: calls are passed on to it as they came.
//!
//! ```text
//!  caller ──headers, body──► here ──────────────────────────► old server
//!            hop by hop left out, the caller's address put in
//!  caller ◄──status, headers, body as it comes──────────────── old server
//! ```
//!
//! Nothing is kept in memory but what is on its way. Redirections are the caller's to follow. A call is
//! made once: whether one that broke off was carried out, nobody here can know.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use reqwest::{Url, redirect::Policy};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::client::tls;
use crate::config::Api;

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long nothing may move, to there or from there, before it counts as stuck.
const SILENCE: Duration = Duration::from_secs(60);
/// How long a request's body may take in all.
const WHOLE_BODY: Duration = Duration::from_secs(300);
/// Connections are used again within so long only: one that the other side closes at that moment would
/// fail a call that cannot be made a second time.
const KEPT: Duration = Duration::from_secs(1);

/// Headers that are about one connection, not about the call (RFC 9110, 7.6.1). `Proxy-Authorization` is
/// not among them here: with `Proxied-For` it tells the old server for whom a service asks.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "expect",
];
/// Headers that say who a caller is: what callers themselves write there is not passed on.
const WHO: [&str; 6] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-real-ip",
];

/// What this server is called in `Via`, by which a call that comes back is known.
const NAME: &str = "gridbroker";
const VIA: &str = "1.1 gridbroker";

/// Why a call came to nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Setback {
    /// The old server is not there, or breaks off, or is this one.
    Unreachable,
    /// It takes too long.
    TooSlow,
    /// The caller's body is too large.
    BodyTooLarge,
    /// The caller's body does not come in time, or breaks off.
    BodyTooSlow,
    /// A path that would lead elsewhere than it says.
    BadPath,
}

/// Who calls, as the old server is to be told.
pub struct Caller {
    /// `X-Forwarded-For`: the last entry is the caller.
    pub addresses: String,
    /// `X-Forwarded-Proto`.
    pub scheme: HeaderValue,
    /// `X-Forwarded-Host`.
    pub host: Option<HeaderValue>,
}

/// A call to be passed on.
pub struct Passing<B> {
    /// Its verb.
    pub verb: Method,
    /// Its path and query, as they came.
    pub path: String,
    /// Its headers, as they came.
    pub headers: HeaderMap,
    /// Who makes it.
    pub caller: Caller,
    /// Its body.
    pub body: B,
    /// Most bytes of its body.
    pub most: usize,
}

/// What came back: status, headers, and the body as it comes.
pub type Passed<S> = (http::StatusCode, HeaderMap, S);

/// The old server. Cheap to clone.
#[derive(Clone)]
pub struct Upstream {
    http: reqwest::Client,
    base: Arc<Url>,
    /// See [`SILENCE`].
    silence: Duration,
}

impl Upstream {
    /// The one that the settings name, if they name one.
    ///
    /// # Errors
    /// No client can be made for it; why, for the operator.
    pub fn new(settings: &Api) -> Result<Option<Self>, String> {
        let Some(base) = &settings.legacy_upstream else { return Ok(None) };
        let base = Url::parse(base).map_err(|error| format!("legacy_upstream: {error}"))?;
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls(settings)?)
            .redirect(Policy::none())
            .no_proxy()
            .referer(false)
            .http1_only()
            .connect_timeout(CONNECT)
            .pool_idle_timeout(KEPT)
            .build()
            .map_err(|error| format!("no client can be made: {error}"))?;
        Ok(Some(Self { http, base: Arc::new(base), silence: SILENCE }))
    }

    /// The base of its URLs.
    pub fn base(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// Passes a call on, and returns the answer as soon as its headers are there.
    ///
    /// # Errors
    /// Any [`Setback`].
    pub async fn pass<B, E>(
        &self,
        call: Passing<B>,
    ) -> Result<Passed<impl Stream<Item = Result<Bytes, &'static str>> + Send + use<B, E>>, Setback>
    where
        B: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Send + 'static,
    {
        let url = self.url(&call.path).ok_or(Setback::BadPath)?;
        let via = call.headers.get_all(header::VIA).iter().filter_map(|value| value.to_str().ok());
        if via.flat_map(|value| value.split([',', ' '])).any(|word| word == NAME) {
            return Err(Setback::Unreachable);
        }
        let length =
            call.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        if length.is_some_and(|length: u64| length > call.most as u64) {
            return Err(Setback::BodyTooLarge);
        }
        let has_body = length.is_some_and(|length| length > 0)
            || (length.is_none() && !matches!(call.verb, Method::GET | Method::HEAD | Method::OPTIONS));
        let watch = Arc::new(Watch::default());
        let mut request = self.http.request(call.verb, url).headers(forwarded(&call.headers, &call.caller));
        if has_body {
            request = request.body(reqwest::Body::wrap_stream(watched(call.body, call.most, watch.clone())));
        }
        let sent = tokio::select! {
            sent = request.send() => sent.map_err(|_| watch.setback()),
            () = watch.stuck(self.silence) => Err(Setback::TooSlow),
        };
        let answer = sent?;
        let (status, headers) = (answer.status(), self.answered(answer.headers()));
        let silence = self.silence;
        let body = async_stream::stream! {
            let mut body = pin!(answer.bytes_stream());
            loop {
                match timeout(silence, body.next()).await {
                    Ok(Some(Ok(bytes))) => yield Ok(bytes),
                    Ok(None) => return,
                    // The status is out: all that can be done is to break off as well.
                    Ok(Some(Err(_))) => {
                        yield Err("the old server broke off");
                        return;
                    }
                    Err(_) => {
                        yield Err("the old server fell silent");
                        return;
                    }
                }
            }
        };
        Ok((status, headers, body))
    }

    /// Where a path is there. `None`: it would lead out of the base, as with `..` in any spelling.
    fn url(&self, path: &str) -> Option<Url> {
        let bare = path.split('?').next().unwrap_or_default().to_ascii_lowercase().replace("%2e", ".");
        let climbs = bare.split(['/', '\\']).any(|part| matches!(part, "." | ".."));
        if !path.starts_with('/') || climbs {
            return None;
        }
        let url = Url::parse(&format!("{}{path}", self.base())).ok()?;
        (url.origin() == self.base.origin()).then_some(url)
    }

    /// Headers of an answer, for the caller. What it redirects to on itself is a path here.
    fn answered(&self, headers: &HeaderMap) -> HeaderMap {
        let mut answered = across(headers);
        answered.append(header::VIA, HeaderValue::from_static(VIA));
        let location = headers.get(header::LOCATION).and_then(|value| value.to_str().ok());
        if let Some(path) = location.and_then(|location| location.strip_prefix(self.base()))
            && (path.is_empty() || path.starts_with('/'))
            && let Ok(path) = HeaderValue::from_str(if path.is_empty() { "/" } else { path })
        {
            answered.insert(header::LOCATION, path);
        }
        answered
    }
}

/// Headers of a call, for the old server.
fn forwarded(headers: &HeaderMap, caller: &Caller) -> HeaderMap {
    let mut forwarded = across(headers);
    for name in WHO {
        forwarded.remove(name);
    }
    forwarded.remove(header::HOST);
    // HTTP/2 has a header for each cookie, HTTP/1.1 one for all.
    let cookies: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let (2.., Ok(all)) = (cookies.len(), HeaderValue::from_bytes(&cookies.join(&b"; "[..]))) {
        forwarded.insert(header::COOKIE, all);
    }
    if let Ok(addresses) = HeaderValue::from_str(&caller.addresses) {
        forwarded.insert("x-forwarded-for", addresses);
    }
    forwarded.insert("x-forwarded-proto", caller.scheme.clone());
    forwarded.append(header::VIA, HeaderValue::from_static(VIA));
    if let Some(host) = &caller.host {
        forwarded.insert("x-forwarded-host", host.clone());
    }
    forwarded
}

/// Headers without those that are about the connection they came over.
fn across(headers: &HeaderMap) -> HeaderMap {
    let named = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let named: Vec<HeaderName> =
        named.flat_map(|value| value.split(',')).filter_map(|name| name.trim().parse().ok()).collect();
    let is_left_out = |name: &HeaderName| HOP_BY_HOP.contains(&name.as_str()) || named.contains(name);
    let kept = headers.iter().filter(|(name, _)| !is_left_out(name));
    let mut across = HeaderMap::with_capacity(headers.len());
    for (name, value) in kept {
        across.append(name, value.clone());
    }
    across
}

/// What becomes of a request's body while it is passed on.
#[derive(Default)]
struct Watch {
    /// Pieces that were passed on.
    pieces: AtomicU64,
    is_too_large: AtomicBool,
    is_too_slow: AtomicBool,
}

impl Watch {
    /// Why a call failed, as far as the body tells.
    fn setback(&self) -> Setback {
        match (self.is_too_large.load(Relaxed), self.is_too_slow.load(Relaxed)) {
            (true, _) => Setback::BodyTooLarge,
            (false, true) => Setback::BodyTooSlow,
            (false, false) => Setback::Unreachable,
        }
    }

    /// Ends when nothing has moved for too long.
    async fn stuck(&self, silence: Duration) {
        let mut seen = self.pieces.load(Relaxed);
        loop {
            sleep(silence).await;
            let now = self.pieces.load(Relaxed);
            if now == seen {
                return;
            }
            seen = now;
        }
    }
}

/// A body that ends with an error when it is too large, or does not come in time.
fn watched<B, E>(
    body: B,
    most: usize,
    watch: Arc<Watch>,
) -> impl Stream<Item = Result<Bytes, &'static str>> + Send
where
    B: Stream<Item = Result<Bytes, E>> + Send + 'static,
    E: Send + 'static,
{
    async_stream::stream! {
        let (mut body, mut length) = (pin!(body), 0);
        let ends_at = Instant::now() + WHOLE_BODY;
        loop {
            let next = timeout_at(ends_at.min(Instant::now() + SILENCE / 2), body.next()).await;
            match next {
                Ok(None) => return,
                Ok(Some(Ok(bytes))) => {
                    length += bytes.len();
                    if length > most {
                        watch.is_too_large.store(true, Relaxed);
                        yield Err("the body is too large");
                        return;
                    }
                    watch.pieces.fetch_add(1, Relaxed);
                    yield Ok(bytes);
                }
                Ok(Some(Err(_))) | Err(_) => {
                    watch.is_too_slow.store(true, Relaxed);
                    yield Err("the body does not come");
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstream(base: &str) -> Upstream {
        let settings = Api { legacy_upstream: Some(base.into()), ..Api::default() };
        Upstream::new(&settings).unwrap().unwrap()
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn paths_stay_below_the_base() {
        let old = upstream("http://10.0.0.7:7001/grid/");
        for (path, url) in [
            ("/api/v2/users?page=2&x=%2e%2e", Some("http://10.0.0.7:7001/grid/api/v2/users?page=2&x=%2e%2e")),
            ("/a%20b/%C3%A9", Some("http://10.0.0.7:7001/grid/a%20b/%C3%A9")),
            ("//evil.example/x", Some("http://10.0.0.7:7001/grid//evil.example/x")),
            ("/@evil.example", Some("http://10.0.0.7:7001/grid/@evil.example")),
            ("/..", None),
            ("/a/../../b", None),
            ("/a/%2e%2E/b", None),
            ("/a/.%2e/b", None),
            ("/a\\..\\b", None),
            ("*", None),
            ("@evil.example", None),
            (".evil.example/", None),
        ] {
            assert_eq!(old.url(path).as_ref().map(Url::as_str), url, "{path}");
        }
    }

    #[test]
    fn what_is_about_a_connection_stays_on_it() {
        let sent = headers(&[
            ("apikey", "k"),
            ("connection", "close, X-Mine"),
            ("x-mine", "1"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("proxy-authorization", "passkey"),
            ("proxied-for", "8.8.8.8"),
            ("accept", "a"),
            ("accept", "b"),
        ]);
        let kept = headers(&[
            ("apikey", "k"),
            ("proxy-authorization", "passkey"),
            ("proxied-for", "8.8.8.8"),
            ("accept", "a"),
            ("accept", "b"),
        ]);
        assert_eq!(across(&sent), kept);
    }

    #[test]
    fn who_calls_is_said_here_and_not_by_the_caller() {
        let sent = headers(&[
            ("host", "grid.example.org"),
            ("x-forwarded-for", "1.1.1.1"),
            ("forwarded", "for=1.1.1.1"),
            ("x-real-ip", "1.1.1.1"),
            ("cookie", "a=1"),
            ("cookie", "b=2"),
        ]);
        let caller = Caller {
            addresses: "9.9.9.9".into(),
            scheme: HeaderValue::from_static("https"),
            host: Some(HeaderValue::from_static("grid.example.org")),
        };
        let told = headers(&[
            ("cookie", "a=1; b=2"),
            ("x-forwarded-for", "9.9.9.9"),
            ("x-forwarded-proto", "https"),
            ("via", "1.1 gridbroker"),
            ("x-forwarded-host", "grid.example.org"),
        ]);
        assert_eq!(forwarded(&sent, &caller), told);
    }

    #[test]
    fn redirections_on_the_old_server_are_paths_here() {
        let old = upstream("http://10.0.0.7:7001");
        for (location, told) in [
            ("http://10.0.0.7:7001/register?x=1", "/register?x=1"),
            ("http://10.0.0.7:7001", "/"),
            ("/register", "/register"),
            ("https://accounts.example.com/o", "https://accounts.example.com/o"),
            ("http://10.0.0.7:70011/x", "http://10.0.0.7:70011/x"),
        ] {
            assert_eq!(old.answered(&headers(&[("location", location)]))["location"], told, "{location}");
        }
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_is_waited_for_so_long_and_no_longer() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let old = upstream(&format!("http://{}", listener.local_addr().unwrap()));
        let old = Upstream { silence: Duration::from_millis(100), ..old };
        let call = Passing {
            verb: Method::GET,
            path: "/".into(),
            headers: HeaderMap::new(),
            caller: Caller {
                addresses: "9.9.9.9".into(),
                scheme: HeaderValue::from_static("http"),
                host: None,
            },
            body: futures_util::stream::empty::<Result<Bytes, ()>>(),
            most: 10,
        };
        let passed = timeout(Duration::from_secs(20), old.pass(call)).await.expect("it is given up");
        assert_eq!(passed.map(|_| ()), Err(Setback::TooSlow));
    }
}
