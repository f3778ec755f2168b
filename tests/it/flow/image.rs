//! Image requests: links in and out, base64 in and out, batches, source images.

use std::io::Cursor;

use base64::{Engine, prelude::BASE64_STANDARD};
use image::{DynamicImage, ImageFormat, RgbImage};
use serde_json::{Value, json};

use crate::harness::{ALICE, BOB, Broker, is_distributed};

const OFFER: &str = r#"{"name": "painter", "models": ["stable_diffusion", "stable_diffusion_inpainting"], "max_pixels": 4194304, "amount": 4,
                        "bridge_agent": "AI Horde Worker reGen:13:x"}"#;

fn offer() -> Value {
    serde_json::from_str(OFFER).expect("it is JSON")
}

fn picture(format: ImageFormat, side: u32) -> Vec<u8> {
    let image = RgbImage::from_fn(side, side, |x, y| image::Rgb([x as u8, y as u8, 7]));
    let mut bytes = Vec::new();
    DynamicImage::from(image).write_to(&mut Cursor::new(&mut bytes), format).expect("it can be written");
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_uploaded_through_signed_links_and_fetched_through_others() {
    let broker = Broker::start().await;
    let (alice, bob) = (broker.json(ALICE), broker.json(BOB));
    let body =
        json!({"prompt": "a cat###dog", "params": {"n": 2, "steps": 20, "seed": "1234", "cfg_scale": 7.0}});
    let submitted = alice.post("/generate/async", body).await;
    assert_eq!(submitted.status, 202);
    assert_eq!(submitted.body["warnings"][0]["code"], "NoAvailableWorker");
    let id = submitted.body["id"].as_str().unwrap().to_owned();
    let job = bob.post("/generate/pop", offer()).await.ok();
    assert_eq!(job["payload"]["n_iter"], 2);
    assert_eq!(job["payload"]["seed"], "1234");
    assert_eq!(job["payload"]["ddim_steps"], 20);
    assert_eq!(job["ids"].as_array().unwrap().len(), 2);
    assert_eq!(job["r2_upload"], job["r2_uploads"][0]);
    let plain = reqwest::Client::new();
    for i in 0..2 {
        let early = json!({"id": job["ids"][i], "generation": "R2", "seed": 1234});
        assert_eq!(
            bob.post("/generate/submit", early).await.verdict(),
            (400, "BadRequest"),
            "nothing is there yet"
        );
        let link = job["r2_uploads"][i].as_str().unwrap();
        let put = plain.put(link).body(picture(ImageFormat::WebP, 64)).send().await.expect("it answers");
        assert_eq!(put.status(), 200);
        let forged = plain.put(link.replace(".webp", "0.webp")).body("x").send().await.expect("it answers");
        assert_eq!(forged.status(), 403);
        let meta = json!([{"type": "batch_index", "value": "see_ref", "ref": i.to_string()}]);
        let result = json!({"id": job["ids"][i], "generation": "R2", "seed": 1234, "gen_metadata": meta});
        let reward = bob.post("/generate/submit", result).await.ok();
        assert!(reward["reward"].as_f64().unwrap() > 0.0);
    }
    let check = alice.get(&format!("/generate/check/{id}")).await.ok();
    assert_eq!((&check["done"], &check["finished"]), (&json!(true), &json!(2)));
    assert!(check.get("generations").is_none());
    let status = alice.get(&format!("/generate/status/{id}")).await.ok();
    let generations = status["generations"].as_array().unwrap();
    assert_eq!(generations.len(), 2);
    let first = &generations[0];
    assert_eq!(first["seed"], "1234", "a string");
    assert_eq!(first["gen_metadata"][0]["value"], "see_ref");
    assert_eq!((&first["censored"], &first["state"]), (&json!(false), &json!("ok")));
    let link = first["img"].as_str().unwrap();
    assert!(link.starts_with(broker.url()), "{link}");
    let fetched = reqwest::get(link).await.expect("it answers");
    assert_eq!(fetched.headers()["content-type"], "image/webp");
    assert_eq!(fetched.bytes().await.expect("it is whole"), picture(ImageFormat::WebP, 64));
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn base64_in_and_base64_out_are_webp() {
    let broker = Broker::start().await;
    let (alice, bob) = (broker.json(ALICE), broker.json(BOB));
    let body = json!({"prompt": "a cat", "r2": false});
    let id = alice.post("/generate/async", body).await.ok()["id"].as_str().unwrap().to_owned();
    let job = bob.post("/generate/pop", offer()).await.ok();
    let png = BASE64_STANDARD.encode(picture(ImageFormat::Png, 64));
    bob.post("/generate/submit", json!({"id": job["id"], "generation": png, "seed": 5})).await.ok();
    let status = alice.get(&format!("/generate/status/{id}")).await.ok();
    let webp = BASE64_STANDARD.decode(status["generations"][0]["img"].as_str().unwrap()).expect("base64");
    assert_eq!(image::guess_format(&webp).unwrap(), ImageFormat::WebP);
    let same = image::load_from_memory(&webp).unwrap().into_rgb8();
    assert_eq!(same.get_pixel(9, 4).0, [9, 4, 7], "pixel by pixel");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_get_source_images_as_links_or_as_base64() {
    let broker = Broker::start().await;
    let (alice, bob) = (broker.json(ALICE), broker.json(BOB));
    let source = BASE64_STANDARD.encode(picture(ImageFormat::Jpeg, 128));
    let body = json!({"prompt": "more like this", "source_image": source, "source_processing": "inpainting",
                      "source_mask": source, "r2": false});
    for _ in 0..2 {
        alice.post("/generate/async", body.clone()).await.ok();
    }
    let job = bob.post("/generate/pop", offer()).await.ok();
    assert_eq!(job["source_processing"], "inpainting");
    let link = job["source_image"].as_str().unwrap();
    let fetched = reqwest::get(link).await.expect("it answers").bytes().await.expect("it is whole");
    assert_eq!(image::guess_format(&fetched).unwrap(), ImageFormat::WebP);
    assert!(job["source_mask"].as_str().unwrap().starts_with("http"));
    // A bridge that is known to draw from images, but not to fetch them.
    let old = json!({"name": "old", "models": ["stable_diffusion", "stable_diffusion_inpainting"], "max_pixels": 4194304,
                     "bridge_agent": "AI Horde Worker:13:x"});
    let job = bob.post("/generate/pop", old).await.ok();
    let inline = BASE64_STANDARD.decode(job["source_image"].as_str().unwrap()).expect("base64");
    assert_eq!(image::guess_format(&inline).unwrap(), ImageFormat::WebP);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn source_images_that_are_none_are_refused_and_leave_nothing() {
    let broker = Broker::start().await;
    let alice = broker.json(ALICE);
    for (source, rc) in [("bm90IGFuIGltYWdl", "ImageValidationFailed"), ("%%%", "ImageValidationFailed")] {
        let refused = alice.post("/generate/async", json!({"prompt": "x", "source_image": source})).await;
        assert_eq!(refused.verdict(), (400, rc));
    }
    let large = BASE64_STANDARD.encode(picture(ImageFormat::Png, 3136));
    let refused = alice.post("/generate/async", json!({"prompt": "x", "source_image": large})).await;
    assert_eq!(refused.verdict(), (400, "SourceImageResolutionExceeded"));
    assert_eq!(alice.get("/status/performance").await.ok()["queued_requests"], 0);
    let home = broker.stop().await;
    if is_distributed() {
        // Objects are rows there; the suite of the back end looks at them.
        return;
    }
    let objects = home.dir.path().join("objects");
    let mut left = Vec::new();
    for folder in std::fs::read_dir(objects).unwrap() {
        left.extend(std::fs::read_dir(folder.unwrap().path()).unwrap());
    }
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_pop_without_a_job_is_the_contracts_golden_body() {
    let broker = Broker::start().await;
    let (alice, bob) = (broker.json(ALICE), broker.json(BOB));
    alice.post("/generate/async", json!({"prompt": "x", "models": ["Deliberate"]})).await.ok();
    let pop = bob.request(reqwest::Method::POST, "/generate/pop").header("prefer", "wait=0").json(&offer());
    let empty = bob.send(pop).await.ok();
    assert_eq!(
        empty,
        json!({
            "payload": {"ddim_steps": 30, "n_iter": 1, "image_is_control": false, "return_control_map": false,
                "sampler_name": "k_euler_a", "cfg_scale": 7.5, "height": 512, "width": 512, "karras": false,
                "tiling": false, "hires_fix": false, "transparent": false},
            "id": null, "ids": [], "messages": [], "ttl": null,
            "skipped": {"img2img": 0, "painting": 0, "post-processing": 0, "lora": 0, "controlnet": 0,
                "unsafe_ip": 0, "worker_id": 0, "performance": 0, "nsfw": 0, "untrusted": 0, "models": 1,
                "bridge_version": 0},
            "model": null, "source_image": null, "source_processing": "img2img", "source_mask": null,
            "extra_source_images": null, "r2_upload": null, "r2_uploads": null
        })
    );
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_pop_at_the_plans_path_too() {
    let broker = Broker::start().await;
    let (alice, bob) = (broker.json(ALICE), broker.json(BOB));
    alice.post("/generate/async", json!({"prompt": "x"})).await.ok();
    assert!(bob.post("/workers/pop", offer()).await.ok()["id"].is_string());
    broker.stop().await;
}
