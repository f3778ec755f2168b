//! Watching a request: every event once, from any cursor, over gRPC, SSE and NDJSON.

use gridbroker::rpc::pb::watch_response::Event;
use serde_json::Value;

use crate::harness::{ALICE, BOB, Broker, joined_tokens};

#[tokio::test(flavor = "multi_thread")]
async fn tokens_appear_as_they_are_reported_and_join_to_the_result() {
    let broker = Broker::start().await;
    let mut worker = broker.worker(BOB, "scribe").await;
    let mut stream = worker.opens_text_stream(1, &[]).await;
    let mut alice = broker.requester(ALICE).await;
    let id = alice.submits_text("tell", 1).await;
    let mut watch = alice.watches(&id, "").await;
    let job = stream.job().await.ids[0].clone();
    watch.until(|event| matches!(event, Event::Assigned(_))).await;
    worker.reports_text(&job, "one ").await;
    let token = watch.until(|event| matches!(event, Event::Token(_))).await;
    assert!(
        matches!(&token, Event::Token(token) if token.text == "one "),
        "before the job is done: {token:?}"
    );
    let cursor = watch.last.clone();
    worker.delivers_text(&job, "one two").await.expect("it is open");
    let rest = watch.rest().await;
    assert!(
        matches!(&rest[0], Event::Token(token) if token.text == "two"),
        "what was not reported: {rest:?}"
    );
    assert!(matches!(&rest[1], Event::Result(result) if result.text() == "one two"));
    assert!(matches!(rest.last(), Some(Event::Done(done)) if done.finished == 1));

    let again = alice.watches(&id, &cursor).await.rest().await;
    assert_eq!(again, rest, "from a cursor: exactly what follows");
    let all = alice.watches(&id, "").await.rest().await;
    assert_eq!(joined_tokens(&all, 0), "one two");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_what_was_reported_does_not_begin_starts_the_text_over() {
    let broker = Broker::start().await;
    let mut worker = broker.worker(BOB, "scribe").await;
    let mut stream = worker.opens_text_stream(1, &[]).await;
    let mut alice = broker.requester(ALICE).await;
    let id = alice.submits_text("tell", 1).await;
    let job = stream.job().await.ids[0].clone();
    worker.reports_text(&job, "wrong").await;
    worker.delivers_text(&job, "right").await.expect("it is open");
    let events = alice.watches(&id, "").await.rest().await;
    assert!(events.iter().any(|event| matches!(event, Event::Reset(reset) if reset.job == Some(0))));
    assert_eq!(joined_tokens(&events, 0), "right");
    broker.stop().await;
}

/// The events of an SSE body: id, kind, data.
fn sse(body: &str) -> Vec<(String, String, String)> {
    let field = |block: &str, name: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or_default().to_owned()
    };
    let blocks = body.split("\n\n").filter(|block| block.contains("data:"));
    blocks.map(|block| (field(block, "id"), field(block, "event"), field(block, "data"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn sse_ends_in_done_and_resumes_by_last_event_id() {
    let broker = Broker::start().await;
    let mut worker = broker.worker(BOB, "scribe").await;
    let mut stream = worker.opens_text_stream(1, &[]).await;
    let mut alice = broker.requester(ALICE).await;
    let id = alice.submits_text("tell", 1).await;
    let job = stream.job().await.ids[0].clone();
    worker.reports_text(&job, "uno ").await;
    worker.delivers_text(&job, "uno dos").await.expect("it is open");

    let client = reqwest::Client::new();
    let url = format!("{}/api/v2/generate/{id}/stream", broker.url());
    let response = client.get(&url).send().await.expect("it answers");
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_eq!(response.headers()["x-accel-buffering"], "no");
    let events = sse(&response.text().await.expect("it ends"));
    let kinds: Vec<_> = events.iter().map(|(_, kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["queued", "assigned", "token", "token", "result", "done", ""]);
    assert_eq!(events[2].2, r#"{"job":0,"attempt":1,"text":"uno "}"#);
    assert_eq!(events.last().unwrap().2, "[DONE]");

    let resumed = client.get(&url).header("last-event-id", &events[2].0).send().await.expect("it answers");
    assert_eq!(sse(&resumed.text().await.expect("it ends")), events[3..], "after the cursor, nothing twice");
    let by_query = client.get(format!("{url}?after={}", events[4].0)).send().await.expect("it answers");
    assert_eq!(sse(&by_query.text().await.expect("it ends")), events[5..]);
    let past = client.get(&url).header("last-event-id", &events[5].0).send().await.expect("it answers");
    assert_eq!(past.status(), 204, "an EventSource stops here");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ndjson_says_the_same_a_line_an_event() {
    let broker = Broker::start().await;
    let mut worker = broker.worker(BOB, "scribe").await;
    let mut stream = worker.opens_text_stream(1, &[]).await;
    let id = broker.requester(ALICE).await.submits_text("tell", 1).await;
    let job = stream.job().await.ids[0].clone();
    worker.delivers_text(&job, "all at once").await.expect("it is open");
    let url = format!("{}/api/v2/generate/{id}/stream", broker.url());
    let request = reqwest::Client::new().get(&url).header("accept", "application/x-ndjson");
    let body = request.send().await.expect("it answers").text().await.expect("it ends");
    let lines: Vec<Value> = body.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let kinds: Vec<_> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["queued", "assigned", "token", "result", "done"]);
    assert_eq!(lines[2]["data"]["text"], "all at once");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_cut_by_the_brokers_stop_ends_in_an_error_and_not_cleanly() {
    let broker = Broker::start().await;
    let mut alice = broker.requester(ALICE).await;
    let id = alice.submits_text("never", 1).await;
    let mut watch = alice.watches(&id, "").await;
    watch.until(|event| matches!(event, Event::Queued(_))).await;
    let url = format!("{}/api/v2/generate/{id}/stream", broker.url());
    let sse_stream =
        tokio::spawn(
            async move { reqwest::get(url).await.expect("it answers").text().await.expect("it ends") },
        );
    // The answer's head is out once the reader counts among the open calls; a token of time is enough
    // for either outcome: a refused connection would fail the expectation above.
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    broker.stop().await;
    let error = watch.next().await.expect_err("it does not end well");
    assert_eq!(error.code(), tonic::Code::Unavailable);
    let events = sse(&sse_stream.await.expect("it ends"));
    let last = events.last().expect("an error");
    assert_eq!(last.1, "error");
    assert!(last.2.contains("\"rc\":\"Draining\""), "{}", last.2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_reports_without_end_fills_a_bounded_log_and_loses_nothing() {
    let broker = Broker::start().await;
    let mut worker = broker.worker(BOB, "chatty").await;
    let mut stream = worker.opens_text_stream(1, &[]).await;
    let mut alice = broker.requester(ALICE).await;
    let message = gridbroker::rpc::pb::SubmitTextRequest {
        prompt: Some("tell".into()),
        params: Some(gridbroker::rpc::pb::TextParams { max_length: Some(512), ..Default::default() }),
        ..Default::default()
    };
    let accepted = alice.client.submit_text(alice.keyed(message)).await.expect("it is accepted");
    let id = accepted.into_inner().id.expect("an accepted request has an ID");
    let job = stream.job().await.ids[0].clone();
    // 100 bytes of log for each letter: the room for 4 MiB ends long before the letters do.
    let letter = |i: u64| gridbroker::rpc::pb::ReportRequest {
        id: job.clone(),
        text: "x".into(),
        offset: Some(i),
        current_step: Some(i as i32),
        total_steps: Some(60_000),
        preview: Vec::new(),
    };
    let reported = worker.reports((0..60_000).map(letter).collect()).await.expect("no report is an error");
    assert_eq!(reported.accepted, 60_000);
    worker.delivers_text(&job, &"x".repeat(60_000)).await.expect("it is open");
    let events = alice.watches(&id, "").await.rest().await;
    assert!(events.len() < 45_000, "the log is bounded: {} events", events.len());
    assert_eq!(joined_tokens(&events, 0), "x".repeat(60_000), "the result told the rest");
    broker.stop().await;
}
