//! Beside an old server: what is not known here, and what was returned to it, is passed on.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::Request,
    http::HeaderMap,
    response::{IntoResponse, Response},
    routing::{any, get, post},
};
use futures_util::StreamExt;
use gridbroker::rpc::admin::{ListRoutesRequest, ListRoutesResponse, SwitchRouteRequest};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::harness::{ALICE, Broker, PATIENCE, eventually};

/// The old server: it says what it was asked.
struct Old {
    url: String,
    serving: JoinHandle<()>,
}

impl Drop for Old {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Old {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let here = url.clone();
        let routes = Router::new()
            .route(
                "/old/events",
                get(async || ([("content-type", "text/event-stream")], Body::from_stream(events()))),
            )
            .route("/old/echo", post(async |body: Body| Body::from_stream(body.into_data_stream())))
            .route("/old/cut", get(async || Body::from_stream(cut())))
            .route(
                "/old/moved",
                get(move || {
                    let to = format!("{here}/old/there?x=1");
                    async move { (axum::http::StatusCode::FOUND, [("location", to)]) }
                }),
            )
            .fallback(any(tell))
            .layer(axum::extract::DefaultBodyLimit::disable());
        let serving = tokio::spawn(async move { axum::serve(listener, routes).await.expect("it serves") });
        Self { url, serving }
    }

    /// A broker beside it, with paths returned from the start.
    async fn broker(&self, returned: &[&str]) -> Broker {
        let (url, returned) = (self.url.clone(), returned.iter().map(|path| (*path).to_owned()).collect());
        Broker::with(|config| {
            config.api.legacy_upstream = Some(url);
            config.api.legacy_paths = returned;
        })
        .await
    }
}

async fn tell(request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.expect("it is whole");
    let headers: serde_json::Map<String, Value> = parts
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()))
        .collect();
    let told = json!({"old": true, "verb": parts.method.to_string(), "path": parts.uri.to_string(), "headers": headers,
        "body": String::from_utf8_lossy(&body)});
    let mut answer = HeaderMap::new();
    answer.insert("content-type", "application/json".parse().expect("a value"));
    answer.insert("x-of-the-old", "yes".parse().expect("a value"));
    answer.insert("connection", "x-hop".parse().expect("a value"));
    answer.insert("x-hop", "1".parse().expect("a value"));
    answer.append("set-cookie", "a=1".parse().expect("a value"));
    answer.append("set-cookie", "b=2".parse().expect("a value"));
    (axum::http::StatusCode::IM_A_TEAPOT, answer, told.to_string()).into_response()
}

fn events() -> impl futures_util::Stream<Item = Result<Bytes, Infallible>> {
    futures_util::stream::unfold(0, async |n| {
        if n > 0 {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        (n < 4).then(|| (Ok(Bytes::from(format!("data: {n}\n\n"))), n + 1))
    })
}

fn cut() -> impl futures_util::Stream<Item = Result<Bytes, std::io::Error>> {
    futures_util::stream::unfold(false, async |is_begun| {
        if is_begun {
            // What was sent is there by then.
            tokio::time::sleep(Duration::from_millis(300)).await;
            return Some((Err(std::io::Error::other("broken")), true));
        }
        Some((Ok(Bytes::from_static(b"half")), true))
    })
}

async fn switches(broker: &Broker, path: &str, returned: bool) -> Result<(), tonic::Status> {
    let operator = gridbroker::server::admin::connect(broker.data()).await.expect("its socket is there");
    let request = SwitchRouteRequest { path: path.into(), returned };
    operator.expect("it runs").switch_route(request).await.map(|_| ())
}

async fn listed(broker: &Broker) -> ListRoutesResponse {
    let operator = gridbroker::server::admin::connect(broker.data()).await.expect("its socket is there");
    operator.expect("it runs").list_routes(ListRoutesRequest {}).await.expect("it is told").into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_for_an_unknown_path_comes_to_the_old_server_as_it_was_made() {
    let old = Old::start().await;
    let broker = old.broker(&[]).await;
    let alice = broker.json(ALICE);
    let call = alice
        .request(Method::PATCH, "//nothing/we/have?a=1&b=%20c")
        .header("x-mine", "1")
        .header("connection", "x-hop")
        .header("x-hop", "1")
        .header("proxy-authorization", "passkey")
        .header("cookie", "c=3")
        .body("a body");
    let answer = alice.send(call).await;
    assert_eq!(answer.status, 418, "its status: {}", answer.body);
    assert_eq!(answer.headers["x-of-the-old"], "yes", "its headers");
    assert_eq!(answer.headers["via"], "1.1 gridbroker", "and that it was passed on");
    assert!(!answer.headers.contains_key("x-hop"), "but for those of the connection");
    assert_eq!(answer.headers.get_all("set-cookie").iter().count(), 2);
    assert_eq!(answer.headers["access-control-allow-origin"], "*", "pages may read it as all answers here");
    let told = &answer.body;
    assert_eq!((&told["verb"], &told["path"]), (&json!("PATCH"), &json!("/nothing/we/have?a=1&b=%20c")));
    assert_eq!(told["body"], "a body");
    let headers = &told["headers"];
    assert_eq!((&headers["apikey"], &headers["x-mine"]), (&json!(ALICE), &json!("1")));
    assert_eq!((&headers["proxy-authorization"], &headers["cookie"]), (&json!("passkey"), &json!("c=3")));
    assert_eq!(headers["content-length"], "6", "a length that is known is told");
    assert!(headers.get("x-hop").is_none() && headers.get("transfer-encoding").is_none(), "{headers}");
    assert_eq!(headers["host"].as_str(), old.url.strip_prefix("http://"));
    assert_eq!(headers["x-forwarded-host"].as_str(), broker.url().strip_prefix("http://"));
    assert_eq!(
        (&headers["x-forwarded-for"], &headers["x-forwarded-proto"]),
        (&json!("127.0.0.1"), &json!("http"))
    );
    assert_eq!(alice.get("/status/heartbeat").await.status, 200, "what is known is answered here");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_server_is_told_the_clients_address_last() {
    let old = Old::start().await;
    let broker = old.broker(&[]).await;
    let anyone = broker.json_without_key();
    let forwarded = anyone
        .request(Method::GET, "//nothing")
        .header("x-forwarded-for", "203.0.113.9, 198.51.100.4")
        .header("x-forwarded-proto", "https")
        .header("x-forwarded-host", "grid.example.org")
        .header("forwarded", "for=203.0.113.1")
        .header("x-real-ip", "203.0.113.2");
    let told = anyone.send(forwarded).await.body;
    let headers = &told["headers"];
    assert_eq!(headers["x-forwarded-for"], "203.0.113.9, 198.51.100.4", "a proxy next to us is believed");
    assert_eq!(
        (&headers["x-forwarded-proto"], &headers["x-forwarded-host"]),
        (&json!("https"), &json!("grid.example.org"))
    );
    assert!(headers.get("forwarded").is_none() && headers.get("x-real-ip").is_none(), "{headers}");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_go_through_both_ways_and_too_large_ones_are_refused() {
    let old = Old::start().await;
    let url = old.url.clone();
    let broker = Broker::with(|config| {
        config.api.legacy_upstream = Some(url);
        config.limits.max_body_bytes = 20 << 20;
    })
    .await;
    let client = reqwest::Client::new();
    let content: Vec<u8> = (0..16 << 20).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let echo = client.post(format!("{}/old/echo", broker.url())).body(content.clone());
    let came = echo.send().await.expect("it answers").bytes().await.expect("it is whole");
    assert!(came == content, "byte for byte");
    let pieces: Vec<Result<Bytes, Infallible>> =
        content.chunks(100_000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    let unannounced = reqwest::Body::wrap_stream(futures_util::stream::iter(pieces));
    let came =
        client.post(format!("{}/old/echo", broker.url())).body(unannounced).send().await.expect("it answers");
    assert!(came.bytes().await.expect("it is whole") == content, "also without a length");
    let too_large = vec![0; (20 << 20) + 1];
    let announced = client.post(format!("{}/old/echo", broker.url())).body(too_large.clone()).send().await;
    if let Ok(answer) = announced {
        assert_eq!(answer.status(), 413);
        let body: Value = answer.json().await.expect("it is JSON");
        assert_eq!(body["rc"], "PayloadTooLarge");
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_come_through_as_they_are_sent() {
    let old = Old::start().await;
    let broker = old.broker(&[]).await;
    let begun = tokio::time::Instant::now();
    let answer = reqwest::get(format!("{}/old/events", broker.url())).await.expect("it answers");
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let mut chunks = answer.bytes_stream();
    let first = chunks.next().await.expect("there is one").expect("it comes");
    assert_eq!(first, "data: 0\n\n");
    assert!(begun.elapsed() < Duration::from_millis(800), "the first does not wait for the last");
    let mut rest = Vec::new();
    while let Some(chunk) = chunks.next().await {
        rest.extend_from_slice(&chunk.expect("it comes"));
    }
    assert_eq!(rest, b"data: 1\n\ndata: 2\n\ndata: 3\n\n");
    let cut = reqwest::get(format!("{}/old/cut", broker.url())).await.expect("its headers are there");
    assert_eq!(cut.status(), 200);
    let whole = cut.bytes().await.is_ok();
    assert!(!whole, "an answer that breaks off does not look like one that ended");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redirections_are_the_callers_to_follow() {
    let old = Old::start().await;
    let broker = old.broker(&[]).await;
    let client =
        reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
    let answer = client.get(format!("{}/old/moved", broker.url())).send().await.expect("it answers");
    assert_eq!(
        (answer.status().as_u16(), answer.headers()["location"].as_bytes()),
        (302, &b"/old/there?x=1"[..])
    );
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_move_over_and_back_without_a_restart_and_stay_so_after_one() {
    let old = Old::start().await;
    let broker = old.broker(&["/api/v2/status"]).await;
    let alice = broker.json(ALICE);
    let is_old = async |path: &str| alice.get(path).await.body["old"] == true;
    assert!(is_old("/status/heartbeat").await && is_old("/status/models/x").await, "listed by the settings");
    assert!(!is_old("/find_user").await);
    switches(&broker, "/api/v2/status/heartbeat", false).await.expect("it moves over");
    assert!(!is_old("/status/heartbeat").await && is_old("/status/news").await, "the longest path counts");
    switches(&broker, "/", true).await.expect("all goes back");
    assert!(is_old("/find_user").await && is_old("//").await && !is_old("/status/heartbeat").await);
    switches(&broker, "/api/v2/status", false).await.expect("the settings are overruled");
    assert!(!is_old("/status/news").await);
    for path in ["//health", "//readyz", "//metrics", "//objects/x"] {
        assert!(!is_old(path).await, "{path} is answered here alone");
    }
    let refused = switches(&broker, "/metrics", true).await.expect_err("it is not to be passed on");
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    let mut requester = broker.requester(ALICE).await;
    requester.submits_text("gRPC is never passed on", 1).await;
    let home = broker.stop().await;
    let url = old.url.clone();
    let broker = Broker::over(home, |config| config.api.legacy_upstream = Some(url)).await;
    let alice = broker.json(ALICE);
    assert_eq!(alice.get("/find_user").await.body["old"], true, "a switch outlives the broker");
    switches(&broker, "/", false).await.expect("all moves over");
    assert_eq!(alice.get("/find_user").await.body["username"], "alice#1");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_fails_while_a_path_moves_over_and_back() {
    let old = Old::start().await;
    let broker = old.broker(&[]).await;
    let (stop, mine, theirs) =
        (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let (alice, stop, mine, theirs) =
                (broker.json(ALICE), stop.clone(), mine.clone(), theirs.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let answer =
                        alice.post("/generate/text/async", json!({"prompt": "x", "dry_run": true})).await;
                    match answer.status {
                        200 => mine.fetch_add(1, Ordering::Relaxed),
                        418 => theirs.fetch_add(1, Ordering::Relaxed),
                        status => panic!("{status} {}", answer.body),
                    };
                }
            })
        })
        .collect();
    for round in 0..20 {
        switches(&broker, "/api/v2/generate", round % 2 == 0).await.expect("it is switched");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    eventually(async || mine.load(Ordering::Relaxed) > 20).await;
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        tokio::time::timeout(PATIENCE, caller).await.expect("it ends").expect("no call fails");
    }
    assert!(theirs.load(Ordering::Relaxed) > 20, "both answered: {mine:?} and {theirs:?}");
    let listed = listed(&broker).await;
    let route = listed.routes.iter().find(|route| route.path == "/api/v2/generate").expect("it is listed");
    assert_eq!(
        (route.calls, route.failures),
        (theirs.load(Ordering::Relaxed) as u64, 0),
        "and all were counted"
    );
    assert!(!route.returned);
    let metrics = reqwest::get(format!("{}/metrics", broker.url())).await.expect("it answers").text().await;
    assert!(
        metrics
            .expect("it is whole")
            .contains("gridbroker_legacy_calls_total{path=\"/api/v2/generate\",outcome=\"4xx\"}")
    );
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_its_own_old_server_does_not_go_round_and_round() {
    let port = crate::harness::drawn_port(|| 20_000 + rand::random::<u16>() % 12_000);
    let broker = Broker::with(|config| {
        config.server.listen = format!("127.0.0.1:{port}").parse().expect("an address");
        config.api.legacy_upstream = Some(format!("http://127.0.0.1:{port}"));
    })
    .await;
    let answer = broker.json_without_key().get("//nothing").await;
    assert_eq!(answer.verdict(), (502, "LegacyUnreachable"), "{}", answer.body);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_server_that_is_not_there_is_told_as_such() {
    let port = crate::harness::free_port();
    let broker = Broker::with(|config| {
        config.api.legacy_upstream = Some(format!("http://127.0.0.1:{port}"));
    })
    .await;
    let anyone = broker.json_without_key();
    let answer = anyone.get("//nothing").await;
    assert_eq!(answer.verdict(), (502, "LegacyUnreachable"), "{}", answer.body);
    assert!(!answer.body.to_string().contains(&port.to_string()), "where it should be is nobody's business");
    assert_eq!(anyone.get("/status/heartbeat").await.status, 200);
    let listed = listed(&broker).await;
    assert_eq!((listed.unknown_calls, listed.unknown_failures), (1, 1));
    broker.stop().await;
}
