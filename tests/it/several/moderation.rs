//! Filters and figures over nodes.

use serde_json::json;

use super::{agree, gets_a_job, hands_in, submits};
use crate::harness::{ALICE, BOB, Grid, Json};

#[tokio::test(flavor = "multi_thread")]
async fn filters_of_one_node_hold_on_all_and_figures_are_those_of_all() {
    let grid = Grid::start().await;
    let mona_key = "monas-own-key-000";
    grid.adds_user("mona", mona_key, 100, 10, vec!["moderator"]).await;
    let [mona, alice, bob] = [mona_key, ALICE, BOB].map(|key| grid.json(key));
    let is_blocked = async |node: &Json| {
        let prompt = json!({"prompt": "a cub bites", "replacement_filter": false, "dry_run": true});
        json!(node.post("/generate/async", prompt).await.rc())
    };
    // A moderator may try what is blocked.
    agree(&mona, is_blocked, |rc| *rc == "").await;
    mona[0].put("/filters", json!({"regex": "cub", "filter_type": 10})).await.ok();
    mona[1].put("/filters", json!({"regex": "bites", "filter_type": 20})).await.ok();
    agree(&mona, is_blocked, |rc| *rc == "CorruptPrompt").await;
    let list = async |node: &Json| node.get("/filters").await.ok();
    let filters = agree(&mona, list, |list| list.as_array().map(Vec::len) == Some(2)).await;
    assert_eq!((&filters[0]["id"], &filters[1]["id"]), (&json!("1"), &json!("2")));
    // Two edit the same one at the same moment: neither is lost.
    let (one, other) = tokio::join!(
        mona[0].patch("/filters/2", json!({"description": "of animals"})),
        mona[2].patch("/filters/2", json!({"replacement": "licks"})),
    );
    assert_eq!((one.status, other.status), (200, 200), "{} {}", one.body, other.body);
    let both = mona[1].get("/filters/2").await.ok();
    assert_eq!((&both["description"], &both["replacement"]), (&json!("of animals"), &json!("licks")));
    // Two add the same one: it is there once.
    let barks = || json!({"regex": "barks", "filter_type": 20});
    let (one, other) = tokio::join!(mona[0].put("/filters", barks()), mona[1].put("/filters", barks()));
    assert_eq!(one.ok()["id"], other.ok()["id"]);
    mona[2].delete("/filters/1").await.ok();
    agree(&mona, is_blocked, |rc| *rc == "").await;
    // Each node delivers one text.
    for (node, at) in bob.iter().zip(0..) {
        submits(&alice[at], json!({"prompt": "x", "params": {"max_length": 20}})).await;
        let job = gets_a_job(node, &format!("writer {at}")).await;
        assert_eq!(hands_in(node, &job, "once").await.status, 200);
    }
    let totals = async |node: &Json| node.get("/stats/text/totals").await.ok()["total"].clone();
    agree(&alice, totals, |total| *total == json!({"requests": 3, "tokens": 60})).await;
    assert_eq!(grid.panics(), Vec::<String>::new());
}
