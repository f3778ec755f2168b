//! Signed links: who may PUT and GET what, and how much.

use reqwest::{Client, Method, StatusCode};
use serde_json::json;

use crate::harness::{ALICE, BOB, Broker};

fn picture() -> Vec<u8> {
    let mut bytes = Vec::new();
    let image = image::DynamicImage::from(image::RgbImage::new(64, 64));
    let webp = image::ImageFormat::WebP;
    image.write_to(&mut std::io::Cursor::new(&mut bytes), webp).expect("it can be written");
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_good_for_its_object_and_verb_alone() {
    let broker = Broker::with(|config| {
        config.api.long_poll_timeout = 0;
        config.limits.max_body_bytes = 4096;
    })
    .await;
    let (alice, bob) = (broker.json(ALICE), broker.json(BOB));
    alice.post("/generate/async", json!({"prompt": "x"})).await.ok();
    let offer = json!({"name": "painter", "models": ["stable_diffusion"], "bridge_agent": "AI Horde Worker reGen:13:x"});
    let pop = bob.post("/generate/pop", offer).await.ok();
    let link = pop["r2_upload"].as_str().unwrap().to_owned();
    let (base, query) = link.split_once('?').expect("a link is signed");
    let (expires, signature) = query.split_once('&').expect("it has two parts");
    // One digit is another one; which, does not matter.
    let forged = match signature.strip_suffix('0') {
        Some(rest) => format!("{rest}1"),
        None => format!("{}0", &signature[..signature.len() - 1]),
    };
    let other = base.replace(pop["id"].as_str().unwrap(), "11111111-1111-4111-8111-111111111111");
    let client = Client::new();
    let put = async |url: String, body: Vec<u8>| {
        client.put(url).body(body).send().await.expect("it answers").status()
    };
    for (url, rule) in [
        (base.to_owned(), "without a signature"),
        (format!("{base}?{expires}"), "nor with half of it"),
        (format!("{base}?{signature}"), "nor with the other half"),
        (format!("{base}?{expires}&signature=00"), "of another length"),
        (format!("{base}?{expires}&signature="), "or empty"),
        (format!("{base}?{expires}&{forged}"), "or another one"),
        (format!("{base}?expires=99999999999&{signature}"), "for a longer time"),
        (format!("{base}?expires=1&{signature}"), "or a shorter one"),
        (format!("{base}?expires=x&{signature}"), "or no time"),
        (format!("{other}?{query}"), "for another object"),
    ] {
        assert_eq!(put(url, b"x".to_vec()).await, 403, "{rule}");
    }
    assert_eq!(client.get(&link).send().await.expect("it answers").status(), 403, "it is for PUT");
    assert_eq!(put(link.clone(), vec![0; 4097]).await, 413);
    assert_eq!(put(link.clone(), Vec::new()).await, 400, "nothing is no image");
    let post = client.post(&link).body("x").send().await.expect("it answers");
    assert_eq!(post.status(), 405);
    let options = client.request(Method::OPTIONS, &link).send().await.expect("it answers");
    assert_eq!(options.status(), 200, "browsers ask first");
    let none = json!({"id": pop["id"], "generation": "R2", "seed": 1});
    assert_eq!(
        bob.post("/generate/submit", none.clone()).await.verdict(),
        (400, "BadRequest"),
        "nothing was stored"
    );
    assert_eq!(put(link.clone(), vec![0; 4096]).await, StatusCode::OK, "as large as may be");
    for content_type in ["image/webp", "video/mp4", "application/json", "text/html; x=y", "odd", ""] {
        let put = client.put(&link).header("content-type", content_type).body("x");
        let status = put.send().await.expect("it answers").status();
        assert_eq!(status, StatusCode::OK, "whatever it is said to be: {content_type:?}");
    }
    assert_eq!(put(link, picture()).await, StatusCode::OK, "and as often as one likes");
    bob.post("/generate/submit", none).await.ok();
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_is_served_as_what_it_is_and_head_shows_its_size() {
    let broker = Broker::with(|config| config.api.long_poll_timeout = 0).await;
    let (alice, bob) = (broker.json(ALICE), broker.json(BOB));
    let id =
        alice.post("/generate/async", json!({"prompt": "x"})).await.ok()["id"].as_str().unwrap().to_owned();
    let offer = json!({"name": "painter", "models": ["stable_diffusion"], "bridge_agent": "AI Horde Worker reGen:13:x"});
    let pop = bob.post("/generate/pop", offer).await.ok();
    let client = Client::new();
    let content = picture();
    let put = client.put(pop["r2_upload"].as_str().unwrap()).header("content-type", "text/html");
    let put = put.body(content.clone());
    assert_eq!(put.send().await.expect("it answers").status(), 200);
    bob.post("/generate/submit", json!({"id": pop["id"], "generation": "R2", "seed": 1})).await.ok();
    let status = alice.get(&format!("/generate/status/{id}")).await.ok();
    let link = status["generations"][0]["img"].as_str().unwrap();
    for verb in [Method::GET, Method::HEAD] {
        let served = client.request(verb.clone(), link).send().await.expect("it answers");
        assert_eq!(served.headers()["content-type"], "image/webp", "not what the worker says");
        assert_eq!(served.headers()["x-content-type-options"], "nosniff");
        assert_eq!(served.headers()["content-length"], content.len().to_string().as_str());
        let body = served.bytes().await.expect("it is whole");
        assert_eq!(body, if verb == Method::GET { content.clone() } else { Vec::new() });
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_is_taken_as_such_and_is_no_image() {
    let broker = Broker::with(|config| config.api.long_poll_timeout = 0).await;
    let (alice, bob) = (broker.json(ALICE), broker.json(BOB));
    let body = json!({"prompt": "x", "r2": false});
    let id = alice.post("/generate/async", body).await.ok()["id"].as_str().unwrap().to_owned();
    let offer = json!({"name": "painter", "models": ["stable_diffusion"], "bridge_agent": "AI Horde Worker reGen:13:x"});
    let pop = bob.post("/generate/pop", offer).await.ok();
    let link = pop["r2_upload"].as_str().unwrap();
    let film = b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41".to_vec();
    let put = Client::new().put(link).header("content-type", "video/mp4").body(film);
    assert_eq!(put.send().await.expect("it answers").status(), 200);
    let result = json!({"id": pop["id"], "generation": "R2", "seed": 1});
    assert_eq!(bob.post("/generate/submit", result).await.verdict(), (400, "BadRequest"), "of an image job");
    assert_eq!(alice.get(&format!("/generate/check/{id}")).await.ok()["finished"], 0);
    broker.stop().await;
}
