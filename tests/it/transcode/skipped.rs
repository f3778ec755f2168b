//! What a pop without a job is told, and what paused workers are shown.

use serde_json::{Value, json};

use crate::harness::{ALICE, BOB, Broker, CAROL, Json, MONA};

const PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const REGEN: &str = "AI Horde Worker reGen:13:x";

async fn asks(json: &Json, changes: Value) {
    let mut body = json!({"prompt": "a lighthouse", "models": ["stable_diffusion"], "nsfw": false});
    for (key, value) in changes.as_object().expect("it is an object") {
        body[key] = value.clone();
    }
    json.post("/generate/async", body).await.ok();
}

/// Pops without waiting, and returns the whole answer.
async fn pops(json: &Json, path: &str, body: Value) -> Value {
    let pop = json.request(reqwest::Method::POST, path).header("prefer", "wait=0").json(&body);
    json.send(pop).await.ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_pop_is_told_of_the_whole_queue_under_every_key_that_applies() {
    let broker = Broker::start().await;
    let (alice, carol) = (broker.json(ALICE), broker.json(CAROL));
    let source = json!({"source_image": PNG});
    let sized = |side: u32| json!({"params": {"width": side, "height": side}});
    for request in [
        json!({"models": ["Deliberate"]}),
        json!({"models": ["stable_diffusion", "Deliberate"], "nsfw": true}),
        json!({"trusted_workers": true}),
        json!({"nsfw": true}),
        json!({"slow_workers": false, "trusted_workers": true}),
        json!({"source_image": PNG, "source_processing": "inpainting", "source_mask": PNG}),
        source,
        sized(512),
        sized(576),
        json!({"params": {"post_processing": ["GFPGAN"]}}),
        json!({"params": {"loras": [{"name": "1"}]}}),
        json!({"params": {"steps": 30, "sampler_name": "k_heun"}}),
        json!({"prompt": "something hateful"}),
        json!({"params": {"tiling": true, "hires_fix": true}, "nsfw": true}),
    ] {
        asks(&alice, request).await;
    }
    // Its software has neither tiling nor LoRAs, although it allows them.
    let offer = json!({
        "name": "picky", "models": ["stable_diffusion"], "bridge_agent": "AI Horde Worker:21:x",
        "max_pixels": 512 * 512, "nsfw": false, "allow_img2img": false, "allow_painting": true,
        "allow_post_processing": false, "allow_lora": true, "limit_max_steps": true,
        "extra_slow_worker": true, "blacklist": ["HATE"],
    });
    let none = pops(&carol, "/generate/pop", offer).await;
    assert_eq!(none["id"], Value::Null, "{none}");
    let told = none["skipped"].to_string();
    assert_eq!(
        told,
        // None allows extra-slow workers, and all are as large as its largest image at least.
        json!({
            "bridge_version": 2, "controlnet": 0, "img2img": 2, "lora": 0, "max_pixels": 14, "models": 2,
            "nsfw": 3, "painting": 0, "performance": 14, "post-processing": 1, "unsafe_ip": 0, "untrusted": 2,
            "worker_id": 0
        })
        .to_string()
    );
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_a_candidate_is_told_is_there_if_there_is_any() {
    let broker = Broker::start().await;
    let (alice, carol) = (broker.json(ALICE), broker.json(CAROL));
    asks(&alice, json!({"params": {"steps": 30, "sampler_name": "k_heun"}})).await;
    asks(&alice, json!({"prompt": "something hateful"})).await;
    asks(&alice, json!({"prompt": "something else that is hateful", "nsfw": true})).await;
    let offer = json!({
        "name": "picky", "models": ["stable_diffusion"], "bridge_agent": REGEN, "max_pixels": 1 << 20,
        "nsfw": false, "limit_max_steps": true, "blacklist": ["HATE"],
    });
    let none = pops(&carol, "/generate/pop", offer).await;
    let skipped = &none["skipped"];
    for (key, count) in [("step_count", 1), ("blacklist", 1), ("nsfw", 1), ("bridge_version", 0)] {
        assert_eq!(skipped[key], count, "{key} of {skipped}");
    }
    for key in ["kudos", "max_pixels"] {
        assert!(skipped.get(key).is_none(), "{key} of {skipped}");
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_pop_is_told_why_it_did_not_get_what_it_was_a_candidate_for() {
    let broker = Broker::start().await;
    let (alice, bob, carol) = (broker.json(ALICE), broker.json(BOB), broker.json(CAROL));
    for body in [
        json!({"prompt": "x", "models": ["another"]}),
        json!({"prompt": "x", "params": {"max_length": 512}}),
        json!({"prompt": "x", "trusted_workers": true}),
        json!({"prompt": "x", "softprompt": "kind"}),
    ] {
        alice.post("/generate/text/async", body).await.ok();
    }
    let offer =
        json!({"name": "scribe", "models": ["mine"], "max_length": 80, "bridge_agent": "TabbyAPI:1:x"});
    let none = pops(&carol, "/generate/text/pop", offer.clone()).await;
    assert_eq!(none["skipped"], json!({"untrusted": 1, "matching_softprompt": 1}), "{none}");
    let mut kind = offer;
    (kind["name"], kind["softprompts"]) = (json!("kind scribe"), json!(["kind"]));
    let jobs =
        [pops(&bob, "/generate/text/pop", kind.clone()).await, pops(&bob, "/generate/text/pop", kind).await];
    let told: Vec<_> = jobs.iter().map(|job| &job["softprompt"]).collect();
    assert_eq!(told, [&Value::Null, &json!("kind")], "{jobs:?}");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_matched_targeting_workers_on_a_list_serve_those_they_serve_first() {
    let broker = Broker::with(|config| config.api.require_matched_targeting = true).await;
    let (alice, bob) = (broker.json(ALICE), broker.json(BOB));
    let me = alice.get("/find_user").await.ok()["username"].as_str().expect("she has a name").to_owned();
    let offer = |priority: &[&str]| {
        json!({"name": "painter", "models": ["stable_diffusion"], "bridge_agent": REGEN,
               "max_pixels": 1 << 20, "priority_usernames": priority})
    };
    assert_eq!(pops(&bob, "/generate/pop", offer(&[])).await["id"], Value::Null, "it is known from now on");
    let id = bob.get("/workers/name/painter").await.ok()["id"].clone();
    asks(&alice, json!({"workers": [id]})).await;
    let none = pops(&bob, "/generate/pop", offer(&[])).await;
    assert_eq!((&none["id"], &none["skipped"]["worker_id"]), (&Value::Null, &json!(0)), "{none}");
    assert!(pops(&bob, "/generate/pop", offer(&[&me])).await["id"].is_string());
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_worker_is_shown_a_job_that_nothing_comes_of() {
    let broker = Broker::start().await;
    let (alice, bob, carol, mona) =
        (broker.json(ALICE), broker.json(BOB), broker.json(CAROL), broker.json(MONA));
    let offer = |name: &str| json!({"name": name, "models": ["stable_diffusion"], "bridge_agent": REGEN, "max_pixels": 1 << 20});
    assert_eq!(pops(&carol, "/generate/pop", offer("suspect")).await["id"], Value::Null);
    let worker = carol.get("/workers/name/suspect").await.ok()["id"].as_str().expect("an ID").to_owned();
    mona.put(&format!("/workers/{worker}"), json!({"paused": true})).await.ok();
    let id = alice.post("/generate/async", json!({"prompt": "x"})).await.ok()["id"].clone();
    let id = id.as_str().expect("an ID");
    let before = carol.get("/find_user").await.ok()["kudos"].clone();

    let decoy = pops(&carol, "/generate/pop", offer("suspect")).await;
    assert!(decoy["id"].is_string() && decoy["payload"]["prompt"] == "x", "{decoy}");
    assert_eq!((&decoy["skipped"], &decoy["model"]), (&json!({}), &json!("stable_diffusion")));
    let check = alice.get(&format!("/generate/check/{id}")).await.ok();
    assert_eq!((&check["waiting"], &check["processing"]), (&json!(1), &json!(0)), "{check}");
    let link = decoy["r2_upload"].as_str().expect("a link");
    let uploaded = reqwest::Client::new().put(link).body(image()).send().await.expect("it answers");
    assert_eq!(uploaded.status(), 200);
    let result = json!({"id": decoy["id"], "generation": "R2", "seed": 1});
    assert_eq!(bob.post("/generate/submit", result.clone()).await.verdict(), (403, "WrongCredentials"));
    let told = carol.post("/generate/submit", result.clone()).await.ok();
    assert!(told["reward"].as_f64().is_some_and(|reward| reward > 0.0), "{told}");
    assert_eq!(carol.post("/generate/submit", result).await.verdict(), (400, "DuplicateGen"));
    assert_eq!(carol.get("/find_user").await.ok()["kudos"], before, "nobody is paid");
    let shown = mona.get(&format!("/workers/{worker}")).await.ok();
    assert_eq!(shown["requests_fulfilled"], 0, "{shown}");

    let real = pops(&bob, "/generate/pop", offer("painter")).await;
    assert!(real["id"].is_string() && real["id"] != decoy["id"], "{real}");
    broker.stop().await;
}

/// The smallest picture there is.
fn image() -> Vec<u8> {
    use base64::{Engine, prelude::BASE64_STANDARD};
    BASE64_STANDARD.decode(PNG).expect("it is base64")
}
