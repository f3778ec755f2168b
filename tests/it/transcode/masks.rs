//! `X-Fields`.

use reqwest::Method;
use serde_json::json;

use crate::harness::{ALICE, BOB, Broker};

#[tokio::test(flavor = "multi_thread")]
async fn a_mask_selects_of_objects_and_of_each_item_of_a_list() {
    let broker = Broker::with(|config| config.api.long_poll_timeout = 0).await;
    let (alice, bob) = (broker.json(ALICE), broker.json(BOB));
    for name in ["one", "two"] {
        bob.post("/generate/text/pop", json!({"name": name, "models": ["any-model"]})).await.ok();
    }
    for (path, mask, expected) in [
        ("/status/heartbeat", "message", json!({"message": "OK"})),
        ("/status/heartbeat", "{message, queue}", json!({"message": "OK", "queue": 0})),
        ("/status/heartbeat", "nothing", json!({})),
        (
            "/workers",
            "name,kudos_details{uptime}",
            json!([{"name": "one", "kudos_details": {"uptime": 0}}, {"name": "two", "kudos_details": {"uptime": 0}}]),
        ),
        ("/workers/name/two", "name,models", json!({"name": "two", "models": ["any-model"]})),
    ] {
        let request = alice.request(Method::GET, path).header("x-fields", mask);
        assert_eq!(alice.send(request).await.ok(), expected, "{path} {mask}");
    }
    let all =
        alice.send(alice.request(Method::GET, "/status/performance").header("x-fields", "*")).await.ok();
    assert_eq!(all, alice.get("/status/performance").await.ok());
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_mask_is_refused_before_anything_is_done() {
    let broker = Broker::with(|config| config.api.long_poll_timeout = 0).await;
    let alice = broker.json(ALICE);
    for mask in ["", "{", "a{b", "a,,b", "}", "a{}"] {
        for (verb, path, body) in [
            (Method::GET, "/status/heartbeat", None),
            (Method::POST, "/generate/async", Some(json!({"prompt": "x"}))),
            (Method::POST, "/generate/text/pop", Some(json!({"name": "masked", "models": ["any-model"]}))),
        ] {
            let mut request = alice.request(verb, path).header("x-fields", mask);
            if let Some(body) = body {
                request = request.json(&body);
            }
            let refused = alice.send(request).await;
            assert_eq!((refused.status, refused.rc()), (400, ""), "{mask:?} {path}: {}", refused.body);
            assert!(refused.body["message"].as_str().unwrap().contains("X-Fields"), "{}", refused.body);
        }
    }
    broker.holds_nothing().await;
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_told_whatever_the_mask() {
    let broker = Broker::start().await;
    let alice = broker.json(ALICE);
    let refused = alice.send(alice.request(Method::GET, "/workers/x").header("x-fields", "name")).await;
    assert_eq!(refused.verdict(), (404, "WorkerNotFound"));
    broker.stop().await;
}
