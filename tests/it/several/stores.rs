//! Redis and PostgreSQL that fall under load.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::{task::JoinSet, time::sleep};
use tonic::Code;
use tonic_types::StatusExt;

use super::{
    chaos::{
        scene::Scene,
        weather::{Gust, Trouble},
    },
    reason,
};
use crate::harness::{ALICE, BOB, Grid, Requester};

/// How soon after the return of a store work goes on.
const BACK: Duration = Duration::from_secs(5);

async fn ends_well(scene: Scene) {
    let logs = scene.grid.logs();
    let verdict = scene.closes().await;
    println!("{}", verdict.summary);
    assert!(verdict.wrong.is_empty(), "{}\n{logs}", verdict.wrong.join("\n  "));
}

/// Lets a store fall, and sees to it that work goes on soon after.
async fn goes_on_after(scene: &mut Scene, trouble: Trouble, lasts: Duration) {
    let gust = Gust { troubles: vec![trouble], lasts };
    gust.blows(&mut scene.grid).await;
    let since = Instant::now();
    let goes_on = scene.goes_on_within(BACK).await;
    println!("after {gust} work goes on in {:?}", since.elapsed());
    assert!(goes_on, "no work gets done {BACK:?} after {gust}: {}", scene.trouble());
    for node in scene.grid.all() {
        let name = node.name;
        assert!(node.is_alive(), "{name} ended by itself, {gust}: {}", scene.trouble());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_may_be_flushed_emptied_set_back_and_paused_under_load_and_nothing_is_lost() {
    let mut scene = Scene::opens(3).await;
    for (trouble, millis) in [
        (Trouble::FlushRedis, 0),
        (Trouble::LoseRedis, 1500),
        (Trouble::SetRedisBack, 200),
        (Trouble::RestartRedis, 300),
        (Trouble::PauseRedis, 2500),
        // Twice in a row: the second comes while all is still being built again.
        (Trouble::FlushRedis, 100),
        (Trouble::FlushRedis, 0),
    ] {
        goes_on_after(&mut scene, trouble, Duration::from_millis(millis)).await;
    }
    ends_well(scene).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_may_crash_and_restart_under_load_and_nothing_that_was_told_is_untrue() {
    let mut scene = Scene::opens(4).await;
    for (trouble, millis) in [
        (Trouble::CrashPostgres, 0),
        (Trouble::RestartPostgres, 0),
        (Trouble::LosePostgres, 2000),
        // For longer than batches are tried again.
        (Trouble::LosePostgres, 12_000),
    ] {
        goes_on_after(&mut scene, trouble, Duration::from_millis(millis)).await;
    }
    ends_well(scene).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_postgresql_is_away_callers_are_told_so_and_when_to_come_back() {
    let mut grid = Grid::with_own_postgres().await;
    let mut watch = grid.nodes()[0].requester(ALICE).await;
    let known = watch.submits_text("from before", 1).await;
    let mut watch = watch.watches(&known, "").await;
    watch.next().await.expect("it can be watched");
    let speakers = grid.json(ALICE);
    let mut requesters: Vec<Requester> = Vec::new();
    for node in grid.nodes() {
        requesters.push(node.requester(ALICE).await);
    }
    tokio::task::block_in_place(|| grid.postgres().stop());
    let mut calls = JoinSet::new();
    for (json, mut requester) in speakers.into_iter().zip(requesters) {
        calls.spawn(async move {
            let body = json!({"prompt": "meanwhile"});
            let answer = json.post("/generate/text/async", body).await;
            assert_eq!(answer.verdict(), (503, "StoreUnavailable"), "{}", answer.body);
            assert!(answer.headers.contains_key("retry-after"), "{:?}", answer.headers);
        });
        calls.spawn(async move {
            let message =
                gridbroker::rpc::pb::SubmitTextRequest { prompt: Some("x".into()), ..Default::default() };
            let refused = requester.client.submit_text(requester.keyed(message)).await;
            let refused = refused.expect_err("nothing is accepted that is not on disk");
            assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unavailable, "StoreUnavailable"));
            assert!(refused.get_details_retry_info().is_some_and(|info| info.retry_delay.is_some()));
        });
    }
    while let Some(call) = calls.join_next().await {
        call.expect("it is told");
    }
    for node in grid.all() {
        assert!(node.is_alive(), "{} ended: {}", node.name, node.log());
        let ready = reqwest::get(format!("{}/livez", node.url())).await.expect("it answers");
        assert_eq!(ready.status(), 200, "it lives");
    }
    tokio::task::block_in_place(|| grid.postgres().start_again());
    drop(grid.books().await);
    let since = Instant::now();
    for json in &grid.json(ALICE) {
        let mut is_back = false;
        while !is_back {
            let answer = json.post("/generate/text/async", json!({"prompt": "after"})).await;
            is_back = answer.status == 202;
            assert!(is_back || answer.verdict() == (503, "StoreUnavailable"), "{}", answer.body);
            assert!(since.elapsed() < BACK, "it took {:?}", since.elapsed());
            sleep(Duration::from_millis(20)).await;
        }
    }
    println!("after {:?} requests are accepted", since.elapsed());
    let job = super::gets_a_job(&grid.json(BOB)[1], "scribe").await;
    assert!(!job.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_told_to_end_while_postgresql_is_away_ends_and_says_what_was_not_done() {
    let mut grid = Grid::with_own_postgres().await;
    tokio::task::block_in_place(|| grid.postgres().stop());
    let alice = grid.node(0).json(ALICE);
    let unheard = async move { alice.post("/generate/text/async", json!({"prompt": "unheard of"})).await };
    let unheard = tokio::spawn(unheard);
    sleep(Duration::from_millis(500)).await;
    grid.node(0).ends().await;
    let answer = unheard.await.expect("it is answered");
    assert_eq!(answer.verdict(), (503, "StoreUnavailable"), "{}", answer.body);
}
