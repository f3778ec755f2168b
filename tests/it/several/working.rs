//! Jobs that go through several nodes: submitted here, worked on there, settled elsewhere.

use gridbroker::rpc::pb::{self, pop_stream_response::Push, watch_response::Event};
use serde_json::json;
use tonic::Code;
use tonic_types::StatusExt;

use super::{A_MOMENT, gets_a_job, hands_in, pops, reason, submits};
use crate::harness::{ALICE, BOB, CAROL, Grid, eventually, holds_within, joined_tokens};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_accepted_by_one_node_is_worked_on_through_another_and_watched_on_all() {
    let grid = Grid::start().await;
    let [a, b, c] = grid.nodes();
    let mut worker = b.worker(BOB, "scribe").await;
    let mut stream = worker.opens_text_stream(3, &[]).await;
    let mut alice = a.requester(ALICE).await;
    let id = alice.submits_text("tell", 3).await;
    let mut watches = Vec::new();
    for node in [a, b, c] {
        watches.push(node.requester(CAROL).await.watches(&id, "").await);
    }
    let mut jobs = Vec::new();
    while jobs.len() < 3 {
        jobs.extend(stream.job().await.ids);
    }
    for (i, job) in jobs.iter().enumerate() {
        for word in ["once ", "upon ", "a "] {
            worker.reports_text(job, word).await;
        }
        worker.delivers_text(job, &format!("once upon a time {i}")).await.expect("it is open");
    }
    let mut logs = Vec::new();
    for watch in &mut watches {
        let mut log = Vec::new();
        while let Some(event) = watch.next().await.expect("the stream ends well") {
            log.push((watch.last.clone(), event));
        }
        logs.push(log);
    }
    assert_eq!(logs[0], logs[1], "A and B tell the same under the same cursors");
    assert_eq!(logs[0], logs[2], "and so does C");
    let epoch = |cursor: &str| cursor.split_once('-').map(|(epoch, _)| epoch.to_owned());
    for (number, (cursor, _)) in logs[0].iter().enumerate() {
        assert!(cursor.ends_with(&format!("-{}", number + 1)), "event {number} of {cursor}");
        assert_eq!(epoch(cursor), epoch(&logs[0][0].0), "it is one log");
    }
    let events: Vec<Event> = logs.swap_remove(0).into_iter().map(|(_, event)| event).collect();
    assert!(matches!(events[0], Event::Queued(_)), "{events:?}");
    assert!(!events.iter().any(|event| matches!(event, Event::Reset(_))), "{events:?}");
    let dones = events.iter().filter(|event| matches!(event, Event::Done(_))).count();
    assert!(dones == 1 && matches!(events.last(), Some(Event::Done(done)) if done.finished == 3));
    for job in 0..3 {
        let of = |event: &Event| match event {
            Event::Assigned(assigned) if assigned.job == job => Some('a'),
            Event::Token(token) if token.job == job => Some('t'),
            Event::Result(result) if result.job == job => Some('r'),
            _ => None,
        };
        let kinds: String = events.iter().filter_map(of).collect();
        assert_eq!(kinds, "atttt".to_owned() + "r", "a job is assigned, told word by word, delivered");
        let result = events.iter().find_map(|event| match event {
            Event::Result(result) if result.job == job => result.text.clone(),
            _ => None,
        });
        assert_eq!(joined_tokens(&events, job), result.expect("it has a result"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_on_a_third_node_reaches_the_stream_and_takes_what_waits_out_of_every_queue() {
    let grid = Grid::start().await;
    let [a, b, c] = grid.nodes();
    let mut worker = b.worker(BOB, "streamer").await;
    let mut stream = worker.opens_text_stream(1, &[]).await;
    let mut alice = a.requester(ALICE).await;
    let id = alice.submits_text("stop", 3).await;
    let job = stream.job().await;
    worker.reports_text(&job.ids[0], "st").await;
    let before = c.json(ALICE).delete(&format!("/generate/text/status/{id}")).await.ok();
    assert_eq!(
        (&before["processing"], &before["waiting"], &before["done"]),
        (&json!(1), &json!(2), &json!(false))
    );
    match stream.next().await.expect("the stream is whole") {
        Push::Cancel(cancel) => assert_eq!(cancel.ids, job.ids),
        other => panic!("a cancel was expected, {other:?} came"),
    }
    for node in [a, b, c] {
        assert_eq!(
            pops(&node.json(CAROL), "late", 0).await["id"],
            json!(null),
            "{} has nothing left",
            node.name
        );
    }
    worker.delivers_text(&job.ids[0], "stopped, but paid").await.expect("it is paid all the same");
    for node in [a, b, c] {
        let mut reader = node.requester(ALICE).await;
        let is_over = async || {
            let status = reader.text_status(&id).await;
            (status.done, status.finished, status.waiting) == (true, 1, 0)
        };
        assert!(holds_within(A_MOMENT, is_over).await, "{} does not show that it is over", node.name);
        let events = reader.watches(&id, "").await.rest().await;
        assert!(events.iter().any(|event| matches!(event, Event::Cancelled(_))), "{}: {events:?}", node.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pop_held_on_one_node_is_answered_when_another_accepts_a_fitting_request() {
    let grid = Grid::start().await;
    let [a, b, c] = grid.nodes();
    let bob = b.json(BOB);
    let pop = tokio::spawn(async move { pops(&bob, "scribe", 15).await });
    let held = b.json_without_key();
    eventually(async || held.get("/status/heartbeat").await.ok()["active_count"] == 1).await;
    let unfit = json!({"prompt": "for others", "models": ["another-model"]});
    submits(&c.json(ALICE), unfit).await;
    let since = std::time::Instant::now();
    submits(&a.json(ALICE), json!({"prompt": "now"})).await;
    let job = pop.await.expect("the pop ends");
    assert_eq!(job["payload"]["prompt"], "now");
    assert!(since.elapsed() < A_MOMENT, "it took {:?}", since.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_pops_held_on_all_nodes_each_job_goes_to_one() {
    let grid = Grid::start().await;
    let mut workers = tokio::task::JoinSet::new();
    for (i, node) in [0, 1, 2].into_iter().cycle().take(9).enumerate() {
        let bob = grid.nodes()[node].json(BOB);
        workers.spawn(async move { pops(&bob, &format!("scribe-{i}"), 10).await });
    }
    let offers = grid.nodes().map(|node| node.json_without_key());
    eventually(async || {
        let mut held = 0;
        for (i, node) in offers.iter().enumerate() {
            let count = node.get("/status/heartbeat").await.ok()["active_count"].as_u64().unwrap_or(0);
            // Alone, the one broker stands for all.
            held = if i > 0 && grid.urls().len() == 1 { held } else { held + count };
        }
        held == 9
    })
    .await;
    let alice = grid.json(ALICE);
    for (i, node) in alice.iter().enumerate() {
        submits(node, json!({"prompt": format!("job {i}"), "params": {"n": 2}})).await;
    }
    let (mut granted, mut empty) = (Vec::new(), 0);
    while let Some(job) = workers.join_next().await {
        let job = job.expect("the pop ends");
        match job["id"].as_str() {
            Some(id) => granted.push((job["payload"]["prompt"].as_str().unwrap().to_owned(), id.to_owned())),
            None => empty += 1,
        }
    }
    granted.sort();
    let prompts: Vec<_> = granted.iter().map(|(prompt, _)| prompt.as_str()).collect();
    assert_eq!(prompts, ["job 0", "job 0", "job 1", "job 1", "job 2", "job 2"], "each job once");
    assert_eq!(empty, 3, "and nothing for the rest");
    granted.dedup_by(|a, b| a.1 == b.1);
    assert_eq!(granted.len(), 6, "each grant has an ID of its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_is_taken_by_any_node_and_a_second_one_is_told_the_reward_of_the_first() {
    let grid = Grid::start().await;
    let [a, b, c] = grid.nodes();
    let id = submits(&b.json(ALICE), json!({"prompt": "once"})).await;
    let job = gets_a_job(&a.json(BOB), "scribe").await;
    let stolen = hands_in(&c.json(CAROL), &job, "mine").await;
    assert_eq!(stolen.verdict(), (403, "WrongCredentials"), "C knows whose it is");
    let reward = hands_in(&c.json(BOB), &job, "upon a time").await.ok()["reward"].as_f64().expect("a number");
    assert!(reward > 0.0);
    for node in [b, a, c] {
        let again = hands_in(&node.json(BOB), &job, "another one").await;
        assert_eq!(again.verdict(), (400, "DuplicateGen"), "{}", node.name);
        let status = node.worker(BOB, "scribe").await.delivers_text(&job, "and another").await;
        let status = status.expect_err("it has its result");
        let details = status.get_error_details();
        let info = details.error_info().expect("a reason");
        assert_eq!((status.code(), info.reason.as_str()), (Code::AlreadyExists, "DuplicateGen"));
        assert_eq!(info.metadata["reward"].parse::<f64>().unwrap(), reward, "{}", node.name);
    }
    for node in [a, b, c] {
        let mut alice = node.requester(ALICE).await;
        let is_done = async || alice.text_status(&id).await.done;
        assert!(holds_within(A_MOMENT, is_done).await, "{} does not show that it is done", node.name);
        assert_eq!(alice.text_status(&id).await.generations[0].text, "upon a time");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn results_for_one_attempt_on_all_nodes_at_once_are_paid_once() {
    let grid = Grid::start().await;
    let alice = grid.nodes()[0].json(ALICE);
    let bobs = grid.json(BOB);
    let before = bobs[0].get("/find_user").await.ok()["kudos"].as_f64().unwrap();
    let mut paid = 0.0;
    for round in 0..5 {
        submits(&alice, json!({"prompt": format!("round {round}")})).await;
        let job = gets_a_job(&bobs[round % 3], "scribe").await;
        let mut answers = tokio::task::JoinSet::new();
        for (i, bob) in bobs.iter().cloned().enumerate() {
            let (job, text) = (job.clone(), format!("the text of node {i}"));
            answers.spawn(async move { hands_in(&bob, &job, &text).await });
        }
        let answers = answers.join_all().await;
        let rewards: Vec<f64> = answers.iter().filter_map(|answer| answer.body["reward"].as_f64()).collect();
        assert_eq!(rewards.len(), 1, "one of them is paid: {answers:?}");
        let told = answers.iter().filter(|answer| answer.verdict() == (400, "DuplicateGen")).count();
        assert_eq!(told, 2, "the others are told: {answers:?}");
        paid += rewards[0];
    }
    for bob in &bobs {
        let has = async || {
            let kudos = bob.get("/find_user").await.ok()["kudos"].as_f64().unwrap();
            (kudos - before - paid).abs() < 1e-6
        };
        assert!(holds_within(A_MOMENT, has).await, "bob should have {paid} more");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_that_come_through_another_node_are_told_and_keep_the_job() {
    let grid = Grid::start().await;
    let [a, b, c] = grid.nodes();
    let mut worker = b.worker(BOB, "scribe").await;
    let mut stream = worker.opens_text_stream(1, &[]).await;
    let mut other = a.worker(BOB, "other").await;
    let mut alice = a.requester(ALICE).await;
    let id = alice.submits_text("tell", 1).await;
    let job = stream.job().await.ids[0].clone();
    let mut idle = other.opens_text_stream(1, &[]).await;
    let mut through_c = c.worker(BOB, "scribe").await;
    let mut watch = alice.watches(&id, "").await;
    through_c.reports_text(&job, "once ").await;
    watch.until(|event| matches!(event, Event::Token(token) if token.text == "once ")).await;
    worker.reports_text(&job, "upon ").await;
    watch.until(|event| matches!(event, Event::Token(token) if token.text == "upon ")).await;
    let gap = pb::ReportRequest { id: job.clone(), text: "x".into(), offset: Some(99), ..Default::default() };
    let gap = through_c.reports(vec![gap]).await.expect_err("bytes are missing");
    let details = gap.get_error_details();
    assert_eq!(details.error_info().expect("a reason").metadata["offset"], "10", "C knows what B was told");
    let progress = json!({"id": job, "current_step": 1, "total_steps": 4, "text": "a "});
    a.json(BOB).post("/generate/progress", progress).await.ok();
    watch.until(|event| matches!(event, Event::Token(token) if token.text == "a ")).await;
    // For longer than a job that nobody reports on is left with its worker.
    let quiet = tokio::time::timeout(std::time::Duration::from_secs(12), idle.next()).await;
    assert!(quiet.is_err(), "it was handed to another worker: {quiet:?}");
    through_c.delivers_text(&job, "once upon a time").await.expect("it is open");
    let events = alice.watches(&id, "").await.rest().await;
    assert_eq!(joined_tokens(&events, 0), "once upon a time");
    assert!(!events.iter().any(|event| matches!(event, Event::Reset(_))), "{events:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credit_comes_back_to_the_stream_when_the_result_comes_through_another_node() {
    let grid = Grid::start().await;
    let [a, b, c] = grid.nodes();
    let mut worker = b.worker(BOB, "streamer").await;
    let mut stream = worker.opens_text_stream(1, &[]).await;
    let mut alice = a.requester(ALICE).await;
    let mut through_c = c.worker(BOB, "streamer").await;
    for text in ["one", "two", "three"] {
        alice.submits_text(text, 1).await;
    }
    for _ in 0..3 {
        let job = stream.job().await;
        through_c.reports_text(&job.ids[0], "").await;
        through_c.delivers_text(&job.ids[0], "done").await.expect("it is open");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_opens_again_on_another_node_keeps_what_it_held() {
    let grid = Grid::start().await;
    let [a, b, c] = grid.nodes();
    let mut first = a.worker(BOB, "steady").await;
    let mut stream = first.opens_text_stream(2, &[]).await;
    let mut alice = c.requester(ALICE).await;
    let id = alice.submits_text("hold on", 2).await;
    let mut jobs = Vec::new();
    while jobs.len() < 2 {
        jobs.extend(stream.job().await.ids);
    }
    for job in &jobs {
        first.reports_text(job, "hold ").await;
    }
    let mut idle = c.worker(BOB, "idle").await.opens_text_stream(2, &[]).await;
    drop(stream);
    let mut worker = b.worker(BOB, "steady").await;
    let mut stream = worker.opens_text_stream(2, &jobs).await;
    let mut kept = stream.opened.kept.clone();
    kept.sort();
    let mut presented = jobs.clone();
    presented.sort();
    assert_eq!(kept, presented, "they are its own still");
    // For longer than the jobs of a cut stream wait for their worker.
    let quiet = tokio::time::timeout(std::time::Duration::from_secs(17), idle.next()).await;
    assert!(quiet.is_err(), "they were handed to another worker: {quiet:?}");
    for job in &jobs {
        worker.reports_text(job, "me ").await;
        worker.delivers_text(job, "hold me tight").await.expect("it is still its own");
    }
    let events = alice.watches(&id, "").await.rest().await;
    for job in 0..2 {
        assert_eq!(joined_tokens(&events, job), "hold me tight");
    }
    assert!(!events.iter().any(|event| matches!(event, Event::Reset(_))), "{events:?}");
    // The credits came along with the jobs.
    alice.submits_text("more", 1).await;
    let mut more = tokio::select! {
        job = stream.job() => job.ids,
        job = idle.job() => job.ids,
    };
    assert_eq!(more.drain(..).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_streams_under_one_name_on_two_nodes_the_newest_wins() {
    let grid = Grid::start().await;
    let [a, b, c] = grid.nodes();
    let (mut one, mut two) = (a.worker(BOB, "twin").await, b.worker(BOB, "twin").await);
    let mut older = one.opens_text_stream(1, &[]).await;
    let mut newer = two.opens_text_stream(1, &[]).await;
    let ended = loop {
        match older.next().await {
            Ok(Push::Assignment(job)) => panic!("the older stream got {job:?}"),
            Ok(_) => {}
            Err(status) => break status,
        }
    };
    assert_eq!(reason(&ended), "StreamReplaced");
    c.requester(ALICE).await.submits_text("to the newer", 1).await;
    assert_eq!(newer.job().await.ids.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_fails_three_times_on_three_nodes_takes_its_request_down_on_all() {
    let grid = Grid::start().await;
    let [a, b, c] = grid.nodes();
    let id = submits(&a.json(ALICE), json!({"prompt": "hard"})).await;
    let mut attempts = Vec::new();
    for (popped_on, failed_on) in [(a, b), (b, c), (c, a)] {
        let job = gets_a_job(&popped_on.json(BOB), "clumsy").await;
        let fault = json!({"id": job, "generation": "", "state": "faulted"});
        assert_eq!(
            failed_on.json(BOB).post("/generate/text/submit", fault).await.ok(),
            json!({"reward": 0.0})
        );
        attempts.push(job);
    }
    for node in [a, b, c] {
        let mut alice = node.requester(ALICE).await;
        let is_faulted = async || alice.text_status(&id).await.faulted;
        assert!(holds_within(A_MOMENT, is_faulted).await, "{} does not show that it failed", node.name);
        let status = alice.text_status(&id).await;
        assert_eq!((status.done, status.restarted, status.finished), (true, 3, 0), "{}", node.name);
        let events = alice.watches(&id, "").await.rest().await;
        let why = events.iter().find_map(|event| match event {
            Event::Faulted(faulted) => Some(faulted.message.clone()),
            _ => None,
        });
        assert!(why.is_some_and(|why| !why.is_empty()), "{}: {events:?}", node.name);
        assert_eq!(pops(&node.json(BOB), "clumsy", 0).await["id"], json!(null), "{}", node.name);
        let late = hands_in(&node.json(BOB), &attempts[0], "at last").await;
        assert_eq!(late.verdict(), (400, "AbortedGen"), "{}", node.name);
    }
}
