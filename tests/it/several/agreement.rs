//! What nodes show of requests, models, workers and figures: the same, a moment after it happened.

use serde_json::{Value, json};

use super::{A_MOMENT, agree, gets_a_job, hands_in, submits};
use crate::harness::{ALICE, BOB, Grid, Json, holds_within};

/// A status without its estimate of time, which is each node's own.
async fn status(node: &Json, id: &str) -> Value {
    let mut status = node.get(&format!("/generate/text/status/{id}")).await.ok();
    status.as_object_mut().expect("a status").remove("wait_time");
    status
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_and_counts_of_requests_are_the_same_on_every_node() {
    let grid = Grid::start().await;
    let (alice, bob) = (grid.json(ALICE), grid.json(BOB));
    let mut ids = Vec::new();
    for i in 0..6 {
        let body = json!({"prompt": format!("request {i}"), "params": {"n": 1 + i % 2}});
        // Each costs a kudo, and kudos decide the order: the next one is accepted by a node that knows.
        let has = kudos(&alice[i % 3]).await;
        ids.push(submits(&alice[i % 3], body).await);
        agree(&alice, kudos, |now| now.as_f64() < has.as_f64()).await;
    }
    for (id, position) in ids.iter().zip(1..) {
        agree(&alice, async |node| status(node, id).await, |shown| shown["queue_position"] == position).await;
    }
    let first = gets_a_job(&bob[1], "scribe").await;
    let second = gets_a_job(&bob[2], "scribe").await;
    let held = |shown: &Value| shown["processing"] == 1 && shown["is_possible"] == true;
    agree(&alice, async |node| status(node, &ids[0]).await, held).await;
    let half = agree(&alice, async |node| status(node, &ids[1]).await, held).await;
    assert_eq!((&half["waiting"], &half["queue_position"]), (&json!(1), &json!(1)));
    agree(&alice, async |node| status(node, &ids[5]).await, |shown| shown["queue_position"] == 5).await;
    hands_in(&bob[0], &first, "a text").await.ok();
    let finished = |shown: &Value| shown["finished"] == 1;
    let done = agree(&alice, async |node| status(node, &ids[0]).await, finished).await;
    assert_eq!((&done["done"], &done["generations"][0]["text"]), (&json!(true), &json!("a text")));
    let fault = json!({"id": second, "generation": "", "state": "faulted"});
    bob[0].post("/generate/text/submit", fault).await.ok();
    let again = |shown: &Value| shown["restarted"] == 1 && shown["waiting"] == 2;
    agree(&alice, async |node| status(node, &ids[1]).await, again).await;
    alice[1].delete(&format!("/generate/text/status/{}", ids[1])).await.ok();
    agree(&alice, async |node| status(node, &ids[1]).await, |shown| shown["done"] == true).await;
    agree(&alice, async |node| status(node, &ids[5]).await, |shown| shown["queue_position"] == 4).await;
}

/// What the account of a speaker has.
async fn kudos(node: &Json) -> Value {
    node.get("/find_user").await.ok()["kudos"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_order_is_one_order_whichever_node_accepted_and_whichever_hands_out() {
    let grid = Grid::start().await;
    let (alice, bob) = (grid.json(ALICE), grid.json(BOB));
    let anonymous = grid.json(crate::harness::ANONYMOUS);
    let mut wanted = Vec::new();
    for i in 0..6 {
        let prompt = format!("paid {i}");
        // Each costs a kudo, and kudos decide the order: the next one is accepted by a node that knows.
        let has = kudos(&anonymous[i % 3]).await;
        submits(&anonymous[(i + 1) % 3], json!({"prompt": format!("free {i}")})).await;
        agree(&anonymous, kudos, |now| now.as_f64() < has.as_f64()).await;
        let id = submits(&alice[i % 3], json!({"prompt": prompt})).await;
        agree(&alice, async |node| status(node, &id).await, |shown| shown["queue_position"] == i + 1).await;
        wanted.push(prompt);
    }
    wanted.extend((0..6).map(|i| format!("free {i}")));
    let mut handed_out = Vec::new();
    for i in 0..12 {
        let job = super::pops(&bob[i % 3], "scribe", 5).await;
        handed_out.push(job["payload"]["prompt"].as_str().unwrap_or_default().to_owned());
    }
    assert_eq!(handed_out, wanted, "those with kudos first, then by age");
}

/// Workers as a node lists them, without what each counts for itself.
async fn workers(node: &Json) -> Value {
    let listed = node.get("/workers").await.ok();
    let mut listed = listed.as_array().expect("a list").clone();
    listed.sort_by_key(|worker| worker["name"].as_str().map(str::to_owned));
    for worker in &mut listed {
        worker.as_object_mut().expect("a worker").remove("uptime");
    }
    listed.into()
}

async fn figures(node: &Json) -> Value {
    let figures = node.get("/status/performance").await.ok();
    let models = node.get("/status/models?type=text").await.ok();
    let images = node.get("/status/models").await.ok();
    json!([figures, models, images])
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_models_and_performance_are_everywhere_what_they_are_where_the_worker_is() {
    let grid = Grid::start().await;
    let [a, b, c] = grid.nodes();
    let (alice, bob) = (grid.json(ALICE), grid.json(BOB));
    let mut worker = b.worker(BOB, "streamer").await;
    let mut offer = worker.text_offer();
    offer.threads = Some(4);
    let opening =
        gridbroker::rpc::pb::PopStreamRequest { text: Some(offer), credits: Some(1), ..Default::default() };
    let mut stream = worker.opens(opening).await;
    let is_there = |shown: &Value| {
        shown[0]["text_worker_count"] == 1 && shown[0]["text_thread_count"] == 4 && shown[1][0]["count"] == 4
    };
    agree(&alice, async |node| figures(node).await, is_there).await;
    agree(&alice, async |node| workers(node).await, |shown| shown[0]["name"] == "streamer").await;
    let painter = json!({"name": "painter", "models": ["stable_diffusion"], "threads": 3});
    let pop = c.json(BOB);
    let request = pop.request(reqwest::Method::POST, "/generate/pop").header("prefer", "wait=0");
    pop.send(request.json(&painter)).await.ok();
    let both = |shown: &Value| {
        shown[0]["worker_count"] == 1 && shown[0]["thread_count"] == 3 && shown[2][0]["count"] == 3
    };
    agree(&alice, async |node| figures(node).await, both).await;
    agree(&alice, async |node| workers(node).await, |shown| shown[0]["name"] == "painter").await;
    for (i, node) in alice.iter().enumerate() {
        submits(node, json!({"prompt": format!("work {i}"), "models": ["mock/echo-7b"]})).await;
    }
    let queued = |shown: &Value| {
        shown[0]["queued_text_requests"] == 2
            && shown[0]["queued_tokens"].as_f64() > Some(0.0)
            && shown[1][0]["jobs"].as_f64() >= Some(2.0)
    };
    let job = stream.job().await;
    agree(&alice, async |node| figures(node).await, queued).await;
    let mut through_a = a.worker(BOB, "streamer").await;
    through_a.delivers_text(&job.ids[0], &"word ".repeat(40)).await.expect("it is open");
    let past = |shown: &Value| shown[0]["past_minute_tokens"].as_f64() > Some(0.0);
    agree(&alice, async |node| figures(node).await, past).await;
    let counted = |shown: &Value| shown[1]["requests_fulfilled"] == 1;
    agree(&bob, async |node| workers(node).await, counted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_possible_once_a_worker_for_it_waits_on_any_node() {
    let grid = Grid::start().await;
    let [a, b, c] = grid.nodes();
    let alice = b.json(ALICE);
    let rare = json!({"prompt": "rare", "models": ["a-rare-model"], "params": {"max_length": 100}});
    let answer = alice.post("/generate/text/async", rare.clone()).await;
    assert!(answer.body["message"].is_string(), "nobody serves it: {}", answer.body);
    let id = answer.body["id"].as_str().expect("it is accepted").to_owned();
    let is_possible = async |node: &Json, id: &str| status(node, id).await["is_possible"] == true;
    assert!(!is_possible(&alice, &id).await);
    // Busy with what waited before: it has no room for what comes.
    let mut worker = a.worker(BOB, "specialist").await;
    let offer =
        gridbroker::rpc::pb::PopTextRequest { models: vec!["a-rare-model".into()], ..worker.text_offer() };
    let opening =
        gridbroker::rpc::pb::PopStreamRequest { text: Some(offer), credits: Some(1), ..Default::default() };
    let mut stream = worker.opens(opening).await;
    assert_eq!(stream.job().await.ids.len(), 1);
    let known = async || {
        let answer = alice.post("/generate/text/async", rare.clone()).await;
        answer.body["message"].is_null()
    };
    assert!(holds_within(A_MOMENT, known).await, "B does not know what waits on A");
    let id = submits(&c.json(ALICE), rare.clone()).await;
    agree(&grid.json(ALICE), async |node| status(node, &id).await, |shown| shown["is_possible"] == true)
        .await;
    let impossible = json!({"prompt": "long", "models": ["a-rare-model"], "params": {"max_length": 600,
        "max_context_length": 1024}});
    let id = submits(&b.json(ALICE), impossible).await;
    assert!(!is_possible(&alice, &id).await, "it is too long for that worker");
}
