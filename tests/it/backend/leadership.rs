//! Leadership: one at a time, and another when it is gone.

use std::time::Duration;

use gridbroker::backend::{
    Leadership,
    distributed::{PgLeadership, Terms},
    embedded,
};
use sqlx::Executor;

use super::store::{Keeper, Store};
use crate::harness::{PATIENCE, eventually};

const TERMS: Terms = Terms { ttl: Duration::from_millis(1500), every: Duration::from_millis(150) };

async fn candidate(store: &Store) -> PgLeadership {
    PgLeadership::start(store.url(), TERMS).await.unwrap()
}

/// A database where nobody leads: the leader of the broker that opened it has gone.
async fn nobody_leads() -> Store {
    let mut store = Store::fresh(Keeper::Postgres).await;
    store.end_leadership();
    store
}

#[tokio::test]
async fn a_broker_that_is_alone_leads() {
    let dir = tempfile::tempdir().unwrap();
    assert!(embedded::open(dir.path()).await.unwrap().leadership.is_leader());
    let store = Store::fresh(Keeper::Postgres).await;
    eventually(async || store.leadership().is_leader()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_one_that_leaves_is_followed_by_another_with_a_higher_epoch() {
    let store = nobody_leads().await;
    let mut last = 0;
    let mut first = candidate(&store).await;
    for _ in 0..3 {
        eventually(async || first.is_leader()).await;
        let epoch = first.epoch().unwrap();
        assert!(epoch > last, "{epoch} after {last}");
        assert!(first.is_current(epoch).await.unwrap());
        let second = candidate(&store).await;
        assert!(!second.is_leader() && second.epoch().is_none());
        drop(first);
        (first, last) = (second, epoch);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_steps_down_is_followed_and_never_leads_again() {
    let store = nobody_leads().await;
    let first = candidate(&store).await;
    eventually(async || first.is_leader()).await;
    let second = candidate(&store).await;
    first.step_down();
    assert!(!first.is_leader());
    eventually(async || second.is_leader()).await;
    drop(second);
    tokio::time::sleep(TERMS.every * 3).await;
    assert!(!first.is_leader(), "it is about to end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_dies_silently_stops_by_itself_before_another_begins() {
    let store = nobody_leads().await;
    let url = store.url().clone();
    // Its tasks end with this runtime, without a word to the database.
    let (runtime, dying) = std::thread::spawn(move || {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let leader = runtime.block_on(async {
            let leader = PgLeadership::start(&url, TERMS).await.unwrap();
            eventually(async || leader.is_leader()).await;
            leader
        });
        (runtime, leader)
    })
    .join()
    .unwrap();
    let epoch = dying.epoch().unwrap();
    let heir = candidate(&store).await;
    runtime.shutdown_background();
    let died_at = std::time::Instant::now();
    assert!(dying.is_leader(), "nobody has told it yet");
    while !heir.is_leader() {
        let (dying, heir) = (dying.is_leader(), heir.is_leader());
        assert!(!(dying && heir), "two lead");
        assert!(died_at.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(!dying.is_leader() && dying.epoch().is_none());
    assert!(died_at.elapsed() > TERMS.ttl - 2 * TERMS.every, "not before its time was over");
    assert!(heir.epoch().unwrap() > epoch);
    assert!(!dying.is_current(epoch).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_row_was_taken_is_fenced_off_and_steps_down() {
    let store = nobody_leads().await;
    let old = candidate(&store).await;
    eventually(async || old.is_leader()).await;
    let epoch = old.epoch().unwrap();
    // As if the database's clock had jumped ahead, and somebody was quick.
    let taken = "UPDATE leadership SET epoch = epoch + 1, holder = gen_random_uuid(), expires_at = expires_at + 60000";
    store.connection().await.execute(taken).await.unwrap();
    assert!(!old.is_current(epoch).await.unwrap(), "its orders are told from its successor's");
    eventually(async || !old.is_leader()).await;
    assert_eq!(old.epoch(), None);
}
