//! Prompts that filters block: refused or said in other words, and what becomes of who asks for them.

use serde_json::{Value, json};

use crate::harness::{ADA, ALICE, BOB, Broker, CAROL, Json, MONA};

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

#[tokio::test(flavor = "multi_thread")]
async fn filters_of_moderators_hold_as_soon_as_they_are_written() {
    let broker = Broker::start().await;
    let (mona, ada) = (broker.json(MONA), broker.json(ADA));
    // A moderator may try what is blocked, and is not shut out for it.
    let prompt =
        json!({"prompt": "my C.U.B (bites:1.2)###blurry", "replacement_filter": false, "dry_run": true});
    let asks = async |json: &Json| json.post("/generate/async", prompt.clone()).await.rc().to_owned();
    assert_eq!(asks(&mona).await, "");
    let cub = json!({"regex": r"\bcubs?\b", "filter_type": 10, "replacement": "bear"});
    let added = mona.put("/filters", cub.clone()).await;
    assert_eq!(added.status, 200);
    let cub = json!({"id": "1", "regex": r"\bcubs?\b", "filter_type": 10, "description": null, "replacement": "bear",
        "user": "mona#4"});
    assert_eq!(added.body, cub);
    assert_eq!(asks(&mona).await, "", "one group is not enough");
    let bites = json!({"regex": "bites", "filter_type": 20, "description": "of <animals>"});
    let added = mona.put("/filters", bites.clone()).await.ok();
    assert_eq!((&added["id"], &added["replacement"]), (&json!("2"), &json!("")));
    assert_eq!(asks(&mona).await, "CorruptPrompt");
    assert_eq!(asks(&ada).await, "CorruptPrompt");
    // What is there is left as it is.
    let again = json!({"regex": "bites", "filter_type": 20, "description": "else", "replacement": "pets"});
    assert_eq!(ada.put("/filters", again).await.ok(), added);
    let tested = mona.post("/filters", json!({"prompt": prompt["prompt"]})).await.ok();
    assert_eq!(tested, json!({"suspicion": "2", "matches": ["CUB", "bites"]}));
    let tested = mona.post("/filters", json!({"prompt": prompt["prompt"], "filter_type": 20})).await.ok();
    assert_eq!(tested, json!({"suspicion": "1", "matches": ["bites"]}));
    let mut listed = cub.clone();
    listed.as_object_mut().unwrap().remove("description");
    assert_eq!(mona.get("/filters").await.ok(), json!([listed, added]), "what is null is left out");
    assert_eq!(mona.get("/filters?contains=animals").await.ok(), json!([added]));
    assert_eq!(mona.get("/filters?filter_type=10&contains=cub").await.ok(), json!([listed]));
    assert_eq!(mona.get("/filters?filter_type=11").await.ok(), json!([]));
    let patched = ada.patch("/filters/2", json!({"filter_type": 29, "description": ""})).await.ok();
    assert_eq!(
        patched,
        json!({"id": "2", "regex": "bites", "filter_type": 29, "description": "of <animals>", "replacement": "",
            "user": "ada#8"})
    );
    assert_eq!(asks(&mona).await, "", "no prompt is judged by other types");
    mona.patch("/filters/2", json!({"filter_type": 20, "regex": "bites|barks"})).await.ok();
    assert_eq!(asks(&mona).await, "CorruptPrompt");
    let regexes = json!([{"filter_type": 10, "regex": r"\bcubs?\b"}, {"filter_type": 11, "regex": ""},
        {"filter_type": 20, "regex": "bites|barks"}]);
    assert_eq!(mona.get("/filters/regex").await.ok(), regexes);
    assert_eq!(mona.get("/filters/regex?filter_type=20").await.ok(), json!([regexes[2]]));
    let refused = mona.put("/filters", json!({"regex": "fine(oops", "filter_type": 20})).await;
    assert_eq!(refused.verdict(), (400, "BadRequest"));
    let why = refused.body["message"].as_str().unwrap();
    assert!(why.contains("unclosed group") && why.contains("at character 5"), "{why}");
    assert_eq!(asks(&mona).await, "CorruptPrompt", "what cannot be used replaces nothing");
    let broker = broker.restart().await;
    let mona = broker.json(MONA);
    assert_eq!(asks(&mona).await, "CorruptPrompt", "filters outlive the broker");
    assert_eq!(mona.delete("/filters/1").await.ok(), json!({"message": "OK"}));
    assert_eq!(mona.get("/filters/1").await.verdict(), (404, "FilterNotFound"));
    assert_eq!(asks(&mona).await, "", "and end at once");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_of_moderators_hold_beside_those_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("filters.toml");
    std::fs::write(&file, "[[filters]]\nfilter_type = 10\nregex = 'cub'\n").unwrap();
    let broker = Broker::with(move |config| config.people.filters = Some(file)).await;
    let mona = broker.json(MONA);
    let prompt = json!({"prompt": "a cub bites", "replacement_filter": false, "dry_run": true});
    mona.post("/generate/async", prompt.clone()).await.ok();
    mona.put("/filters", json!({"regex": "bites", "filter_type": 20})).await.ok();
    assert_eq!(mona.post("/generate/async", prompt.clone()).await.verdict(), (400, "CorruptPrompt"));
    assert_eq!(mona.get("/filters").await.ok().as_array().map(Vec::len), Some(1), "the file's have no ID");
    let regexes = mona.get("/filters/regex?filter_type=10").await.ok();
    assert_eq!(regexes, json!([{"filter_type": 10, "regex": "cub"}]), "and hold");
    mona.delete("/filters/1").await.ok();
    mona.post("/generate/async", prompt).await.ok();
    broker.stop().await;
}
