//! Images whose objects lie in a bucket: by links of the broker, and by links of the bucket itself.

use std::{io::Cursor, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use gridbroker::{
    config::Objects,
    domain::{Clock, clock::SystemClock},
};
use image::{DynamicImage, ImageFormat, RgbImage};
use reqwest::{Client, Method, StatusCode};
use rusty_s3::S3Action;
use serde_json::{Value, json};

use crate::harness::{ALICE, BOB, Broker, holds_within, names_in, s3, signer};

fn offer(agent: &str) -> Value {
    json!({"name": agent.split(':').next().unwrap(), "models": ["stable_diffusion", "stable_diffusion_inpainting"], "max_pixels": 4194304,
           "amount": 4, "bridge_agent": agent})
}

const REGEN: &str = "AI Horde Worker reGen:13:x";

fn picture(format: ImageFormat, shade: u8) -> Vec<u8> {
    let image = RgbImage::from_fn(64, 64, |x, y| image::Rgb([x as u8, y as u8, shade]));
    let mut bytes = Vec::new();
    DynamicImage::from(image).write_to(&mut Cursor::new(&mut bytes), format).expect("it can be written");
    bytes
}

async fn put(link: &Value, content_type: Option<&str>, content: Vec<u8>) -> StatusCode {
    let put = Client::new().put(link.as_str().expect("a link")).body(content);
    let put = match content_type {
        Some(content_type) => put.header("content-type", content_type),
        None => put,
    };
    put.send().await.expect("it answers").status()
}

async fn fetch(link: &Value) -> (String, Vec<u8>) {
    let fetched = reqwest::get(link.as_str().expect("a link")).await.expect("it answers");
    assert_eq!(fetched.status(), 200);
    let content_type = fetched.headers()["content-type"].to_str().expect("it is text").to_owned();
    (content_type, fetched.bytes().await.expect("it is whole").to_vec())
}

/// A broker over a bucket.
async fn over(direct: bool) -> (Broker, Objects) {
    let objects = Objects { s3_direct_links: direct, ..s3().bucket().await };
    let broker = Broker::with(|config| {
        config.objects = objects.clone();
        config.limits.max_body_bytes = 65_536;
    });
    (broker.await, objects)
}

/// From a source image over an upload to what is shown of it; returns what a later upload was answered.
async fn takes_a_picture_through(broker: &Broker, objects: &Objects, base: &str) -> StatusCode {
    let (alice, bob) = (broker.json(ALICE), broker.json(BOB));
    let source = BASE64_STANDARD.encode(picture(ImageFormat::Png, 3));
    let body = json!({"prompt": "more like this", "source_image": source, "source_mask": source,
                      "source_processing": "inpainting"});
    let id = alice.post("/generate/async", body).await.ok()["id"].as_str().unwrap().to_owned();
    let job = bob.post("/generate/pop", offer(REGEN)).await.ok();
    for link in [&job["source_image"], &job["source_mask"]] {
        assert!(link.as_str().unwrap().starts_with(base), "{link} begins with {base}");
        let (content_type, content) = fetch(link).await;
        assert_eq!(content_type, "image/webp");
        assert_eq!(image::guess_format(&content).unwrap(), ImageFormat::WebP);
    }
    let link = &job["r2_upload"];
    assert!(link.as_str().unwrap().starts_with(base), "{link} begins with {base}");
    let result = json!({"id": job["id"], "generation": "R2", "seed": 1});
    let early = bob.post("/generate/submit", result.clone()).await;
    assert_eq!(early.verdict(), (400, "BadRequest"), "nothing is there yet");
    assert_eq!(put(link, None, b"garbage".to_vec()).await, 200);
    let refused = bob.post("/generate/submit", result.clone()).await;
    assert_eq!(refused.verdict(), (400, "BadRequest"), "{}", refused.body);
    for content_type in [Some("text/html"), Some("video/mp4"), Some("image/webp"), Some("x"), None] {
        assert_eq!(put(link, content_type, picture(ImageFormat::WebP, 7)).await, 200, "{content_type:?}");
    }
    bob.post("/generate/submit", result).await.ok();
    let late = put(link, None, picture(ImageFormat::WebP, 99)).await;
    let status = alice.get(&format!("/generate/status/{id}")).await.ok();
    let shown = &status["generations"][0]["img"];
    assert!(shown.as_str().unwrap().starts_with(base), "{shown} begins with {base}");
    let (content_type, content) = fetch(shown).await;
    assert_eq!(content_type, "image/webp", "what it is, not what the worker said");
    assert_eq!(content, picture(ImageFormat::WebP, 7), "the one that was submitted");
    let names = names_in(objects).await;
    let attempt = job["id"].as_str().unwrap();
    for name in [format!("{attempt}.webp"), format!("{id}_src.webp"), format!("{id}_msk.webp")] {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    late
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_goes_to_a_bucket_through_the_broker() {
    let (broker, objects) = over(false).await;
    let base = format!("{}/objects/", broker.url());
    let late = takes_a_picture_through(&broker, &objects, &base).await;
    assert_eq!(late, 400, "the link is worth nothing any more");
    let (alice, bob) = (broker.json(ALICE), broker.json(BOB));
    alice.post("/generate/async", json!({"prompt": "x"})).await.ok();
    let job = bob.post("/generate/pop", offer(REGEN)).await.ok();
    assert_eq!(put(&job["r2_upload"], None, vec![0; 65_537]).await, 413);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_goes_to_a_bucket_past_the_broker_and_what_was_shown_stays() {
    let (broker, objects) = over(true).await;
    let base = objects.s3_endpoint.clone().unwrap();
    let late = takes_a_picture_through(&broker, &objects, &base).await;
    assert_eq!(late, 200, "the link holds, and changes nothing");
    let (alice, bob) = (broker.json(ALICE), broker.json(BOB));
    alice.post("/generate/async", json!({"prompt": "x"})).await.ok();
    let job = bob.post("/generate/pop", offer(REGEN)).await.ok();
    let mut large = picture(ImageFormat::WebP, 1);
    large.resize(65_537, 0);
    assert_eq!(put(&job["r2_upload"], None, large).await, 200);
    let result = json!({"id": job["id"], "generation": "R2", "seed": 1});
    let refused = bob.post("/generate/submit", result.clone()).await;
    assert_eq!(refused.verdict(), (400, "BadRequest"));
    assert!(refused.body["message"].as_str().unwrap().contains("65536 are allowed"), "{}", refused.body);
    assert_eq!(put(&job["r2_upload"], None, picture(ImageFormat::Jpeg, 1)).await, 200);
    bob.post("/generate/submit", result).await.ok();
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn base64_in_and_out_passes_by_a_bucket_and_what_is_gone_is_told() {
    for direct in [false, true] {
        let (broker, objects) = over(direct).await;
        let (alice, bob) = (broker.json(ALICE), broker.json(BOB));
        let body = json!({"prompt": "a cat", "r2": false, "params": {"n": 2}});
        let id = alice.post("/generate/async", body).await.ok()["id"].as_str().unwrap().to_owned();
        let job = bob.post("/generate/pop", offer(REGEN)).await.ok();
        let png = BASE64_STANDARD.encode(picture(ImageFormat::Png, 5));
        for (id, generation) in [(&job["ids"][0], png.as_str()), (&job["ids"][1], "bm8gaW1hZ2U=")] {
            bob.post("/generate/submit", json!({"id": id, "generation": generation, "seed": 5})).await.ok();
        }
        let shown = async || {
            let status = alice.get(&format!("/generate/status/{id}")).await.ok();
            let list = status["generations"].as_array().unwrap().clone();
            let of = |id: &Value| list.iter().find(|one| one["id"] == *id).unwrap()["img"].clone();
            (of(&job["ids"][0]), of(&job["ids"][1]))
        };
        let (decoded, raw) = shown().await;
        let webp = BASE64_STANDARD.decode(decoded.as_str().unwrap()).expect("base64");
        assert_eq!(image::guess_format(&webp).unwrap(), ImageFormat::WebP);
        assert_eq!(raw, "bm8gaW1hZ2U=", "what could not be decoded is shown as it came");
        let (bucket, credentials) = signer(&objects);
        let name = format!("{}.webp", job["ids"][0].as_str().unwrap());
        let delete = bucket.delete_object(Some(&credentials), &name).sign(Duration::from_secs(60));
        let deleted = Client::new().request(Method::DELETE, delete).send().await.unwrap();
        assert_eq!(deleted.status(), 204);
        assert_eq!(shown().await.0, "N/A", "the object is gone");
        broker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_classic_worker_gets_links_where_it_sees_that_they_are_links() {
    for (public_url, is_link) in [(None, false), (Some("https://grid.example.org"), true)] {
        let broker = Broker::with(|config| config.server.public_url = public_url.map(str::to_owned)).await;
        let source = BASE64_STANDARD.encode(picture(ImageFormat::Png, 3));
        let body = json!({"prompt": "x", "source_image": source});
        broker.json(ALICE).post("/generate/async", body).await.ok();
        let job = broker.json(BOB).post("/generate/pop", offer("AI Horde Worker:24:x")).await.ok();
        let given = job["source_image"].as_str().unwrap();
        assert_eq!(given.contains("https"), is_link, "{public_url:?}");
        if !is_link {
            let webp = BASE64_STANDARD.decode(given).expect("base64");
            assert_eq!(image::guess_format(&webp).unwrap(), ImageFormat::WebP);
        }
        broker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_nothing_is_swept_from_a_bucket() {
    let objects = s3().bucket().await;
    let (bucket, credentials) = signer(&objects);
    let aged = |hours: u64, random: u8| {
        let millis = SystemClock.now().0 as u64 - hours * 3_600_000;
        uuid::Builder::from_unix_timestamp_millis(millis, &[random; 10]).into_uuid()
    };
    let swept = [format!("{}_src.webp", aged(3, 1)), format!("{}_put.webp", aged(30, 2))];
    let kept = ["0000-by-hand.webp".to_owned(), format!("{}_src.webp", aged(1, 3))];
    for name in swept.iter().chain(&kept) {
        let put = bucket.put_object(Some(&credentials), name).sign(Duration::from_secs(60));
        assert_eq!(Client::new().put(put).body("x").send().await.expect("it answers").status(), 200);
    }
    let broker = Broker::with(|config| config.objects = objects.clone()).await;
    // Who leads sweeps at once, or half a minute later.
    let is_swept = async || !names_in(&objects).await.iter().any(|name| swept.contains(name));
    assert!(holds_within(Duration::from_secs(90), is_swept).await, "{:?}", names_in(&objects).await);
    assert_eq!(names_in(&objects).await, kept);
    broker.stop().await;
}
