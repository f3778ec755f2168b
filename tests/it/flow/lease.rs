//! Leases: faults, duplicates, streams that are cut, results that come late.

use gridbroker::rpc::pb::{self, pop_stream_response::Push};
use serde_json::json;
use tonic::Code;
use tonic_types::StatusExt;

use crate::harness::{ALICE, BOB, Broker, CAROL};

fn reason(status: &tonic::Status) -> String {
    status.get_error_details().error_info().map(|info| info.reason.clone()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_fails_three_times_takes_its_request_down() {
    let broker = Broker::start().await;
    let mut worker = broker.worker(BOB, "clumsy").await;
    let mut stream = worker.opens_text_stream(1, &[]).await;
    let mut alice = broker.requester(ALICE).await;
    let id = alice.submits_text("hard", 1).await;
    let mut attempts = Vec::new();
    for _ in 0..3 {
        let job = stream.job().await;
        assert_eq!(worker.faults_text(&job.ids[0]).await.expect("it is open"), 0.0);
        attempts.push(job.ids[0].clone());
    }
    let status = alice.text_status(&id).await;
    assert_eq!((status.faulted, status.done, status.restarted, status.finished), (true, true, 3, 0));
    assert!(!status.is_possible);
    attempts.dedup();
    assert_eq!(attempts.len(), 3, "each grant has an ID of its own");
    let late = worker.delivers_text(&attempts[0], "at last").await.expect_err("it is closed");
    assert_eq!((late.code(), reason(&late).as_str()), (Code::Aborted, "AbortedGen"));
    assert_eq!(worker.faults_text(&attempts[0]).await.expect("harmless"), 0.0);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_result_is_told_the_reward_of_the_first() {
    let broker = Broker::start().await;
    let mut worker = broker.worker(BOB, "scribe").await;
    let mut stream = worker.opens_text_stream(1, &[]).await;
    broker.requester(ALICE).await.submits_text("once", 1).await;
    let job = stream.job().await;
    let reward = worker.delivers_text(&job.ids[0], "done").await.expect("it is open");
    let again = worker.delivers_text(&job.ids[0], "done").await.expect_err("it has its result");
    let details = again.get_error_details();
    let info = details.error_info().expect("a reason");
    assert_eq!((again.code(), info.reason.as_str()), (Code::AlreadyExists, "DuplicateGen"));
    assert_eq!(info.metadata["reward"].parse::<f64>().unwrap(), reward);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_a_cut_stream_that_were_never_accepted_go_to_the_next_worker_at_once() {
    let broker = Broker::start().await;
    let mut first = broker.worker(BOB, "first").await;
    let mut second = broker.worker(BOB, "second").await;
    let mut stream = first.opens_text_stream(1, &[]).await;
    let mut alice = broker.requester(ALICE).await;
    let id = alice.submits_text("pass it on", 1).await;
    let lost = stream.job().await;
    let mut other = second.opens_text_stream(1, &[]).await;
    drop(stream);
    let job = other.job().await;
    assert_ne!(job.ids, lost.ids);
    second.delivers_text(&job.ids[0], "here").await.expect("it is open");
    let status = alice.text_status(&id).await;
    assert_eq!((status.done, status.restarted), (true, 0), "nobody is to blame");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_comes_back_keeps_what_it_had_accepted() {
    let broker = Broker::start().await;
    let mut worker = broker.worker(BOB, "steady").await;
    let mut stream = worker.opens_text_stream(1, &[]).await;
    let mut alice = broker.requester(ALICE).await;
    let id = alice.submits_text("hold on", 1).await;
    let job = stream.job().await;
    worker.reports_text(&job.ids[0], "hold").await;
    drop(stream);
    let stream = worker.opens_text_stream(1, &job.ids).await;
    assert_eq!(stream.opened.kept, job.ids);
    worker.delivers_text(&job.ids[0], "hold tight").await.expect("it is still its own");
    assert_eq!(alice.text_status(&id).await.generations[0].text, "hold tight");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_streams_under_one_name_the_newest_wins() {
    let broker = Broker::start().await;
    let mut worker = broker.worker(BOB, "twin").await;
    let mut older = worker.opens_text_stream(1, &[]).await;
    let mut newer = worker.opens_text_stream(1, &[]).await;
    let ended = loop {
        match older.next().await {
            Ok(Push::Assignment(job)) => panic!("the older stream got {job:?}"),
            Ok(_) => {}
            Err(status) => break status,
        }
    };
    assert_eq!(reason(&ended), "StreamReplaced");
    broker.requester(ALICE).await.submits_text("to the newer", 1).await;
    assert_eq!(newer.job().await.ids.len(), 1);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_hands_in_what_another_one_holds() {
    let broker = Broker::start().await;
    let (alice, bob, carol) = (broker.json(ALICE), broker.json(BOB), broker.json(CAROL));
    alice.post("/generate/text/async", json!({"prompt": "mine"})).await.ok();
    let job = bob.post("/generate/text/pop", json!({"name": "scribe", "models": ["any-model"]})).await.ok();
    let result = json!({"id": job["id"], "generation": "stolen"});
    let stolen = carol.post("/generate/text/submit", result.clone()).await;
    assert_eq!(stolen.verdict(), (403, "WrongCredentials"));
    let progress = json!({"id": job["id"], "current_step": 1, "total_steps": 4});
    assert_eq!(carol.post("/generate/progress", progress.clone()).await.verdict(), (403, "WrongCredentials"));
    let told = bob.post("/generate/progress", progress).await.ok();
    assert_eq!(told, json!({"progress_percent": 25, "current_step": 1, "total_steps": 4}));
    let taken = carol.post("/generate/text/pop", json!({"name": "scribe", "models": ["any-model"]})).await;
    assert_eq!(taken.verdict(), (403, "WrongCredentials"), "nor under another's name");
    let unknown = broker.json("nobody-has-this-key").post("/generate/text/submit", result).await;
    assert_eq!(unknown.verdict(), (401, "InvalidAPIKey"));
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_on_closed_attempts_are_counted_and_gaps_are_told_the_offset() {
    let broker = Broker::start().await;
    let mut worker = broker.worker(BOB, "scribe").await;
    let mut stream = worker.opens_text_stream(1, &[]).await;
    broker.requester(ALICE).await.submits_text("count", 1).await;
    let job = stream.job().await.ids[0].clone();
    worker.reports_text(&job, "häl").await;
    let at = |offset, text: &str| pb::ReportRequest {
        id: job.clone(),
        text: text.into(),
        offset: Some(offset),
        ..Default::default()
    };
    let gap = worker.reports(vec![at(9, "x")]).await.expect_err("bytes are missing");
    let details = gap.get_error_details();
    assert_eq!(details.error_info().expect("a reason").metadata["offset"], "4");
    let repeated = worker.reports(vec![at(0, "häl"), at(4, "lo")]).await.expect("both are fine");
    assert_eq!((repeated.accepted, repeated.closed), (2, 0));
    worker.delivers_text(&job, "hällo").await.expect("it is open");
    let late = worker.reports(vec![at(6, "!")]).await.expect("no error");
    assert_eq!((late.accepted, late.closed), (0, 1));
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_not_handed_in_as_a_text_nor_a_text_as_an_image() {
    let broker = Broker::start().await;
    let (alice, bob) = (broker.json(ALICE), broker.json(BOB));
    alice.post("/generate/text/async", json!({"prompt": "a text"})).await.ok();
    let job = bob.post("/generate/text/pop", json!({"name": "scribe", "models": ["any-model"]})).await.ok();
    let result = json!({"id": job["id"], "generation": "R2", "seed": 1, "state": "faulted"});
    assert_eq!(bob.post("/generate/submit", result).await.verdict(), (404, "InvalidJobID"));
    bob.post("/generate/text/submit", json!({"id": job["id"], "generation": "mine"})).await.ok();
    broker.stop().await;
}
