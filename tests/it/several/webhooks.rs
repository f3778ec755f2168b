//! Webhooks of several brokers: one of them calls, and another one in its place if it falls.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use serde_json::json;

use super::{gets_a_job, hands_in, submits};
use crate::harness::{ALICE, BOB, Grid, Outsider, Reply, eventually, holds_within};

async fn grid(outsider: &Outsider) -> Grid {
    let authority = outsider.authority().display().to_string();
    let flags = ["--fetch-allow", "127.0.0.1", "--fetch-ca", &authority];
    Grid::with_flags(&flags.map(str::to_owned)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn whichever_node_settles_each_job_is_told_once() {
    const JOBS: usize = 30;
    let outsider = Outsider::secure(|_| Reply::Status(200)).await;
    let grid = grid(&outsider).await;
    let (alice, bob) = (grid.json(ALICE), grid.json(BOB));
    for i in 0..JOBS {
        submits(&alice[i % 3], json!({"prompt": "x", "webhook": outsider.url("/hook")})).await;
        let job = gets_a_job(&bob[(i + 1) % 3], &format!("scribe-{}", i % 3)).await;
        assert_eq!(hands_in(&bob[(i + 2) % 3], &job, "done").await.status, 200);
    }
    let count = "SELECT count(*) FROM webhooks";
    eventually(async || {
        let left: i64 = sqlx::query_scalar(count).fetch_one(&mut grid.books().await).await.unwrap();
        left == 0
    })
    .await;
    let mut told: BTreeMap<String, usize> = BTreeMap::new();
    for body in outsider.told() {
        *told.entry(body["id"].to_string()).or_default() += 1;
    }
    assert!(told.len() == JOBS && told.values().all(|times| *times == 1), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_was_telling_when_it_fell_is_told_by_another() {
    let is_up = Arc::new(AtomicBool::new(false));
    let answers = is_up.clone();
    let outsider = Outsider::secure(move |_| match answers.load(SeqCst) {
        true => Reply::Status(200),
        false => Reply::Silence,
    })
    .await;
    let mut grid = grid(&outsider).await;
    let (alice, bob) = (grid.json(ALICE), grid.json(BOB));
    submits(&alice[0], json!({"prompt": "x", "webhook": outsider.url("/hook")})).await;
    let job = gets_a_job(&bob[0], "scribe").await;
    assert_eq!(hands_in(&bob[0], &job, "done").await.status, 200);
    eventually(async || !outsider.calls().is_empty()).await;
    // Whoever has taken it: its time is up at the same moment.
    grid.node(0).falls().await;
    is_up.store(true, SeqCst);
    let again = async || outsider.calls().len() > 1;
    assert!(holds_within(Duration::from_secs(40), again).await, "{}", grid.logs());
    assert_eq!(outsider.told().pop().unwrap()["id"], json!(job));
}
