//! Cancelling.

use gridbroker::rpc::pb::{self, pop_stream_response::Push, watch_response::Event};
use serde_json::json;

use crate::harness::{ALICE, BOB, Broker};

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_answers_with_the_status_before_and_takes_the_request_out_of_the_queue() {
    let broker = Broker::start().await;
    let (alice, bob) = (broker.json(ALICE), broker.json(BOB));
    let body = json!({"prompt": "never mind", "params": {"n": 3}});
    let id = alice.post("/generate/text/async", body).await.ok()["id"].as_str().unwrap().to_owned();
    let path = format!("/generate/text/status/{id}");
    assert_eq!(alice.delete(&path).await.ok()["waiting"], 3);
    let after = alice.get(&path).await.ok();
    assert_eq!((&after["waiting"], &after["done"]), (&json!(0), &json!(true)));
    assert_eq!(alice.delete(&path).await.status, 200, "again is harmless");
    let pop = bob
        .request(reqwest::Method::POST, "/generate/text/pop")
        .header("prefer", "wait=0")
        .json(&json!({"name": "scribe", "models": ["any-model"]}));
    assert_eq!(bob.send(pop).await.ok()["id"], json!(null));
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_on_a_stream_is_told_of_the_cancel_and_may_still_hand_in() {
    let broker = Broker::start().await;
    let mut worker = broker.worker(BOB, "streamer").await;
    let mut stream = worker.opens_text_stream(1, &[]).await;
    let mut alice = broker.requester(ALICE).await;
    let id = alice.submits_text("stop", 1).await;
    let job = stream.job().await;
    let before = alice
        .client
        .cancel_text(alice.keyed(pb::CancelTextRequest { id: id.clone() }))
        .await
        .expect("it is there")
        .into_inner();
    assert_eq!((before.processing, before.done), (1, false));
    match stream.next().await.expect("the stream is whole") {
        Push::Cancel(cancel) => assert_eq!(cancel.ids, job.ids),
        other => panic!("a cancel was expected, {other:?} came"),
    }
    worker.delivers_text(&job.ids[0], "too late, but done").await.expect("it is paid all the same");
    let status = alice.text_status(&id).await;
    assert_eq!((status.done, status.finished), (true, 1));
    let events = alice.watches(&id, "").await.rest().await;
    assert!(events.iter().any(|event| matches!(event, Event::Cancelled(_))));
    broker.stop().await;
}
