//! How long a pop is held: by setting, and by the caller's wish.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;

use crate::harness::{ALICE, BOB, Broker, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_may_ask_for_less_than_the_setting_and_not_for_more() {
    let broker = Broker::with(|config| config.api.long_poll_timeout = 1).await;
    let bob = broker.json(BOB);
    for (prefer, least, most) in [
        (Some("wait=0"), 0, 900),
        (Some("respond-async, wait=0"), 0, 900),
        (Some("wait=99999"), 1000, 15_000),
        (Some("wait=-1"), 1000, 15_000),
        (Some("wait=18446744073709551616"), 1000, 15_000),
        (Some("\t"), 1000, 15_000),
        (None, 1000, 15_000),
    ] {
        let offer = json!({"name": "scribe", "models": ["any-model"]});
        let mut request = bob.request(Method::POST, "/generate/text/pop").json(&offer);
        if let Some(prefer) = prefer {
            request = request.header("prefer", prefer);
        }
        let began = Instant::now();
        let empty = bob.send(request).await.ok();
        assert_eq!((&empty["id"], &empty["ids"]), (&json!(null), &json!([])));
        let held = began.elapsed();
        let span = Duration::from_millis(least)..Duration::from_millis(most);
        assert!(span.contains(&held), "{prefer:?} was held for {held:?}");
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setting_of_zero_answers_at_once_with_what_was_passed_over() {
    let broker = Broker::with(|config| config.api.long_poll_timeout = 0).await;
    let (alice, bob) = (broker.json(ALICE), broker.json(BOB));
    alice
        .post("/generate/async", json!({"prompt": "x", "params": {"width": 1024, "height": 1024}}))
        .await
        .ok();
    let offer = json!({"name": "small", "models": ["stable_diffusion"]});
    let empty = bob.post("/generate/pop", offer).await.ok();
    assert_eq!((&empty["id"], &empty["skipped"]["max_pixels"]), (&json!(null), &json!(1)), "{empty}");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pop_whose_deadline_passes_leaves_no_offer() {
    let broker = Broker::start().await;
    let worker = broker.worker(BOB, "hasty").await;
    let mut request = worker.keyed(worker.text_offer());
    request.set_timeout(Duration::from_millis(300));
    let offers = broker.json(ALICE);
    let offers = async || offers.get("/status/heartbeat").await.ok()["active_count"].as_u64();
    let held = tokio::spawn({
        let mut client = worker.client.clone();
        async move { client.pop_text(request).await.expect_err("nothing comes in time").code() }
    });
    let code = held.await.expect("it ends");
    assert!(matches!(code, tonic::Code::Cancelled | tonic::Code::DeadlineExceeded), "{code:?}");
    eventually(async || offers().await == Some(0)).await;
    broker.stop().await;
}
