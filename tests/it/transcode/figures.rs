//! Figures: performance, models, heartbeat.

use serde_json::json;

use crate::harness::{ALICE, BOB, Broker};

#[tokio::test(flavor = "multi_thread")]
async fn performance_counts_what_waits_and_who_works() {
    let broker = Broker::with(|config| config.api.long_poll_timeout = 0).await;
    let (alice, bob) = (broker.json(ALICE), broker.json(BOB));
    let image = json!({"prompt": "x", "models": ["none-serves-it"], "params": {"n": 2, "steps": 20, "width": 1024,
        "height": 1024}});
    alice.post("/generate/async", image).await.ok();
    bob.post("/generate/pop", json!({"name": "painter", "models": ["stable_diffusion"], "threads": 3}))
        .await
        .ok();
    bob.post("/generate/text/pop", json!({"name": "scribe", "models": ["any-model"]})).await.ok();
    let figures = alice.get("/status/performance").await.ok();
    let things = figures["queued_megapixelsteps"].as_f64().unwrap();
    assert!(things > 20.0 && things < 42.0, "one or two images of 20 steps at 1024²: {things}");
    let expected = json!({"queued_requests": 2, "queued_text_requests": 0, "worker_count": 1, "text_worker_count": 1,
        "thread_count": 3, "text_thread_count": 1, "queued_megapixelsteps": figures["queued_megapixelsteps"],
        "past_minute_megapixelsteps": 0.0, "queued_forms": 0.0, "interrogator_count": 0,
        "interrogator_thread_count": 0, "queued_tokens": 0.0, "past_minute_tokens": 0.0});
    assert_eq!(figures.to_string(), expected.to_string(), "as text, since 0 and 0.0 differ");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn models_are_listed_by_type_and_number_of_threads() {
    let broker = Broker::with(|config| config.api.long_poll_timeout = 0).await;
    let (alice, bob) = (broker.json(ALICE), broker.json(BOB));
    bob.post("/generate/pop", json!({"name": "painter", "models": ["stable_diffusion"], "threads": 3}))
        .await
        .ok();
    bob.post("/generate/text/pop", json!({"name": "scribe", "models": ["a/b c"]})).await.ok();
    alice.post("/generate/text/async", json!({"prompt": "x", "models": ["wanted-only"]})).await.ok();
    let list = async |query: &str| {
        let list = alice.get(&format!("/status/models{query}")).await.ok();
        let mut names: Vec<_> = list
            .as_array()
            .expect("a bare list")
            .iter()
            .map(|model| model["name"].as_str().unwrap().to_owned())
            .collect();
        names.sort();
        names
    };
    for (query, expected) in [
        ("", vec!["stable_diffusion"]),
        ("?type=image", vec!["stable_diffusion"]),
        ("?type=text", vec!["a/b c", "wanted-only"]),
        ("?type=video", vec![]),
        ("?type=text&min_count=1", vec!["a/b c"]),
        ("?type=text&max_count=0", vec!["wanted-only"]),
        ("?min_count=3", vec!["stable_diffusion"]),
        ("?min_count=4", vec![]),
        ("?min_count=-1&max_count=3", vec!["stable_diffusion"]),
    ] {
        assert_eq!(list(query).await, expected, "{query}");
    }
    let image = alice.get("/status/models/stable_diffusion").await.ok();
    let expected = json!([{"name": "stable_diffusion", "count": 3, "type": "image", "performance": image[0]["performance"],
        "queued": 0.0, "jobs": 0.0, "eta": 0}]);
    assert_eq!(image.to_string(), expected.to_string(), "as text, since 0 and 0.0 differ");
    assert!(image[0]["performance"].is_f64());
    assert_eq!(alice.get("/status/models/a%2Fb%20c").await.ok()[0]["type"], "text");
    let wanted = alice.get("/status/models/wanted-only").await.ok();
    assert_eq!(
        (&wanted[0]["count"], &wanted[0]["jobs"], &wanted[0]["eta"]),
        (&json!(0), &json!(1.0), &json!(10_000))
    );
    assert_eq!(alice.get("/status/models/nobody-knows-it").await.ok(), json!([]));
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_heartbeat_says_that_all_is_well_and_counts_who_waits() {
    let broker = Broker::start().await;
    let mut worker = broker.worker(BOB, "waiting").await;
    let stream = worker.opens_text_stream(1, &[]).await;
    let beat = broker.json_without_key().get("/status/heartbeat").await.ok();
    let expected = json!({"message": "OK", "version": env!("CARGO_PKG_VERSION"), "queue": 0, "threads": beat["threads"],
        "active_count": 1, "db_connection": true});
    assert_eq!(beat, expected);
    assert!(beat["threads"].as_u64() > Some(0));
    drop(stream);
    broker.stop().await;
}
