//! Links to hand images in, after and instead of what they are for.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, RgbImage};
use serde_json::json;

use crate::harness::{ALICE, BOB, Broker};

fn picture() -> Vec<u8> {
    let mut bytes = Vec::new();
    let image = DynamicImage::from(RgbImage::new(64, 64));
    image.write_to(&mut Cursor::new(&mut bytes), ImageFormat::WebP).expect("it can be written");
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_settled_image_cannot_be_replaced_and_garbage_is_no_image() {
    let broker = Broker::start().await;
    let (alice, bob) = (broker.json(ALICE), broker.json(BOB));
    let id = alice.post("/generate/async", json!({"prompt": "x"})).await.ok()["id"].clone();
    let offer = json!({"name": "painter", "models": ["stable_diffusion"], "max_pixels": 4194304,
                       "bridge_agent": "AI Horde Worker reGen:13:x"});
    let job = bob.post("/generate/pop", offer).await.ok();
    let link = job["r2_upload"].as_str().expect("a link");
    let plain = reqwest::Client::new();
    let put =
        async |content: Vec<u8>| plain.put(link).body(content).send().await.expect("it answers").status();
    let result = json!({"id": job["id"], "generation": "R2", "seed": 1});

    assert_eq!(put(b"garbage".to_vec()).await, 200, "what it is, is looked at when it is submitted");
    let refused = bob.post("/generate/submit", result.clone()).await;
    assert_eq!(refused.verdict(), (400, "BadRequest"), "{}", refused.body);
    assert_eq!(put(picture()).await, 200, "the job is still the worker's");
    bob.post("/generate/submit", result).await.ok();

    assert_eq!(put(b"garbage".to_vec()).await, 400, "the link is worth nothing any more");
    let status = alice.get(&format!("/generate/status/{}", id.as_str().unwrap())).await.ok();
    let shown = status["generations"][0]["img"].as_str().expect("a link");
    let fetched = reqwest::get(shown).await.expect("it answers").bytes().await.expect("it is whole");
    assert_eq!(fetched, picture());
    broker.stop().await;
}
