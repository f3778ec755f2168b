//! Values in their edge forms: what is read as what, and printed how.

use serde_json::{Value, json};

use crate::harness::{ALICE, BOB, Broker};

#[tokio::test(flavor = "multi_thread")]
async fn numbers_are_read_leniently_and_printed_strictly() {
    let broker = Broker::with(|config| config.api.long_poll_timeout = 0).await;
    let (alice, bob) = (broker.json(ALICE), broker.json(BOB));
    let body = r#"{"prompt": "x", "params": {"n": 1.0, "steps": 2e1, "width": 512.0, "cfg_scale": 7, "clip_skip": 1,
        "denoising_strength": 1, "seed": "007"}}"#;
    let id = alice.post_text("/generate/async", body).await.ok()["id"].as_str().unwrap().to_owned();
    let offer = r#"{"name": "painter", "models": ["stable_diffusion"], "threads": 1.0, "max_pixels": 4e6,
        "bridge_agent": "AI Horde Worker reGen:13:x"}"#;
    let pop = bob.post_text("/generate/pop", offer).await.ok();
    let payload = &pop["payload"];
    for (name, expected) in [
        ("ddim_steps", "20"),
        ("n_iter", "1"),
        ("width", "512"),
        ("cfg_scale", "7.0"),
        ("clip_skip", "1"),
        ("denoising_strength", "1.0"),
        ("seed", "\"7\""),
    ] {
        assert_eq!(payload[name].to_string(), expected, "{name}");
    }
    let result = format!(r#"{{"id": {}, "generation": "raw text", "seed": 9007199254740993}}"#, pop["id"]);
    bob.post_text("/generate/submit", result).await.ok();
    let status = alice.get(&format!("/generate/status/{id}")).await.ok();
    let generation = &status["generations"][0];
    assert_eq!(generation["seed"], "9007199254740993", "whole, and as text");
    assert_eq!(generation["img"], "raw text", "what is no image is shown as it came");
    for name in ["finished", "processing", "restarted", "waiting", "wait_time", "queue_position"] {
        assert!(status[name].is_i64(), "{name}");
    }
    assert!(status["kudos"].is_f64());
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_come_back_as_they_were_sent_in_any_script() {
    let broker = Broker::with(|config| config.api.long_poll_timeout = 0).await;
    let (alice, bob) = (broker.json(ALICE), broker.json(BOB));
    for text in [
        "häßlich 🦀 漢字",
        "\u{7f}\u{80}\u{2028}\u{feff}",
        "\"\\/\r\n\t\u{8}\u{c}",
        "%s %00 <b>&amp;",
        "\u{10ffff}",
    ] {
        let id = alice.post("/generate/text/async", json!({"prompt": text})).await.ok()["id"]
            .as_str()
            .unwrap()
            .to_owned();
        let pop =
            bob.post("/generate/text/pop", json!({"name": "scribe", "models": ["any-model"]})).await.ok();
        assert_eq!(pop["payload"]["prompt"], text);
        let result = json!({"id": pop["id"], "generation": text, "seed": -1});
        bob.post("/generate/text/submit", result).await.ok();
        let status = alice.get(&format!("/generate/text/status/{id}")).await.ok();
        assert_eq!(
            (&status["generations"][0]["text"], &status["generations"][0]["seed"]),
            (&json!(text), &json!(-1))
        );
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn models_left_out_are_the_default_and_an_empty_list_is_any() {
    let broker = Broker::with(|config| config.api.long_poll_timeout = 0).await;
    let (alice, bob) = (broker.json(ALICE), broker.json(BOB));
    let offer =
        json!({"name": "painter", "models": ["another"], "bridge_agent": "AI Horde Worker reGen:13:x"});
    alice.post("/generate/async", json!({"prompt": "by default"})).await.ok();
    let none = bob.post("/generate/pop", offer.clone()).await.ok();
    assert_eq!((&none["id"], &none["skipped"]["models"]), (&Value::Null, &json!(1)));
    alice.post("/generate/async", json!({"prompt": "by anything", "models": []})).await.ok();
    let any = bob.post("/generate/pop", offer).await.ok();
    assert_eq!((&any["payload"]["prompt"], &any["model"]), (&json!("by anything"), &json!("another")));
    broker.stop().await;
}
