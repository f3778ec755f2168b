//! Kudos that change hands on several nodes at once.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::agree;
use crate::harness::{ALICE, BOB, CAROL, Grid, Json, OPENING};

async fn kudos(node: &Json) -> Value {
    node.get("/find_user").await.ok()["kudos"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_on_all_nodes_at_once_is_given_as_far_as_there_is_any() {
    let grid = Grid::start().await;
    grid.adds_user("erin", "erins-own-key-000", 100, 30, vec![]).await;
    let (erin, bob) = (grid.json("erins-own-key-000"), grid.json(BOB));
    agree(&erin, kudos, |kudos| *kudos == 100.0).await;
    // 25 must stay, so that seven of ten pass.
    let given = (0..30).map(async |i| {
        let body = json!({"username": "bob#2", "amount": 10});
        erin[i % 3].post("/kudos/transfer", body).await
    });
    let answers = join_all(given).await;
    let done = answers.iter().filter(|answer| answer.status == 200).count();
    let refused = answers.iter().filter(|answer| answer.rc() == "KudosTransferNotEnough").count();
    assert_eq!((done, refused), (7, 23), "{:?}", answers.iter().map(|a| &a.body).collect::<Vec<_>>());
    agree(&erin, kudos, |kudos| *kudos == 30.0).await;
    agree(&bob, kudos, |kudos| *kudos == OPENING.as_f64() + 70.0).await;
    // One name, on all nodes: once.
    let alice = grid.json(ALICE);
    let named = (0..12).map(async |i| {
        let node = &alice[i % 3];
        let request = node.request(reqwest::Method::POST, "/kudos/transfer");
        let body = json!({"username": "carol#3", "amount": 50});
        node.send(request.header("Idempotency-Key", "rent").json(&body)).await
    });
    for answer in join_all(named).await {
        assert_eq!(answer.ok(), json!({"transferred": 50.0}));
    }
    agree(&grid.json(CAROL), kudos, |kudos| *kudos == OPENING.as_f64() + 50.0).await;
    let back = grid.json(CAROL)[1].post("/kudos/transfer", json!({"username": "1", "amount": 5})).await;
    assert_eq!(back.verdict(), (400, "TooFastKudosTransfers"), "wherever it was sent from");
    let verified = grid.nodes()[2].operator(&["ledger", "verify"]).await;
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}
