//! What one node is told of accounts holds on all.

use serde_json::{Value, json};

use super::{A_MOMENT, agree, pops, submits};
use crate::harness::{ALICE, BOB, CAROL, Grid, Json, eventually, holds_within};

#[tokio::test(flavor = "multi_thread")]
async fn accounts_that_change_on_one_node_have_changed_on_all() {
    let grid = Grid::start().await;
    let mona_key = "monas-own-key-000";
    grid.adds_user("mona", mona_key, 100, 10, vec!["moderator", "service"]).await;
    let [mona, alice, bob] = [mona_key, ALICE, BOB].map(|key| grid.json(key));
    let shown = async |node: &Json, path: &str| {
        let mut account = node.get(path).await.body;
        account.as_object_mut().expect("an answer").remove("account_age");
        account
    };
    // Roles and limits.
    mona[0].put("/users/1", json!({"vpn": true, "concurrency": 1, "admin_comment": "slow down"})).await.ok();
    let is_told = |account: &Value| {
        (&account["vpn"], &account["concurrency"], &account["admin_comment"])
            == (&json!(true), &json!(1), &json!("slow down"))
    };
    agree(&mona, async |node| shown(node, "/users/1").await, is_told).await;
    submits(&alice[1], json!({"prompt": "x", "models": ["unknown"]})).await;
    for node in &alice {
        let refused = node.post("/generate/text/async", json!({"prompt": "x", "models": ["unknown"]})).await;
        assert_eq!(refused.verdict(), (429, "TooManyPrompts"), "{}", refused.body);
    }
    // Whose workers are shown.
    pops(&bob[1], "writer", 0).await;
    bob[2].put("/users/2", json!({"public_workers": true})).await.ok();
    let anybody = grid.json(CAROL);
    let owner = async |node: &Json| node.get("/workers/name/writer").await.body["owner"].clone();
    agree(&anybody, owner, |owner| *owner == "bob#2").await;
    // Who may work.
    mona[0].put("/users/2", json!({"flagged": true})).await.ok();
    let is_out = async |node: &Json| {
        let offer = json!({"name": "writer", "models": ["any-model"]});
        let request = node.request(reqwest::Method::POST, "/generate/text/pop").header("prefer", "wait=0");
        json!(node.send(request.json(&offer)).await.rc())
    };
    agree(&bob, is_out, |rc| *rc == "WorkerFlaggedMaintenance").await;
    // A service's passkey.
    let made = mona[1].put("/users/4", json!({"generate_proxy_passkey": true})).await.ok();
    let passkey = async |node: &Json| node.get("/users/4").await.ok()["proxy_passkey"].clone();
    agree(&mona, passkey, |passkey| *passkey == made["proxy_passkey"]).await;
    assert_eq!(grid.panics(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_changed_on_one_node_stops_on_all() {
    let grid = Grid::start().await;
    let old = grid.json(CAROL);
    for node in &old {
        assert_eq!(node.get("/find_user").await.status, 200, "all know it");
    }
    let new = old[0].post("/rotate_key", json!({})).await.ok()["api_key"].as_str().unwrap().to_owned();
    assert_eq!(old[0].get("/find_user").await.status, 404, "here at once");
    for (i, node) in grid.json(&new).iter().enumerate() {
        assert_eq!(node.get("/find_user").await.ok()["id"], 3, "the new one is known at once to {i}");
    }
    let is_over = holds_within(A_MOMENT, async || {
        for node in &old {
            if node.get("/find_user").await.status != 404 {
                return false;
            }
        }
        true
    });
    assert!(is_over.await, "the old one stops everywhere within a moment");
    // And stays so, whatever is read again.
    submits(&grid.json(&new)[1], json!({"prompt": "x", "models": ["unknown"]})).await;
    eventually(async || grid.json(&new)[2].get("/find_user").await.ok()["active_generations"].is_object())
        .await;
    for node in &old {
        assert_eq!(node.get("/find_user").await.status, 404);
    }
    assert_eq!(grid.panics(), Vec::<String>::new());
}
