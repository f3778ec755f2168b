//! Nodes that are killed, stopped and paused, and what becomes of what they had in hand.

use std::time::Duration;

use gridbroker::rpc::pb::{self, pop_stream_response::Push, watch_response::Event};
use serde_json::json;
use tokio::time::{Instant, timeout};
use tonic::Code;

use super::{A_MOMENT, agree, chaos::soak, gets_a_job, hands_in, pops, reason, submits};
use crate::harness::{ALICE, BOB, CAROL, Grid, Worker, eventually, holds_within, joined_tokens};

/// Within so long what a killed node had on its streams is dispatched again.
const DISPATCHED_AGAIN: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn jobs_on_a_killed_nodes_streams_go_to_others_and_those_of_pops_stay_with_their_workers() {
    let mut grid = Grid::start().await;
    let [a, b, c] = grid.nodes();
    let mut lost = a.worker(BOB, "lost").await;
    let mut stream = lost.opens_text_stream(2, &[]).await;
    let mut alice = c.requester(ALICE).await;
    let (begun, unheard) = (alice.submits_text("begun", 1).await, alice.submits_text("unheard of", 1).await);
    let first = stream.job().await.ids[0].clone();
    stream.job().await;
    lost.reports_text(&first, "half ").await;
    let by_pop = submits(&c.json(ALICE), json!({"prompt": "popped"})).await;
    let popped = gets_a_job(&a.json(BOB), "popper").await;
    let (mut beside, mut at_a) = (alice.watches(&begun, "").await, a.requester(ALICE).await);
    let mut cut = at_a.watches(&begun, "").await;
    for watch in [&mut beside, &mut cut] {
        watch.until(|event| matches!(event, Event::Token(token) if token.text == "half ")).await;
    }
    let mut worker = b.worker(BOB, "next").await;
    let mut next = worker.opens_text_stream(5, &[]).await;
    grid.node(0).falls().await;
    let since = Instant::now();
    let [_, b, c] = grid.nodes();
    let broken = cut.next().await.expect_err("it does not end well");
    assert!(matches!(broken.code(), Code::Unavailable | Code::Unknown | Code::Internal), "{broken}");
    let mut jobs = Vec::new();
    while jobs.len() < 2 {
        let job = timeout(DISPATCHED_AGAIN, next.job()).await.expect("they are dispatched again");
        worker.reports_text(&job.ids[0], "").await;
        jobs.push((job.text.unwrap().payload.unwrap().prompt().to_owned(), job.ids[0].clone()));
    }
    assert!(since.elapsed() < DISPATCHED_AGAIN, "it took {:?}", since.elapsed());
    jobs.sort();
    assert_eq!([&*jobs[0].0, &*jobs[1].0], ["begun", "unheard of"]);
    for (_, job) in &jobs {
        worker.delivers_text(job, "by another").await.expect("it is open");
    }
    // What was popped keeps its lease: nobody else gets it, and any node takes the result.
    let more = timeout(Duration::from_secs(5), next.next()).await;
    assert!(more.is_err(), "there was nothing more to hand out: {more:?}");
    hands_in(&c.json(BOB), &popped, "by its own").await.ok();
    assert_eq!(c.requester(ALICE).await.text_status(&by_pop).await.generations[0].text, "by its own");
    // Too late is too late, wherever it is said.
    let late = b.worker(BOB, "lost").await.delivers_text(&first, "half and half").await;
    assert_eq!(reason(&late.expect_err("its job was given away")), "AbortedGen");
    let mut resumed = b.requester(ALICE).await.watches(&begun, &cut.last).await;
    for watch in [&mut beside, &mut resumed] {
        let events = watch.rest().await;
        assert!(events.iter().any(|event| matches!(event, Event::Reset(_))), "it started over: {events:?}");
        assert!(matches!(events.last(), Some(Event::Done(_))), "{events:?}");
        assert_eq!(joined_tokens(&events, 0), "by another", "{events:?}");
    }
    let mut reader = c.requester(ALICE).await;
    for id in [&begun, &unheard] {
        let status = reader.text_status(id).await;
        assert_eq!((status.done, status.restarted), (true, 0), "nobody is to blame");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_presents_its_jobs_elsewhere_keeps_them_when_its_node_is_killed() {
    let mut grid = Grid::start().await;
    let [a, b, c] = grid.nodes();
    let mut worker = a.worker(BOB, "steady").await;
    let mut stream = worker.opens_text_stream(2, &[]).await;
    let id = c.requester(ALICE).await.submits_text("hold on", 2).await;
    let mut jobs = Vec::new();
    while jobs.len() < 2 {
        jobs.extend(stream.job().await.ids);
    }
    for job in &jobs {
        worker.reports_text(job, "hold ").await;
    }
    let mut idle = b.worker(BOB, "idle").await.opens_text_stream(2, &[]).await;
    grid.node(0).falls().await;
    let [_, b, c] = grid.nodes();
    let mut worker = c.worker(BOB, "steady").await;
    let stream = worker.opens_text_stream(2, &jobs).await;
    let mut kept = stream.opened.kept.clone();
    kept.sort();
    jobs.sort();
    assert_eq!(kept, jobs, "they are its own still");
    // For longer than it takes to give away what a dead node held.
    let given = timeout(DISPATCHED_AGAIN + Duration::from_secs(2), idle.next()).await;
    assert!(given.is_err(), "they were given to another worker: {given:?}");
    for job in &jobs {
        worker.reports_text(job, "me ").await;
        worker.delivers_text(job, "hold me tight").await.expect("it is still its own");
    }
    let events = b.requester(ALICE).await.watches(&id, "").await.rest().await;
    for job in 0..2 {
        assert_eq!(joined_tokens(&events, job), "hold me tight");
    }
    assert!(!events.iter().any(|event| matches!(event, Event::Reset(_))), "nothing started over: {events:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_told_to_end_sends_its_workers_elsewhere_with_their_jobs() {
    let mut grid = Grid::start().await;
    let [a, b, c] = grid.nodes();
    let mut worker = a.worker(BOB, "steady").await;
    let mut stream = worker.opens_text_stream(1, &[]).await;
    let id = c.requester(ALICE).await.submits_text("hold on", 1).await;
    let job = stream.job().await.ids[0].clone();
    worker.reports_text(&job, "hold ").await;
    let mut idle = b.worker(BOB, "idle").await.opens_text_stream(1, &[]).await;
    let bob = a.json(CAROL);
    let held = tokio::spawn(async move { pops_if_it_can(&bob).await });
    let offers = a.json_without_key();
    eventually(async || offers.get("/status/heartbeat").await.ok()["active_count"] == 2).await;
    let code = grid.node(0).ends().await.code();
    assert_eq!(code, Some(0), "{}", grid.logs());
    match stream.next().await.expect("first it is told") {
        Push::Drain(drain) => assert!(drain.grace_seconds > 0),
        other => panic!("a drain was expected, {other:?} came"),
    }
    let ended = stream.next().await.expect_err("then the stream ends");
    assert_eq!((ended.code(), reason(&ended).as_str()), (Code::Unavailable, "Draining"));
    let answer = held.await.expect("the pop ends");
    assert!([(200, ""), (503, "Draining")].contains(&(answer.0, &*answer.1)), "{answer:?}");
    let [_, b, c] = grid.nodes();
    let mut worker = c.worker(BOB, "steady").await;
    let stream = worker.opens_text_stream(1, std::slice::from_ref(&job)).await;
    assert_eq!(stream.opened.kept, std::slice::from_ref(&job));
    let given = timeout(A_MOMENT, idle.next()).await;
    assert!(given.is_err(), "it was given to another worker: {given:?}");
    worker.delivers_text(&job, "hold me").await.expect("it is still its own");
    let events = b.requester(ALICE).await.watches(&id, "").await.rest().await;
    assert_eq!(joined_tokens(&events, 0), "hold me");
}

async fn pops_if_it_can(worker: &crate::harness::Json) -> (u16, String) {
    let request = worker.request(reqwest::Method::POST, "/generate/text/pop").header("prefer", "wait=15");
    let offer = json!({"name": "carols", "models": ["another-model"]});
    let answer = worker.send(request.json(&offer)).await;
    (answer.status, answer.rc().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_leader_is_killed_another_ends_the_leases_that_are_over() {
    let mut grid = Grid::start().await;
    let leader = grid.leader().await.expect("somebody leads");
    let id = submits(&grid.json(ALICE)[(leader + 1) % 3], json!({"prompt": "abandoned"})).await;
    let job = gets_a_job(&grid.json(BOB)[leader], "gone").await;
    grid.node(leader).falls().await;
    let since = Instant::now();
    let mut next = None;
    eventually(async || {
        next = grid.leader().await.filter(|next| *next != leader);
        next.is_some()
    })
    .await;
    println!("{} leads after {:?}", grid.nodes()[next.unwrap()].name, since.elapsed());
    assert!(since.elapsed() < Duration::from_secs(10), "it took {:?}", since.elapsed());
    if soak() == 1 {
        ends_early(&grid, &job).await;
    }
    let lease = if soak() == 1 { DISPATCHED_AGAIN } else { Duration::from_secs(170) };
    let mut reader = grid.nodes()[next.unwrap()].requester(ALICE).await;
    let is_back = async || {
        let status = reader.text_status(&id).await;
        (status.waiting, status.restarted) == (1, 1)
    };
    assert!(holds_within(lease, is_back).await, "the lease does not end: {}", grid.logs());
    let alive = grid.json(BOB)[(leader + 2) % 3].clone();
    assert_eq!(hands_in(&alive, &job, "at last").await.verdict(), (400, "AbortedGen"));
    let again = gets_a_job(&alive, "next").await;
    assert_ne!(again, job);
    hands_in(&alive, &again, "done").await.ok();
}

/// Lets a lease end now, not in two and a half minutes: in the records, and in the live queue.
async fn ends_early(grid: &Grid, job: &str) {
    let update =
        "UPDATE attempts SET expires_at = granted_at WHERE id = $1::UUID RETURNING request::TEXT, job";
    let (request, index): (String, i64) =
        sqlx::query_as(update).bind(job).fetch_one(&mut grid.books().await).await.expect("it is open");
    let member = format!("{request}:{index}");
    assert_eq!(grid.redis.says(&["ZADD", "{jobs:text}:expiry", "XX", "CH", "1", &member]), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stood_still_for_longer_than_death_settles_nothing_twice() {
    let grid = Grid::start().await;
    let [a, b, c] = grid.nodes();
    let (alice, bob) = (grid.json(ALICE), grid.json(BOB));
    let before = bob[1].get("/find_user").await.ok()["kudos"].as_f64().unwrap();
    let mut frozen = a.worker(BOB, "frozen").await;
    let mut stream = frozen.opens_text_stream(1, &[]).await;
    let streamed = submits(&alice[1], json!({"prompt": "streamed"})).await;
    let first = stream.job().await.ids[0].clone();
    frozen.reports_text(&first, "half ").await;
    let popped = submits(&alice[2], json!({"prompt": "popped"})).await;
    let second = gets_a_job(&bob[0], "popper").await;
    // The node that stood still may hand out at once what it accepts, and so may one whose worker has just
    // gone; nobody would ever take that. So what comes later is for one worker each.
    let mut worker = b.worker(BOB, "next").await;
    let mut next = worker.opens(only(&worker, &["mock/echo-7b", "next's own"], 2)).await;
    a.pauses();
    let since = Instant::now();
    // All of this waits in A's sockets until A goes on.
    let stale = tokio::spawn(async move { frozen.delivers_text(&first, "half and half").await });
    let stale_pop =
        patient(a.url(), BOB, "/generate/text/submit", json!({"id": second, "generation": "again"}));
    let body = json!({"prompt": "while A stood still", "models": ["next's own"]});
    let submitted = patient(a.url(), ALICE, "/generate/text/async", body);
    let (stale_pop, submitted) = (tokio::spawn(stale_pop), tokio::spawn(submitted));
    let job = timeout(DISPATCHED_AGAIN, next.job()).await.expect("A is taken for dead");
    let mut paid = worker.delivers_text(&job.ids[0], "by another").await.expect("it is open");
    paid += hands_in(&c.json(BOB), &second, "by its own").await.ok()["reward"].as_f64().unwrap();
    let still = Duration::from_secs(if soak() == 1 { 8 } else { 60 });
    tokio::time::sleep_until(since + still).await;
    a.resumes();
    let stale = stale.await.expect("it is answered").expect_err("its job was given away");
    assert_eq!((stale.code(), reason(&stale).as_str()), (Code::Aborted, "AbortedGen"));
    let (status, body) = stale_pop.await.expect("it is answered");
    assert_eq!((status, body["rc"].as_str()), (400, Some("DuplicateGen")), "{body}");
    let (status, body) = submitted.await.expect("it is answered");
    assert_eq!(status, 202, "{body}");
    let late = body["id"].as_str().expect("it has an ID").to_owned();
    let job = timeout(DISPATCHED_AGAIN, next.job()).await.expect("what A accepted is worked on");
    paid += worker.delivers_text(&job.ids[0], "done").await.expect("it is open");
    for (id, text) in [(&streamed, "by another"), (&popped, "by its own"), (&late, "done")] {
        let ask = async |node: &crate::harness::Json| {
            let status = node.get(&format!("/generate/text/status/{id}")).await.ok();
            json!([
                status["done"],
                status["generations"][0]["text"],
                status["generations"].as_array().unwrap().len()
            ])
        };
        agree(&alice, ask, |shown| *shown == json!([true, text, 1])).await;
    }
    let kudos = async |node: &crate::harness::Json| {
        let kudos = node.get("/find_user").await.ok()["kudos"].as_f64().unwrap();
        json!((kudos - before) * 1e6).as_f64().unwrap().round().into()
    };
    agree(&bob, kudos, |gained| *gained == json!((paid * 1e6).round())).await;
    // And A is one of them again.
    let mut again = a.worker(BOB, "frozen").await;
    let mut stream = again.opens(only(&again, &["frozen's own"], 1)).await;
    submits(&alice[1], json!({"prompt": "for A", "models": ["frozen's own"]})).await;
    stream.job().await;
}

/// Opens a stream for jobs of these models, and no others.
fn only(worker: &Worker, models: &[&str], credits: i32) -> pb::PopStreamRequest {
    let models = models.iter().map(|model| (*model).to_owned()).collect();
    let offer = pb::PopTextRequest { models, ..worker.text_offer() };
    pb::PopStreamRequest { text: Some(offer), credits: Some(credits), ..Default::default() }
}

/// A call that waits for longer than any node stands still.
async fn patient(
    node: String,
    key: &'static str,
    path: &'static str,
    body: serde_json::Value,
) -> (u16, serde_json::Value) {
    let url = format!("{node}/api/v2{path}");
    let client = reqwest::Client::builder().timeout(Duration::from_secs(120)).build().expect("a client");
    let response = client.post(url).header("apikey", key).json(&body).send().await.expect("it answers");
    (response.status().as_u16(), response.json().await.expect("it answers JSON"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_starts_again_has_what_the_others_did_meanwhile() {
    let mut grid = Grid::start().await;
    let waiting = submits(&grid.json(ALICE)[0], json!({"prompt": "from before"})).await;
    // What its node had no time to announce is found by the leader some ten seconds later; not here.
    grid.nodes()[1].requester(ALICE).await.text_status(&waiting).await;
    grid.node(0).falls().await;
    let [_, b, c] = grid.nodes();
    let job = gets_a_job(&b.json(BOB), "scribe").await;
    let meanwhile = submits(&c.json(ALICE), json!({"prompt": "from meanwhile"})).await;
    let mut reader = b.requester(ALICE).await;
    let mut watch = reader.watches(&waiting, "").await;
    watch.until(|event| matches!(event, Event::Assigned(_))).await;
    grid.node(0).starts().await;
    let [a, b, _] = grid.nodes();
    let mut at_a = a.requester(ALICE).await;
    assert_eq!(at_a.text_status(&waiting).await.processing, 1);
    assert_eq!(at_a.text_status(&meanwhile).await.queue_position, 1);
    let mut same = at_a.watches(&waiting, &watch.last).await;
    hands_in(&a.json(BOB), &job, "the text").await.ok();
    let (events, others) = (same.rest().await, watch.rest().await);
    assert_eq!(events, others, "the log went on: a start begins none again");
    let job = pops(&a.json(BOB), "scribe", 5).await;
    assert_eq!(job["payload"]["prompt"], "from meanwhile");
    let report = pb::ReportRequest { id: job["id"].as_str().unwrap().into(), ..Default::default() };
    b.worker(BOB, "scribe").await.reports(vec![report]).await.expect("B takes reports on it");
}
