//! Requests, offers and results of a size that nobody needs are refused before they cost anything.

use gridbroker::rpc::pb;
use serde_json::json;
use tonic::Code;
use tonic_types::StatusExt;

use crate::harness::{ALICE, BOB, Broker};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_names_a_million_models_is_refused_on_both_faces() {
    let broker = Broker::start().await;
    let mut alice = broker.requester(ALICE).await;
    let models: Vec<String> = (0..100_000).map(|i| format!("m{i:05}")).collect();
    let message =
        pb::SubmitTextRequest { prompt: Some("x".into()), models: models.clone(), ..Default::default() };
    let refused = alice.client.submit_text(alice.keyed(message)).await.expect_err("it is too much");
    let details = refused.get_error_details();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(details.bad_request().expect("violations").field_violations[0].field, "models");
    let json = broker.json(ALICE);
    for path in ["/generate/text/async", "/generate/async"] {
        let answer = json.post(path, json!({"prompt": "x", "models": models[..600]})).await;
        assert_eq!(answer.status, 400, "{path}");
        assert!(answer.body["errors"]["models"].is_string(), "{}", answer.body);
        let long = json.post(path, json!({"prompt": "x", "models": ["m".repeat(300)]})).await;
        assert!(long.body["errors"]["models.0"].is_string(), "{}", long.body);
    }
    broker.holds_nothing().await;
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn prompts_of_megabytes_are_refused() {
    let broker = Broker::start().await;
    let json = broker.json(ALICE);
    for (path, length) in [("/generate/text/async", 4_000_001), ("/generate/async", 200_001)] {
        let answer = json.post(path, json!({"prompt": "x".repeat(length)})).await;
        assert!(answer.body["errors"]["prompt"].is_string(), "{path}: {}", answer.status);
    }
    broker.holds_nothing().await;
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_out_of_proportion_is_refused_and_the_job_stays_the_workers() {
    let broker = Broker::start().await;
    let mut worker = broker.worker(BOB, "windbag").await;
    let mut stream = worker.opens_text_stream(1, &[]).await;
    let mut alice = broker.requester(ALICE).await;
    let id = alice.submits_text("short, please", 1).await;
    let job = stream.job().await.ids[0].clone();
    let refused = worker.delivers_text(&job, &"x".repeat(80 * 256 + 1)).await.expect_err("it is too long");
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("cut it"), "{}", refused.message());
    worker.delivers_text(&job, &"x".repeat(80 * 256)).await.expect("it may try again");
    assert!(alice.text_status(&id).await.done);
    broker.stop().await;
}
