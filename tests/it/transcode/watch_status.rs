//! The picture of the whole broker as server-sent events, and as lines.

use futures_util::StreamExt;
use gridbroker::rpc::pb;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::harness::{ALICE, BOB, Broker, Json, PATIENCE};

async fn open(json: &Json, accept: &str) -> Response {
    let request = json.request(Method::GET, "/status/stream").timeout(PATIENCE * 3);
    let response = request.header("accept", accept).send().await.expect("it answers");
    assert_eq!(response.status(), 200);
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with(accept));
    response
}

/// Lines as they come, until one that is wanted.
async fn line_until(response: Response, is_wanted: impl Fn(&str) -> bool) -> (Vec<String>, String) {
    let (mut bytes, mut text, mut before) = (response.bytes_stream(), Vec::new(), Vec::new());
    while let Some(more) = bytes.next().await {
        text.extend(more.expect("the stream is whole"));
        while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
            let line = String::from_utf8(text.drain(..=end).collect()).expect("it is UTF-8");
            if is_wanted(line.trim_end()) {
                return (before, line.trim_end().to_owned());
            }
            before.push(line.trim_end().to_owned());
        }
    }
    panic!("it ended after {before:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_read_the_status_as_events_without_cursors() {
    let broker = Broker::start().await;
    let (alice, mut worker) = (broker.json(ALICE), broker.worker(BOB, "writer").await);
    let _stream =
        worker.opens(pb::PopStreamRequest { image: Some(worker.image_offer()), ..Default::default() }).await;
    let submit = json!({"prompt": "waits", "models": ["nobody-has-it"], "params": {"max_length": 64}});
    alice.post("/generate/text/async", submit).await.ok();
    let response = open(&alice, "text/event-stream").await;
    let (before, data) = line_until(response, |line| line.starts_with("data: ")).await;
    assert_eq!(before, ["event: status"], "no id: a reader begins anew");
    let status: Value = serde_json::from_str(&data["data: ".len()..]).expect("it is JSON");
    assert_eq!(status["heartbeat"]["message"], "OK");
    assert_eq!(status["kinds"][1]["type"], "text");
    assert_eq!(
        status["kinds"][1],
        json!({
            "type": "text", "queued_jobs": 1, "queued_work": 64.0, "workers": 0, "threads": 0,
            "past_minute_work": 0.0
        })
    );
    let workers = status["workers"].as_array().expect("a list");
    assert_eq!(
        (workers.len(), &workers[0]["name"], &status["worker_count"]),
        (1, &json!("writer"), &json!(1))
    );
    let public = [
        "id",
        "name",
        "type",
        "threads",
        "models",
        "model_count",
        "requests_fulfilled",
        "performance",
        "maintenance_mode",
        "trusted",
    ];
    assert!(workers[0].as_object().unwrap().keys().all(|key| public.contains(&key.as_str())), "{workers:?}");
    let models: Vec<_> = status["models"].as_array().unwrap().iter().map(|model| &model["name"]).collect();
    assert_eq!(models, ["stable_diffusion", "nobody-has-it"], "those that are served come first");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_read_it_as_lines_and_are_told_of_the_end() {
    let broker = Broker::start().await;
    let response = open(&broker.json(ALICE), "application/x-ndjson").await;
    let reading = tokio::spawn(line_until(response, |line| line.contains("\"error\"")));
    // Only a reader that has the first picture is told of the end.
    line_until(open(&broker.json(ALICE), "application/x-ndjson").await, |line| !line.is_empty()).await;
    let stopping = tokio::spawn(broker.stop());
    let (before, error) = reading.await.expect("it ends in an error");
    let first: Value = serde_json::from_str(&before[0]).expect("it is JSON");
    assert_eq!((&first["event"], &first["data"]["worker_count"]), (&json!("status"), &json!(0)));
    assert!(first.get("id").is_none(), "{first}");
    let error: Value = serde_json::from_str(&error).expect("it is JSON");
    assert_eq!(error["event"], "error");
    assert!(error["data"]["message"].is_string(), "{error}");
    stopping.await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_counted_by_address() {
    let broker = Broker::with(|config| config.limits.rate_limits = true).await;
    let alice = broker.json(ALICE);
    let mut statuses = Vec::new();
    for _ in 0..60 {
        let request = alice.request(Method::GET, "/status/stream");
        // The stream is left as soon as its headers are here.
        statuses.push(request.send().await.expect("it answers").status().as_u16());
    }
    assert_eq!(statuses[..20], [200; 20]);
    assert!(statuses.contains(&429), "twenty a second: {statuses:?}");
    broker.stop().await;
}
