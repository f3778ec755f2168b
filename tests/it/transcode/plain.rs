//! Health, readiness and metrics.

use serde_json::json;

use crate::harness::{ALICE, BOB, Broker};

#[tokio::test(flavor = "multi_thread")]
async fn health_is_told_in_json() {
    let broker = Broker::start().await;
    let anyone = broker.json_without_key();
    for (path, word) in [("//health", "ok"), ("//livez", "alive"), ("//readyz", "ready")] {
        let answer = anyone.get(path).await;
        assert_eq!((answer.status, answer.body), (200, json!({"status": word})), "{path}");
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_prometheus_text_without_keys_or_prompts() {
    let broker = Broker::with(|config| config.api.long_poll_timeout = 0).await;
    let (alice, bob) = (broker.json(ALICE), broker.json(BOB));
    alice.post("/generate/text/async", json!({"prompt": "a secret of mine"})).await.ok();
    bob.post("/generate/text/pop", json!({"name": "scribe", "models": ["any-model"]})).await.ok();
    let response = reqwest::get(format!("{}/metrics", broker.url())).await.expect("it answers");
    assert_eq!(response.status(), 200);
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/plain; version=0.0.4"));
    let text = response.text().await.expect("it is whole");
    for name in [
        "gridbroker_jobs_waiting",
        "gridbroker_jobs_held",
        "gridbroker_offers_open",
        "gridbroker_batch_records",
    ] {
        assert!(text.contains(&format!("# TYPE {name} ")), "{name} is missing in:\n{text}");
    }
    for secret in [ALICE, BOB, "a secret of mine"] {
        assert!(!text.contains(secret), "{secret}");
    }
    broker.stop().await;
}
