//! Prompts that filters block: refused or said in other words, and what becomes of who asks for them.

use serde_json::{Value, json};

use crate::harness::{ALICE, BOB, Broker, CAROL};

const FILTERS: &str = r#"
[[filters]]
filter_type = 10
regex = '\bcubs?\b'
replacement = "bear"
description = "animals that are too young"

[[filters]]
filter_type = 20
regex = '\bbites?\b'
"#;

fn blocked(change: Value) -> Value {
    let mut message = json!({"prompt": "my C.U.B (bites:1.2)###blurry", "models": ["stable_diffusion"]});
    for (name, value) in change.as_object().expect("changes are an object") {
        message[name] = value.clone();
    }
    message
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_prompt_is_refused_and_shuts_out_who_asks() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("filters.toml");
    std::fs::write(&file, FILTERS).unwrap();
    let broker = Broker::with(move |config| {
        config.api.long_poll_timeout = 0;
        config.people.filters = Some(file);
    })
    .await;
    let alice = broker.json(ALICE);
    alice.post("/generate/text/async", blocked(json!({"models": []}))).await.ok();
    let id = alice.post("/generate/async", blocked(json!({}))).await.ok()["id"].clone();
    let agent = "AI Horde Worker reGen:13.0.0:x";
    let offer = json!({"name": "painter", "models": ["stable_diffusion"], "bridge_agent": agent});
    let job = broker.json(BOB).post("/generate/pop", offer).await.ok();
    let prompt = job["payload"]["prompt"].as_str().expect("a job");
    assert!(prompt.starts_with("my bear bites###") && prompt.ends_with(", blurry"), "{prompt}");
    let carol = broker.json(CAROL);
    let dry = blocked(json!({"replacement_filter": false, "dry_run": true}));
    assert_eq!(carol.post("/generate/async", dry).await.verdict(), (400, "CorruptPrompt"));
    let refused = alice.post("/generate/async", json!({"prompt": "a cat"})).await;
    assert_eq!(refused.verdict(), (403, "TimeoutIP"), "whoever asks from there: {}", refused.body);
    let path = format!("/generate/status/{}", id.as_str().unwrap());
    assert_eq!(alice.get(&path).await.ok()["processing"], 1, "what was accepted goes on");
    let broker = broker.restart().await;
    let refused = broker.json(ALICE).post("/generate/async", json!({"prompt": "a cat"})).await;
    assert_eq!(refused.verdict(), (403, "TimeoutIP"), "a timeout outlives the broker");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_that_cannot_be_read_end_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("filters.json");
    std::fs::write(&file, r#"[{"regex": "a(?!b)", "filter_type": 10}]"#).unwrap();
    let mut config = gridbroker::config::Config::for_testing();
    config.store.data = dir.path().join("data");
    config.people.filters = Some(file);
    let why = gridbroker::server::Server::start(config).await.err().expect("it does not start").to_string();
    for fragment in ["filters.json", "filter 1", "a(?!b)", "look-around"] {
        assert!(why.contains(fragment), "{why}");
    }
}
