//! Events read on one node, and read on from on another.

use gridbroker::rpc::pb::watch_response::Event;
use serde_json::json;

use super::{gets_a_job, hands_in, submits};
use crate::harness::{ALICE, BOB, Grid, Node, eventually, joined_tokens};

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_goes_on_at_another_node_misses_nothing_and_is_told_nothing_twice() {
    let grid = Grid::start().await;
    let [a, b, c] = grid.nodes();
    let mut worker = c.worker(BOB, "scribe").await;
    let mut stream = worker.opens_text_stream(1, &[]).await;
    let id = a.requester(ALICE).await.submits_text("count", 1).await;
    let job = stream.job().await.ids[0].clone();
    let (mut cursor, mut read) = (String::new(), Vec::new());
    for (i, node) in [a, b, c].into_iter().cycle().take(9).enumerate() {
        let mut watch = node.requester(ALICE).await.watches(&id, &cursor).await;
        // What came while nobody was reading, then what comes while somebody is.
        worker.reports_text(&job, &format!("{i} ")).await;
        let wanted = format!("{i} ");
        while !matches!(read.last(), Some(Event::Token(token)) if token.text == wanted) {
            read.push(watch.next().await.expect("the stream is whole").expect("it has not ended"));
        }
        cursor = watch.last.clone();
        drop(watch);
        if i % 2 == 0 {
            worker.reports_text(&job, "- ").await;
        }
    }
    worker.delivers_text(&job, "0 - 1 2 - 3 4 - 5 6 - 7 8 - end").await.expect("it is open");
    let mut watch = a.requester(ALICE).await.watches(&id, &cursor).await;
    read.extend(watch.rest().await);
    let whole = b.requester(ALICE).await.watches(&id, "").await.rest().await;
    assert_eq!(read, whole, "the pieces are the log");
    assert_eq!(joined_tokens(&read, 0), "0 - 1 2 - 3 4 - 5 6 - 7 8 - end");
}

async fn sse(node: &Node, id: &str, after: Option<&str>) -> (u16, Vec<(String, String, String)>) {
    let mut request = reqwest::Client::new().get(format!("{}/api/v2/generate/{id}/stream", node.url()));
    if let Some(after) = after {
        request = request.header("last-event-id", after);
    }
    let response = request.send().await.expect("it answers");
    let status = response.status().as_u16();
    let body = response.text().await.expect("it ends");
    let field = |block: &str, name: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or_default().to_owned()
    };
    let blocks = body.split("\n\n").filter(|block| block.contains("data:"));
    (status, blocks.map(|block| (field(block, "id"), field(block, "event"), field(block, "data"))).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn sse_goes_on_at_any_node_and_past_the_end_is_nothing_on_all() {
    let grid = Grid::start().await;
    let [a, b, c] = grid.nodes();
    let id = submits(&a.json(ALICE), json!({"prompt": "tell"})).await;
    let job = gets_a_job(&b.json(BOB), "scribe").await;
    let part = json!({"id": job, "current_step": 1, "total_steps": 2, "text": "uno "});
    c.json(BOB).post("/generate/progress", part).await.ok();
    hands_in(&c.json(BOB), &job, "uno dos").await.ok();
    let (status, events) = sse(a, &id, None).await;
    let kinds: Vec<_> = events.iter().map(|(_, kind, _)| kind.as_str()).collect();
    assert_eq!(status, 200);
    assert_eq!(kinds, ["queued", "assigned", "token", "progress", "token", "result", "done", ""]);
    for node in [a, b, c] {
        for (i, (cursor, kind, _)) in events.iter().enumerate().filter(|(_, event)| !event.0.is_empty()) {
            let (status, rest) = sse(node, &id, Some(cursor)).await;
            let wanted = if kind == "done" { (204, vec![]) } else { (200, events[i + 1..].to_vec()) };
            assert_eq!((status, rest), wanted, "{} after {kind}", node.name);
        }
    }
}

/// Drops the log of a request from Redis, as its expiry does.
fn expires(grid: &Grid, id: &str) {
    let pattern = format!("*{id}*");
    let names = grid.redis.says(&["--scan", "--pattern", &pattern]);
    let names: Vec<&str> = names.lines().filter(|name| name.contains("stream:")).collect();
    assert!(!names.is_empty(), "the log is in Redis, under stream:<id>");
    grid.redis.says(&[&["DEL"], &names[..]].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_has_expired_is_begun_again_once_for_all_nodes() {
    let grid = Grid::start().await;
    let [a, b, c] = grid.nodes();
    let mut alice = a.requester(ALICE).await;
    let id = alice.submits_text("tell", 2).await;
    let mut jobs = Vec::new();
    for _ in 0..2 {
        jobs.push(gets_a_job(&b.json(BOB), "scribe").await);
    }
    hands_in(&c.json(BOB), &jobs[0], "the first").await.ok();
    let mut watch = alice.watches(&id, "").await;
    watch.until(|event| matches!(event, Event::Result(_))).await;
    let cursor = watch.last.clone();
    drop(watch);
    expires(&grid, &id);
    let mut watches = Vec::new();
    for node in [a, b, c] {
        watches.push(node.requester(ALICE).await.watches(&id, &cursor).await);
    }
    for watch in &mut watches {
        let first = watch.next().await.expect("the stream is whole");
        let is_fresh = matches!(&first, Some(Event::Reset(reset)) if reset.job.is_none());
        assert!(is_fresh, "an older cursor starts over: {first:?}");
    }
    hands_in(&a.json(BOB), &jobs[1], "the second").await.ok();
    let mut logs = Vec::new();
    for watch in &mut watches {
        let events = watch.rest().await;
        let mut texts = [joined_tokens(&events, 0), joined_tokens(&events, 1)];
        texts.sort();
        assert_eq!(texts, ["the first", "the second"], "{events:?}");
        logs.push((watch.last.clone(), events));
    }
    assert!(logs.iter().all(|log| *log == logs[0]), "it is one log: {logs:#?}");
    let epoch = |cursor: &str| cursor.split_once('-').and_then(|(epoch, _)| epoch.parse::<u64>().ok());
    assert!(epoch(&logs[0].0) > epoch(&cursor), "under a higher epoch");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_done_can_be_watched_everywhere_after_its_log_has_expired() {
    let grid = Grid::start().await;
    let [a, b, c] = grid.nodes();
    let id = submits(&a.json(ALICE), json!({"prompt": "tell"})).await;
    let job = gets_a_job(&b.json(BOB), "scribe").await;
    hands_in(&b.json(BOB), &job, "all of it").await.ok();
    let mut alice = a.requester(ALICE).await;
    eventually(async || alice.text_status(&id).await.done).await;
    alice.watches(&id, "").await.rest().await;
    expires(&grid, &id);
    for node in [c, b, a] {
        let events = node.requester(ALICE).await.watches(&id, "").await.rest().await;
        assert_eq!(joined_tokens(&events, 0), "all of it", "{}", node.name);
        assert!(matches!(events.last(), Some(Event::Done(_))), "{}: {events:?}", node.name);
    }
}
