//! Messages to workers: who writes them, who sees them, and how they reach workers.

use serde_json::{Value, json};

use crate::harness::{ALICE, BOB, Broker, MONA};

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_listed_page_by_page_to_those_they_concern() {
    let broker = Broker::with(|config| config.api.long_poll_timeout = 0).await;
    let (mona, bob, alice) = (broker.json(MONA), broker.json(BOB), broker.json(ALICE));
    let path = "/workers/messages";
    let pop =
        async || bob.post("/generate/text/pop", json!({"name": "writer", "models": ["other"]})).await.ok();
    pop().await;
    let worker = bob.get("/workers/name/writer").await.ok()["id"].clone();
    for number in 0..26 {
        mona.post(path, json!({"message": format!("note {number}"), "expiry": 1})).await.ok();
    }
    let own = bob.post(path, json!({"message": "back at noon", "worker_id": worker})).await.ok();
    for (name, value) in [
        ("worker_id", worker.clone()),
        ("user_id", json!("2")),
        ("message", json!("back at noon")),
        ("origin", json!("bob#2")),
    ] {
        assert_eq!(own[name], value, "{name} of {own}");
    }
    assert!(own["created"].as_str().is_some_and(|at| at.ends_with("-0000")), "{own}");
    let list = async |json: &crate::harness::Json, query: &str| {
        let list = json.get(&format!("{path}{query}")).await.ok();
        let notes = list.as_array().expect("a bare list").iter();
        notes.map(|note| note["message"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let (first, second) = (list(&mona, "").await, list(&mona, "?page=2").await);
    assert_eq!((first.len(), second.len()), (25, 2), "27 in all");
    assert_eq!((first[0].as_str(), second[1].as_str()), ("back at noon", "note 0"), "newest first");
    assert_eq!(list(&mona, "?page=-3").await, first, "less than one is one");
    assert_eq!(list(&mona, "?page=3").await, [] as [&str; 0]);
    let worker = worker.as_str().unwrap();
    assert_eq!(list(&mona, &format!("?worker_id={worker}")).await, ["back at noon"]);
    assert_eq!(list(&mona, "?user_id=2").await, ["back at noon"]);
    assert_eq!(list(&mona, "?user_id=nobody").await, [] as [&str; 0]);
    assert_eq!(list(&mona, "?validity=expired").await, [] as [&str; 0]);
    assert_eq!(list(&mona, "?validity=all").await, first);
    assert_eq!(list(&bob, "").await[0], "back at noon", "owners see those to their workers");
    let others = list(&alice, "?page=2").await;
    assert_eq!((list(&alice, "").await[0].as_str(), others.len()), ("note 25", 1), "others those to all");
    let sent = pop().await;
    let notes: Vec<_> = sent["messages"].as_array().unwrap().iter().map(|note| &note["message"]).collect();
    assert_eq!((notes.len(), notes[26]), (27, &json!("back at noon")), "the worker has them all");
    let id = own["id"].as_str().unwrap();
    let one = broker.json_without_key().get(&format!("{path}/{id}")).await.ok();
    assert_eq!(one, own);
    assert_eq!(bob.delete(&format!("{path}/{id}")).await.ok(), json!({"message": "OK"}));
    let notes = |sent: &Value| sent["messages"].as_array().unwrap().len();
    assert_eq!(notes(&pop().await), 26);
    broker.stop().await;
}
