//! Golden bodies of alchemy: every key, its form, and nothing else.

use serde_json::{Value, json};

use crate::harness::{ALICE, BOB, Broker};

/// A pixel.
const PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

/// Takes a text out of a body and puts a constant there, after a look at it.
fn take(body: &mut Value, path: &str, is_right: impl Fn(&str) -> bool) -> String {
    let place = body.pointer_mut(path).unwrap_or_else(|| panic!("{path} is missing"));
    let text = place.as_str().unwrap_or_else(|| panic!("{path} is no text")).to_owned();
    assert!(is_right(&text), "{path}: {text}");
    *place = json!("<text>");
    text
}

fn is_id(text: &str) -> bool {
    uuid::Uuid::parse_str(text).is_ok()
}

fn is_link(text: &str) -> bool {
    text.starts_with("http://127.0.0.1:") && text.contains(".webp?expires=")
}

#[tokio::test(flavor = "multi_thread")]
async fn alchemy_from_submit_to_status() {
    let broker = Broker::start().await;
    let (alice, bob) = (broker.json(ALICE), broker.json(BOB));
    let forms = json!([{"name": "caption"}, {"name": "RealESRGAN_x4plus"}]);
    let mut accepted = alice.post("/interrogate/async", json!({"source_image": PNG, "forms": forms})).await;
    let id = take(&mut accepted.body, "/id", is_id);
    assert_eq!((accepted.status, accepted.body), (202, json!({"id": "<text>"})));
    let offer = json!({"name": "alchemist", "forms": ["caption", "RealESRGAN_x4plus"], "amount": 2});
    let mut pop = bob.post("/interrogate/pop", offer).await.ok();
    let caption = take(&mut pop, "/forms/0/id", is_id);
    let larger = take(&mut pop, "/forms/1/id", is_id);
    for link in ["/forms/0/source_image", "/forms/1/source_image", "/forms/1/r2_upload"] {
        take(&mut pop, link, is_link);
    }
    assert_eq!(
        pop.to_string(),
        json!({"forms": [
            {"id": "<text>", "form": "caption", "source_image": "<text>"},
            {"id": "<text>", "form": "RealESRGAN_x4plus", "source_image": "<text>", "r2_upload": "<text>"}
        ], "skipped": {}})
        .to_string()
    );
    let result = json!({"id": caption, "result": {"caption": "a cat"}, "state": "ok"});
    assert_eq!(bob.post("/interrogate/submit", result).await.ok().to_string(), r#"{"reward":1.0}"#);
    let status = alice.get(&format!("/interrogate/status/{id}")).await.ok();
    assert_eq!(
        status.to_string(),
        json!({"state": "processing", "forms": [
            {"form": "caption", "state": "done", "result": {"caption": "a cat"}},
            {"form": "RealESRGAN_x4plus", "state": "processing"}
        ]})
        .to_string()
    );
    let failed = json!({"id": larger, "result": {}, "state": "faulted"});
    assert_eq!(bob.post("/interrogate/submit", failed).await.ok().to_string(), r#"{"reward":0.0}"#);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pop_without_a_form_says_null_and_why() {
    let broker = Broker::start().await;
    let (alice, carol) = (broker.json(ALICE), broker.json(crate::harness::CAROL));
    for _ in 0..2 {
        let body = json!({"source_image": PNG, "forms": [{"name": "nsfw"}], "trusted_workers": true});
        alice.post("/interrogate/async", body).await.ok();
    }
    let pop = carol.request(reqwest::Method::POST, "/interrogate/pop").header("prefer", "wait=0");
    let none = carol.send(pop.json(&json!({"name": "stranger", "forms": ["nsfw"]}))).await.ok();
    assert_eq!(none.to_string(), json!({"forms": null, "skipped": {"untrusted": 2}}).to_string());
    broker.stop().await;
}
