//! Images: links of one node, used on another.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, RgbImage};
use serde_json::json;

use super::{A_MOMENT, agree};
use crate::harness::{ALICE, BOB, Grid};

fn picture() -> Vec<u8> {
    let image = RgbImage::from_fn(64, 64, |x, y| image::Rgb([x as u8, y as u8, 7]));
    let mut bytes = Vec::new();
    DynamicImage::from(image)
        .write_to(&mut Cursor::new(&mut bytes), ImageFormat::WebP)
        .expect("it is written");
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_popped_on_one_node_is_put_on_another_and_fetched_from_a_third() {
    let grid = Grid::start().await;
    let [a, b, c] = grid.nodes();
    let alice = b.json(ALICE);
    let body = json!({"prompt": "a cat", "params": {"n": 2}});
    let id = alice.post("/generate/async", body).await.ok()["id"].as_str().unwrap().to_owned();
    let offer = json!({"name": "painter", "models": ["stable_diffusion"], "max_pixels": 4194304, "amount": 4,
        "bridge_agent": "AI Horde Worker reGen:13:x"});
    let job = a.json(BOB).post("/generate/pop", offer).await.ok();
    let plain = reqwest::Client::new();
    for i in 0..2 {
        let link = job["r2_uploads"][i].as_str().expect("a link for each");
        assert!(link.starts_with(&a.url()), "{link}");
        let forged = b.link(&link.replace(".webp", "0.webp"));
        assert_eq!(plain.put(forged).body("x").send().await.expect("it answers").status(), 403);
        let put = plain.put(b.link(link)).body(picture()).send().await.expect("it answers");
        assert_eq!(put.status(), 200, "B takes what A signed");
        let result = json!({"id": job["ids"][i], "generation": "R2", "seed": 1234});
        assert!(c.json(BOB).post("/generate/submit", result).await.ok()["reward"].as_f64() > Some(0.0));
    }
    let ask = async |node: &crate::harness::Json| {
        node.get(&format!("/generate/check/{id}")).await.ok()["finished"].clone()
    };
    agree(&grid.json(ALICE), ask, |finished| *finished == 2).await;
    for (shown_by, fetched_from) in [(a, b), (b, c), (c, a)] {
        let status = shown_by.json(ALICE).get(&format!("/generate/status/{id}")).await.ok();
        let generations = status["generations"].as_array().expect("a list");
        assert_eq!(generations.len(), 2);
        for generation in generations {
            let link = fetched_from.link(generation["img"].as_str().expect("a link"));
            let fetched = reqwest::get(&link).await.expect("it answers");
            assert_eq!(fetched.headers()["content-type"], "image/webp");
            assert_eq!(fetched.bytes().await.expect("it is whole"), picture());
        }
    }
    // Once the attempt is over its link takes nothing any more, on no node.
    let link = job["r2_uploads"][0].as_str().unwrap().to_owned();
    let refused = async || {
        let put = plain.put(c.link(&link)).body("x").send().await.expect("it answers");
        put.status() != 200
    };
    assert!(crate::harness::holds_within(A_MOMENT, refused).await, "C takes what is no longer due");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_image_given_to_one_node_is_fetched_from_another() {
    use base64::{Engine, prelude::BASE64_STANDARD};
    let grid = Grid::start().await;
    let [a, b, c] = grid.nodes();
    let body = json!({"prompt": "more", "source_image": BASE64_STANDARD.encode(picture())});
    a.json(ALICE).post("/generate/async", body).await.ok();
    let offer = json!({"name": "painter", "models": ["stable_diffusion"], "max_pixels": 4194304,
        "bridge_agent": "AI Horde Worker reGen:13:x"});
    let job = b.json(BOB).post("/generate/pop", offer).await.ok();
    let link = c.link(job["source_image"].as_str().expect("a link"));
    let fetched = reqwest::get(link).await.expect("it answers").bytes().await.expect("it is whole");
    assert_eq!(image::guess_format(&fetched).expect("an image"), ImageFormat::WebP);
}
