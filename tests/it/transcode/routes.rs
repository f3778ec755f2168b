//! Paths and verbs: unknown ones, wrong ones, HEAD, OPTIONS, slashes, IDs in paths.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{ALICE, Broker};

#[tokio::test(flavor = "multi_thread")]
async fn unknown_paths_and_trailing_slashes_are_404() {
    let broker = Broker::start().await;
    let alice = broker.json(ALICE);
    for path in [
        "/nothing",
        "/generate/async/",
        "/status/heartbeat/",
        "/workers/",
        "/workers/name/",
        "/generate/check/",
        "/generate/text",
        "/interrogate",
        "/status/performance/x",
        "/GENERATE/async",
        "//api/v2",
        "//api/v1/status/heartbeat",
        "//api/v2/../../etc/passwd",
        "//health/",
        "//grid.v2.Nothing/Get",
        "//objects",
    ] {
        for verb in [Method::GET, Method::POST, Method::DELETE] {
            let answer = alice.send(alice.request(verb.clone(), path)).await;
            assert_eq!(answer.status, 404, "{verb} {path}: {}", answer.body);
            assert!(answer.body["message"].is_string() && answer.body.get("rc").is_none(), "{verb} {path}");
        }
    }
    broker.holds_nothing().await;
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_verbs_are_405_and_told_the_right_ones() {
    let broker = Broker::start().await;
    let alice = broker.json(ALICE);
    for (path, allow) in [
        ("/generate/async", "POST, OPTIONS"),
        ("/generate/text/async", "POST, OPTIONS"),
        ("/generate/pop", "POST, OPTIONS"),
        ("/workers/pop", "GET, HEAD, OPTIONS, POST"),
        ("/generate/submit", "POST, OPTIONS"),
        ("/generate/progress", "POST, OPTIONS"),
        ("/generate/check/x", "GET, HEAD, OPTIONS"),
        ("/generate/status/x", "GET, DELETE, HEAD, OPTIONS"),
        ("/generate/text/status/x", "GET, DELETE, HEAD, OPTIONS"),
        ("/generate/x/stream", "GET, HEAD, OPTIONS"),
        ("/status/heartbeat", "GET, HEAD, OPTIONS"),
        ("/status/models", "GET, HEAD, OPTIONS"),
        ("/workers", "GET, HEAD, OPTIONS"),
        ("/find_user", "GET, HEAD, OPTIONS"),
        ("/kudos/transfer", "POST, OPTIONS"),
        ("/kudos/award", "POST, OPTIONS"),
    ] {
        let right: Vec<&str> = allow.split(", ").collect();
        for verb in ["GET", "POST", "PUT", "DELETE", "PATCH", "TRACE", "BREW"] {
            if right.contains(&verb) {
                continue;
            }
            let answer = alice.send(alice.request(verb.parse().unwrap(), path)).await;
            assert_eq!(answer.status, 405, "{verb} {path}: {}", answer.body);
            assert!(answer.body["message"].is_string() && answer.body.get("rc").is_none(), "{}", answer.body);
            let told: Vec<&str> = answer.headers["allow"].to_str().unwrap().split(", ").collect();
            assert!(
                told.iter().all(|verb| right.contains(verb)) && !told.is_empty(),
                "{verb} {path}: {told:?}"
            );
        }
        let options = alice.send(alice.request(Method::OPTIONS, path)).await;
        assert_eq!((options.status, &options.body), (200, &Value::Null), "{path}");
        assert!(
            options.headers.contains_key("allow")
                && options.headers.contains_key("access-control-allow-methods")
        );
    }
    for path in ["//health", "//livez", "//readyz", "//metrics"] {
        let answer = alice.send(alice.request(Method::POST, path)).await;
        assert_eq!(answer.status, 405, "{path}");
        assert!(answer.body["message"].is_string(), "{path}: {}", answer.body);
    }
    broker.holds_nothing().await;
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn head_mirrors_get() {
    let broker = Broker::start().await;
    let alice = broker.json(ALICE);
    for (path, status) in
        [("/status/heartbeat", 200), ("/workers", 200), ("/generate/check/x", 404), ("//health", 200)]
    {
        let head = alice.send(alice.request(Method::HEAD, path)).await;
        let get = alice.get(path).await;
        assert_eq!((head.status, head.body), (status, Value::Null), "{path}");
        assert_eq!(head.headers.get("content-type"), get.headers.get("content-type"), "{path}");
        assert_eq!(head.headers.get("content-length"), get.headers.get("content-length"), "{path}");
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_in_paths_are_found_in_any_spelling_or_not_at_all() {
    let broker = Broker::start().await;
    let alice = broker.json(ALICE);
    let id = alice.post("/generate/text/async", json!({"prompt": "x"})).await.ok()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    for (spelling, status) in [
        (id.clone(), 200),
        (id.to_uppercase(), 200),
        (id.replacen(&id[..1], &format!("%{:02x}", id.as_bytes()[0]), 1), 200),
        (format!("{id}%00"), 404),
        (format!("{id}%20"), 404),
        ("%ff%fe".into(), 404),
        ("..".into(), 404),
        ("-1".into(), 404),
        ("x".repeat(5000), 404),
    ] {
        for path in
            [format!("/generate/text/status/{spelling}"), format!("/generate/{spelling}/stream?after=0-0")]
        {
            // A stream that is there does not end.
            if status == 200 && path.contains("stream") {
                continue;
            }
            assert_eq!(alice.get(&path).await.status, status, "{path}");
        }
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_names_its_node_and_ends_with_a_newline_in_ascii() {
    let broker = Broker::start().await;
    let client = reqwest::Client::new();
    let json = "application/json; charset=utf-8";
    for path in ["/api/v2/status/heartbeat", "/api/v2/generate/check/né", "/api/v2/nothing"] {
        let response = client.get(format!("{}{path}", broker.url())).send().await.expect("it answers");
        assert_eq!(response.headers()["content-type"], json, "{path}");
        let node = response.headers()["horde-node"].to_str().unwrap().to_owned();
        let address = broker.url().trim_start_matches("http://");
        assert_eq!(node, format!("{address}:{}", env!("CARGO_PKG_VERSION")), "{path}");
        let body = response.text().await.expect("it is whole");
        assert!(body.ends_with('\n') && !body.ends_with("\n\n") && body.is_ascii(), "{path}: {body:?}");
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_beyond_all_measure_are_refused_and_others_are_served_on() {
    let broker = Broker::start().await;
    let alice = broker.json(ALICE);
    let long = alice.request(Method::GET, "/status/heartbeat").header("client-agent", "x".repeat(600_000));
    // Either the answer arrives, or the connection is gone while the header is still being sent.
    if let Ok(response) = long.send().await {
        assert_eq!(response.status(), 431);
    }
    let mut many = alice.request(Method::GET, "/status/heartbeat");
    for i in 0..200 {
        many = many.header(format!("x-header-{i}"), "x");
    }
    if let Ok(response) = many.send().await {
        assert_eq!(response.status(), 431);
    }
    assert_eq!(alice.get("/status/heartbeat").await.status, 200);
    broker.stop().await;
}
