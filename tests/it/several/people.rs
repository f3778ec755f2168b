//! What one node is told of workers and modes holds on all.

use serde_json::{Value, json};

use super::{agree, gets_a_job, hands_in, submits};
use crate::harness::{ALICE, BOB, Grid};

#[tokio::test(flavor = "multi_thread")]
async fn modes_and_what_is_said_of_workers_are_known_to_all_nodes() {
    let grid = Grid::start().await;
    let (ada_key, mona_key) = ("adas-own-key-0000", "monas-own-key-000");
    grid.adds_user("ada", ada_key, 100, 10, vec!["admin"]).await;
    grid.adds_user("mona", mona_key, 100, 10, vec!["moderator"]).await;
    let [ada, mona, bob, alice] = [ada_key, mona_key, BOB, ALICE].map(|key| grid.json(key));
    // A worker is changed at one node while it works at another.
    submits(&alice[0], json!({"prompt": "x", "params": {"n": 2}})).await;
    let job = gets_a_job(&bob[1], "writer").await;
    let shown = async |node: &crate::harness::Json| {
        let mut worker = node.get("/workers/name/writer").await.body;
        // Time is told of a little later.
        worker.as_object_mut().expect("an answer").remove("uptime");
        worker
    };
    let path = agree(&mona, shown, |worker| worker["id"].is_string()).await;
    let path = format!("/workers/{}", path["id"].as_str().unwrap());
    assert_eq!(bob[0].delete(&path).await.verdict(), (423, "Locked"), "its job is known to all");
    bob[2].put(&path, json!({"info": "mine", "maintenance": true})).await.ok();
    mona[0].put(&path, json!({"paused": true})).await.ok();
    let is_told = |worker: &Value| {
        (&worker["info"], &worker["maintenance_mode"], &worker["paused"])
            == (&json!("mine"), &json!(true), &json!(true))
    };
    agree(&mona, shown, is_told).await;
    assert_eq!(hands_in(&bob[1], &job, "once").await.status, 200);
    // Modes.
    let waiting = submits(&alice[1], json!({"prompt": "x"})).await;
    ada[0].put("/status/modes", json!({"maintenance_mode": true})).await.ok();
    agree(
        &mona,
        async |node| node.get("/status/modes").await.ok(),
        |modes| modes["maintenance_mode"] == true,
    )
    .await;
    for node in &alice {
        let refused = node.post("/generate/text/async", json!({"prompt": "x"})).await;
        assert_eq!(refused.verdict(), (400, "MaintenanceMode"), "{}", refused.body);
    }
    let status = format!("/generate/text/status/{waiting}");
    agree(&alice, async |node| node.get(&status).await.ok()["done"].clone(), |done| *done == true).await;
    // What is gone is gone everywhere.
    bob[0].delete(&path).await.ok();
    agree(&mona, async |node| json!(node.get(&path).await.status), |status| *status == 404).await;
    assert_eq!(grid.panics(), Vec::<String>::new());
}
