//! Teams, keys that are lent, timeouts and messages: made at one node, they hold at all.

use reqwest::Method;
use serde_json::{Value, json};

use super::{agree, gets_a_job, submits};
use crate::harness::{ALICE, BOB, Grid, Json};

const MONA: &str = "monas-own-key-000";

/// Status and return code of an answer.
fn told(answer: &crate::harness::Answer) -> Value {
    json!([answer.status, answer.rc()])
}

#[tokio::test(flavor = "multi_thread")]
async fn teams_keys_timeouts_and_messages_made_at_one_node_hold_at_all() {
    let grid = Grid::start().await;
    grid.adds_user("mona", MONA, 100, 10, vec!["moderator"]).await;
    let [mona, bob, alice] = [MONA, BOB, ALICE].map(|key| grid.json(key));
    let anyone = grid.nodes().map(|node| node.json_without_key());

    // A team is joined at another node at once, and has the same figures everywhere.
    let team =
        bob[0].post("/teams", json!({"name": "Brushes"})).await.ok()["id"].as_str().unwrap().to_owned();
    submits(&alice[2], json!({"prompt": "x"})).await;
    gets_a_job(&bob[1], "writer").await;
    let worker = bob[1].get("/workers/name/writer").await.ok()["id"].as_str().unwrap().to_owned();
    let joined = bob[1].put(&format!("/workers/{worker}"), json!({"team": team})).await.ok();
    assert_eq!(joined, json!({"team": "Brushes"}));
    let shown = async |node: &Json| {
        let mut team = node.get(&format!("/teams/{team}")).await.body;
        team.as_object_mut().expect("an answer").remove("models");
        team
    };
    agree(&anyone, shown, |team| team["worker_count"] == 1).await;
    let taken = async |node: &Json| told(&node.post("/teams", json!({"name": "bRUSHES"})).await);
    agree(&bob, taken, |told| *told == json!([400, "TeamNameAlreadyExists"])).await;
    bob[2].patch(&format!("/teams/{team}"), json!({"name": "Pencils"})).await.ok();
    agree(&anyone, shown, |team| team["name"] == "Pencils").await;
    bob[1].delete(&format!("/teams/{team}")).await.ok();
    let gone = async |node: &Json| told(&node.get(&format!("/teams/{team}")).await);
    agree(&anyone, gone, |told| *told == json!([404, "TeamNotFound"])).await;
    let without = async |node: &Json| node.get(&format!("/workers/{worker}")).await.ok()["team"].clone();
    agree(&anyone, without, |team| *team == json!({"name": null, "id": null})).await;

    // A key asks at another node at once; what is said of it is known to all within a moment.
    let lent =
        alice[0].put("/sharedkeys", json!({"kudos": 100})).await.ok()["id"].as_str().unwrap().to_owned();
    submits(&grid.json(&lent)[1], json!({"prompt": "x"})).await;
    let path = format!("/sharedkeys/{lent}");
    alice[2].patch(&path, json!({"name": "friends", "max_text_tokens": 16})).await.ok();
    let shown = async |node: &Json| node.get(&path).await.body;
    agree(&anyone, shown, |key| key["name"] == "friends" && key["kudos"] == 99).await;
    let long = async |node: &Json| {
        let asked = json!({"prompt": "x", "params": {"max_length": 80}});
        told(&node.post("/generate/text/async", asked).await)
    };
    agree(&grid.json(&lent), long, |told| *told == json!([400, "BadRequest"])).await;
    alice[1].delete(&path).await.ok();
    agree(&anyone, async |node| told(&node.get(&path).await), |told| told[0] == 401).await;
    agree(&grid.json(&lent), long, |told| *told == json!([401, "InvalidAPIKey"])).await;

    // Messages.
    let note = json!({"message": "update, please"});
    let note = mona[1].post("/workers/messages", note).await.ok()["id"].as_str().unwrap().to_owned();
    let path = format!("/workers/messages/{note}");
    agree(&anyone, async |node| json!(node.get(&path).await.status), |status| *status == 200).await;
    mona[2].delete(&path).await.ok();
    agree(&anyone, async |node| json!(node.get(&path).await.status), |status| *status == 404).await;

    // Timeouts, last of all: these nodes and clients share an address.
    let timeout = json!({"ipaddr": "127.0.0.1", "hours": 1});
    mona[0].post("/operations/ipaddr", timeout.clone()).await.ok();
    let asks = async |node: &Json| told(&node.post("/generate/text/async", json!({"prompt": "x"})).await);
    agree(&alice, asks, |told| *told == json!([403, "TimeoutIP"])).await;
    let ended = mona[1].send(mona[1].request(Method::DELETE, "/operations/ipaddr").json(&timeout)).await;
    assert_eq!(ended.ok(), json!({"message": "OK"}));
    agree(&alice, asks, |told| told[0] == 202).await;
    assert_eq!(grid.panics(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keys_budget_is_not_exceeded_by_nodes_at_the_same_time() {
    let grid = Grid::start().await;
    let [_, _, alice] = grid.json(ALICE);
    let dry = json!({"prompt": "x", "models": ["unknown"], "params": {"max_length": 80}, "dry_run": true});
    let price = alice.post("/generate/text/async", dry).await.ok()["kudos"].as_f64().unwrap();
    // Room for three, and not for four.
    let kudos = (price * 3.5) as i64;
    let lent =
        alice.put("/sharedkeys", json!({"kudos": kudos})).await.ok()["id"].as_str().unwrap().to_owned();
    let friends = grid.json(&lent);
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..12 {
        let friend = friends[number % 3].clone();
        tasks.spawn(async move {
            let asked = json!({"prompt": "x", "models": ["unknown"], "params": {"max_length": 80}});
            let answer = friend.post("/generate/text/async", asked).await;
            (answer.status, answer.rc().to_owned())
        });
    }
    let mut answers = tasks.join_all().await;
    answers.sort();
    let (taken, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|(status, _)| *status == 202);
    assert_eq!(taken.len(), 3, "of {kudos} kudos at {price} each; others: {refused:?}");
    assert!(refused.iter().all(|(_, rc)| rc == "SharedKeyInsufficientKudos"), "{refused:?}");
}
