//! Kudos up front: set aside, spent, free again, and what becomes of requests that do without.

use std::io::Cursor;

use base64::{Engine, prelude::BASE64_STANDARD};
use image::{DynamicImage, ImageFormat};
use serde_json::{Value, json};

use crate::harness::{ALICE, ANONYMOUS, BOB, Broker, Grid, Json, is_distributed};

/// Two jobs of some 373 kudos each: of 1000, with a floor of 25, there is room for one such request.
fn large(more: Value) -> Value {
    let mut body = json!({"prompt": "a wall", "params": {"n": 2, "width": 2048, "height": 2048}});
    for (name, value) in more.as_object().expect("an object") {
        body[name] = value.clone();
    }
    body
}

/// It needs a few kudos up front.
fn hasty() -> Value {
    json!({"prompt": "a stamp", "slow_workers": false})
}

async fn submits(who: &Json, body: Value) -> String {
    who.post("/generate/async", body).await.ok()["id"].as_str().expect("it has an ID").to_owned()
}

async fn is_refused(who: &Json, body: Value) {
    let refused = who.post("/generate/async", body).await;
    assert_eq!(refused.verdict(), (403, "KudosUpfront"), "{}", refused.body);
}

fn offer() -> Value {
    json!({"name": "painter", "models": ["stable_diffusion"], "max_pixels": 4194304, "amount": 1,
           "bridge_agent": "AI Horde Worker reGen:13:x"})
}

async fn delivers(bob: &Json) -> Value {
    let job = bob.post("/generate/pop", offer()).await.ok();
    let mut bytes = Vec::new();
    let picture = DynamicImage::new_rgb8(64, 64);
    picture.write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png).expect("it can be written");
    let result = json!({"id": job["id"], "generation": BASE64_STANDARD.encode(bytes), "seed": 1});
    bob.post("/generate/submit", result).await.ok();
    job
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_set_aside_survives_a_restart_and_is_free_again_once_the_request_ends() {
    let broker = Broker::start().await;
    let alice = broker.json(ALICE);
    let dry = alice.post("/generate/async", large(json!({"dry_run": true}))).await;
    assert_eq!(dry.status, 200);
    let price = dry.body["kudos"].as_f64().expect("a price");
    let id = submits(&alice, large(json!({}))).await;
    let refused = alice.post("/generate/async", large(json!({}))).await;
    assert_eq!(refused.verdict(), (403, "KudosUpfront"));
    let message = refused.body["message"].as_str().expect("a text");
    // The price of a dry run is rounded.
    let is_named = [price - 1.0, price].iter().any(|whole| message.contains(&format!("needs {whole}")));
    assert!(is_named, "{message} names {price}");
    // With several brokers what is set aside is known to Records alone, which a dry run does not ask.
    if !crate::harness::is_distributed() {
        is_refused(&alice, large(json!({"dry_run": true}))).await;
    }
    let broker = broker.restart().await;
    let alice = broker.json(ALICE);
    is_refused(&alice, large(json!({}))).await;
    submits(&alice, hasty()).await;
    alice.delete(&format!("/generate/status/{id}")).await.ok();
    submits(&alice, large(json!({}))).await;
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_job_costs_is_taken_from_what_was_set_aside() {
    let broker = Broker::start().await;
    let (alice, bob) = (broker.json(ALICE), broker.json(BOB));
    submits(&alice, large(json!({}))).await;
    delivers(&bob).await;
    let kudos = alice.get("/find_user").await.ok()["kudos"].as_f64().expect("a balance");
    assert!((600.0..650.0).contains(&kudos), "{kudos}: one of the two is paid");
    // Were all of it still set aside, nothing would be left.
    submits(&alice, hasty()).await;
    is_refused(&alice, large(json!({}))).await;
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_allows_it_gets_a_smaller_request_instead() {
    let broker = Broker::start().await;
    let (nobody, bob) = (broker.json(ANONYMOUS), broker.json(BOB));
    is_refused(&nobody, large(json!({}))).await;
    submits(&nobody, large(json!({"allow_downgrade": true, "slow_workers": false}))).await;
    let job = delivers(&bob).await;
    assert_eq!((&job["payload"]["width"], &job["payload"]["height"]), (&json!(1024), &json!(1024)));
    assert_eq!(job["payload"]["ddim_steps"], 30);
    let long = json!({"prompt": "once", "params": {"max_length": 4096, "max_context_length": 8192, "n": 20}});
    let refused = nobody.post("/generate/text/async", long.clone()).await;
    assert_eq!(refused.verdict(), (403, "KudosUpfront"));
    assert!(refused.body["message"].as_str().is_some_and(|text| text.contains("400")), "20 each");
    let mut long = long;
    long["allow_downgrade"] = true.into();
    nobody.post("/generate/text/async", long).await.ok();
    let offer =
        json!({"name": "scribe", "models": ["a-model"], "max_length": 512, "max_context_length": 8192});
    let job = bob.post("/generate/text/pop", offer).await.ok();
    assert_eq!(job["payload"]["max_length"], 512);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn naming_workers_needs_kudos_where_the_operator_says_so() {
    let broker = Broker::with(|config| config.api.upfront_kudos_on_worker_list = true).await;
    let (nobody, bob) = (broker.json(ANONYMOUS), broker.json(BOB));
    let pop = bob.request(reqwest::Method::POST, "/generate/pop").header("prefer", "wait=0").json(&offer());
    bob.send(pop).await.ok();
    let worker = bob.get("/workers/name/painter").await.ok()["id"].clone();
    // 20 jobs of some 7 kudos: more than the anonymous account may owe.
    let body = json!({"prompt": "x", "workers": [worker], "allow_downgrade": true, "params": {"n": 20}});
    is_refused(&nobody, body.clone()).await;
    submits(&broker.json(ALICE), body).await;
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_brokers_do_not_set_the_same_kudos_aside() {
    if is_distributed() {
        // The same in the other run of the tests.
        return;
    }
    let grid = Grid::start().await;
    grid.adds_user("poor", "poor-has-this-key-0", 1000, 100, vec![]).await;
    let nodes = grid.json("poor-has-this-key-0");
    let alike =
        nodes.iter().chain(&nodes).map(async |node| node.post("/generate/async", large(json!({}))).await);
    let answers = futures_util::future::join_all(alike).await;
    let accepted = answers.iter().filter(|answer| answer.status == 202).count();
    assert_eq!(accepted, 1, "{answers:?}");
    for refused in answers.iter().filter(|answer| answer.status != 202) {
        assert_eq!(refused.verdict(), (403, "KudosUpfront"), "{}", refused.body);
    }
    let small = nodes[2].post("/generate/async", large(json!({"allow_downgrade": true}))).await;
    assert_eq!(small.status, 202, "smaller, even if this broker finds out last: {}", small.body);
}
