//! Workers of all nodes are explained at each.

use serde_json::{Value, json};

use super::{agree, pops, submits};
use crate::harness::{ALICE, BOB, Grid};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_and_a_worker_are_explained_alike_at_every_node() {
    let grid = Grid::start().await;
    let (alice, bob) = (grid.json(ALICE), grid.json(BOB));
    for (node, name) in bob.iter().zip(["first", "second", "third"]) {
        assert_eq!(pops(node, name, 0).await["id"], Value::Null);
    }
    let asked = json!({"prompt": "x", "models": ["another"], "params": {"n": 2}});
    let id = submits(&alice[0], asked).await;
    let path = format!("/generate/{id}/explain");
    let told = agree(
        &alice,
        async |node| {
            let told = node.get(&path).await.body;
            json!([told["state"], told["workers"], told["rules"], told["changes"]])
        },
        |told| told[1]["online"] == 3 && told[2][0]["workers_only"] == 3,
    )
    .await;
    assert_eq!((&told[0], &told[1]["able"]), (&json!("waiting"), &json!(0)), "{told}");
    assert_eq!(told[3][0], json!({"message": "allow any model", "patch": {"models": []}, "workers": 3}));
    let worker = bob[0].get("/workers/name/third").await.ok()["id"].clone();
    let path = format!("/workers/{}/explain", worker.as_str().expect("an ID"));
    let told = agree(
        &bob,
        async |node| node.get(&path).await.body["kinds"].clone(),
        |kinds| kinds[0]["models"][0]["jobs"] == 2,
    )
    .await;
    assert_eq!(told[0]["models"][0]["offer"], json!({"models": ["another"]}), "{told}");
    assert_eq!(grid.panics(), Vec::<String>::new());
}
