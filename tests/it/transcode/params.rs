//! What goes with the rules of requests: masks that an image brings along, and names that are cleaned.

use serde_json::{Value, json};

use super::conformance::params::{image, png, with};
use crate::harness::{ALICE, BOB, Broker};

#[tokio::test(flavor = "multi_thread")]
async fn an_alpha_channel_serves_as_a_mask() {
    let broker = Broker::start().await;
    let alice = broker.json(ALICE);
    for change in [
        json!({"source_image": png(true), "source_processing": "inpainting"}),
        json!({"source_image": png(false), "source_processing": "inpainting", "source_mask": png(false)}),
        json!({"source_image": png(false), "source_processing": "outpainting"}),
        json!({"source_image": png(false)}),
    ] {
        let accepted = alice.post("/generate/async", image(change)).await;
        assert_eq!(accepted.status, 202, "{}", accepted.body);
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_cleaned() {
    let offer = |change: Value| with(json!({"name": "x", "models": ["stable_diffusion"]}), change);
    let broker = Broker::with(|config| config.api.long_poll_timeout = 0).await;
    let bob = broker.json(BOB);
    bob.post("/generate/pop", offer(json!({"name": "<a>\0 & b"}))).await.ok();
    let named = bob.get("/workers/name/%3Ca%3E%20%26%20b").await;
    assert_eq!(named.verdict(), (404, "WorkerNotFound"), "names are kept as they are shown");
    let kept = bob.get("/workers/name/%26lt%3Ba%26gt%3B%20%26amp%3B%20b").await.ok();
    assert_eq!(kept["name"], "&lt;a&gt; &amp; b");
    broker.stop().await;
}
