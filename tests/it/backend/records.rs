//! Promises of Records about batches, accounts, workers and the ledger.

use std::{sync::Arc, time::Duration};

use gridbroker::domain::{
    Kudos, UserId,
    lease::Closed,
    record::Record,
    source::Moved,
    user::{KeyHash, User, UserStats, Work},
    worker::{Worker, WorkerChange},
};

use super::{
    making::{self, NOW, posting},
    store::{Keeper, Store},
};
use crate::{harness::eventually, simulation::dice::Chance};

async fn users(store: &Store) -> Vec<User> {
    let mut users = store.records.load().await.unwrap().users;
    users.sort_by_key(|user| user.id);
    users
}

pub async fn a_batch_that_fails_leaves_nothing_behind(store: Store) {
    store.records.commit(&[making::user(1)]).await.unwrap();
    let (request, attempt) = (making::request(1), making::attempt(0, 1));
    let rest = [making::user(2), making::accepted(&request), posting("p", -1, 1, 5)];
    for (reason, bad) in [
        ("an attempt that is not there ends", making::closed(&request, &attempt, Closed::Faulted)),
        ("an account is made twice", making::user(1)),
    ] {
        let mut batch = rest.to_vec();
        batch.push(bad);
        assert!(store.records.commit(&batch).await.is_err(), "{reason}");
        let there = store.records.load().await.unwrap();
        assert_eq!((there.users.len(), there.requests.len()), (2, 0), "{reason}");
        assert!(store.balances().await.is_empty(), "{reason}");
        assert!(store.ledger().await.is_empty(), "{reason}");
    }
    store.records.commit(&rest).await.unwrap();
    assert_eq!(store.balances().await, [(-1, -5), (1, 5)], "without the bad record it goes through");
}

pub async fn a_posting_counts_once(store: Store) {
    store.records.commit(&[making::user(1), posting("once", -3, 1, 100)]).await.unwrap();
    store.records.commit(&[posting("once", -3, 1, 100), posting("other", 1, -2, 30)]).await.unwrap();
    store.records.commit(&[posting("twice", -1, 1, 1), posting("twice", -1, 1, 1)]).await.unwrap();
    assert_eq!(store.balances().await, [(-3, -100), (-2, 30), (-1, -1), (1, 71)]);
    assert_eq!(store.ledger().await, store.balances().await);
    assert_eq!(users(&store).await[1].balance, Kudos(71));
}

pub async fn balances_are_the_sums_of_postings_and_cancel_out(store: Store) {
    let mut chance = Chance::new(3);
    store.records.commit(&(1..=5).map(making::user).collect::<Vec<_>>()).await.unwrap();
    let largest = i64::MAX / 4;
    store.records.commit(&[posting("large", -3, 5, largest)]).await.unwrap();
    for _ in 0..20 {
        let batch: Vec<_> = (0..chance.between(1, 30))
            .map(|_| {
                let key = chance.between(0, 400).to_string();
                posting(&key, chance.between(-3, 5), chance.between(-3, 5), chance.between(0, 1_000_000))
            })
            .collect();
        store.records.commit(&batch).await.unwrap();
    }
    let (balances, ledger) = (store.balances().await, store.ledger().await);
    assert_eq!(balances, ledger);
    assert!(ledger.len() > 8 && ledger.iter().any(|pair| pair.1 > largest / 2), "{ledger:?}");
    assert_eq!(ledger.iter().map(|pair| pair.1).sum::<i64>(), 0);
}

fn moved(times: i64) -> Moved {
    Moved {
        gifted: Kudos(-5 * times),
        donated: Kudos(-6 * times),
        received: Kudos(7 * times),
        recurring: Kudos(8 * times),
        awarded: Kudos(-9 * times),
        styled: Kudos(10 * times),
        lifts: times,
    }
}

fn counted(user: i64, jobs: i64) -> Record {
    let work = Work { jobs, things: jobs as f64 / 4.0 };
    let change = UserStats {
        requested: [work, Work { jobs: 1, things: 0.5 }, Work::default(), work],
        fulfilled: [Work::default(), work, Work { jobs: 2, things: 2.5 }, Work::default()],
        accumulated: Kudos(-3),
        granted: Kudos(4),
        suspicion: 2,
        style_uses: [0; 2],
        moved: moved(1),
    };
    Record::UserCounted { user: UserId(user), change }
}

pub async fn batches_at_the_same_time_add_up_without_getting_in_each_others_way(store: Store) {
    const BATCHES: i64 = 24;
    let workers: Vec<_> = (0..10).map(|i| making::worker(&format!("w{i}"))).collect();
    let request = making::request(10);
    // So many that they are looked up one by one, in whatever order they come.
    let mut first: Vec<_> = (1..=3000).map(making::user).collect();
    first.extend(workers.iter().map(making::made));
    first.push(making::accepted(&request));
    store.records.commit(&first).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..BATCHES {
        let mut batch = vec![making::moved(&request, false, false)];
        for (i, worker) in workers.iter().enumerate() {
            let user = i as i64 + 1;
            let change = WorkerChange { fulfilled: 2, things: 0.25, ..WorkerChange::default() };
            batch.push(counted(user, 3));
            batch.push(Record::WorkerCounted { worker: worker.id, change });
            batch.push(posting(&format!("{number} {user}"), user, -2, 10));
        }
        let records = store.records.clone();
        tasks.spawn(async move { records.commit(&batch).await.map_err(|error| error.to_string()) });
    }
    for outcome in tasks.join_all().await {
        outcome.unwrap();
    }
    for user in &users(&store).await[1..=10] {
        let work = |jobs: i64, things: f64| Work { jobs: jobs * BATCHES, things: things * BATCHES as f64 };
        let stats = UserStats {
            requested: [work(3, 0.75), work(1, 0.5), Work::default(), work(3, 0.75)],
            fulfilled: [Work::default(), work(3, 0.75), work(2, 2.5), Work::default()],
            accumulated: Kudos(-3 * BATCHES),
            granted: Kudos(4 * BATCHES),
            suspicion: 2 * BATCHES,
            style_uses: [0; 2],
            moved: moved(BATCHES),
        };
        assert_eq!((user.stats, user.balance), (stats, Kudos(-10 * BATCHES)));
    }
    let there = store.records.load().await.unwrap();
    assert!(there.workers.iter().all(|worker| worker.stats.fulfilled == 2 * BATCHES));
    assert_eq!(there.requests[0].consumed, Kudos(5 * BATCHES));
    if store.keeper == Keeper::Postgres {
        // A connection tells what it met when it ends.
        let ours =
            "FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'gridbroker'";
        store.rows(&format!("SELECT pg_terminate_backend(pid)::TEXT {ours} AND state = 'idle'")).await;
        let others = format!("SELECT count(*)::TEXT {ours} AND backend_start < now() - interval '1 s'");
        eventually(async || store.rows(&others).await == [[0]]).await;
        let deadlocks = "SELECT deadlocks::TEXT FROM pg_stat_database WHERE datname = current_database()";
        assert_eq!(store.rows(deadlocks).await, [[0]], "rows are locked in one order");
    }
}

pub async fn what_a_worker_says_replaces_what_it_said_and_keeps_its_figures(store: Store) {
    let worker = making::worker("first");
    let change = WorkerChange { uncompleted: 1, uptime_seconds: 60, ..WorkerChange::default() };
    let counted = Record::WorkerCounted { worker: worker.id, change };
    store.records.commit(&[making::made(&worker), counted]).await.unwrap();
    let seen_at = NOW.plus(Duration::from_secs(9));
    let changed = Worker { seen_at, ..worker.clone() };
    store.records.commit(&[Record::WorkerSaid(Arc::new(changed.clone()))]).await.unwrap();
    let there = store.records.load().await.unwrap().workers.remove(0);
    assert_eq!((there.stats.uncompleted, there.stats.uptime_seconds), (1, 60));
    assert_eq!(Worker { stats: worker.stats, ..there }, changed);
}

pub async fn the_newest_speeds_are_kept_in_order(store: Store) {
    let worker = making::worker("fast");
    store.records.commit(&[making::made(&worker)]).await.unwrap();
    let counted = |speed: u32| {
        let change = WorkerChange { speed: Some(f64::from(speed) + 0.1), ..WorkerChange::default() };
        Record::WorkerCounted { worker: worker.id, change }
    };
    let mut all = 0..31;
    for count in [1, 3, 0, 20, 7] {
        let batch: Vec<_> = all.by_ref().take(count).map(counted).collect();
        store.records.commit(&batch).await.unwrap();
    }
    let speeds = store.records.load().await.unwrap().workers.remove(0).stats.speeds;
    assert_eq!(speeds, (11..31).map(|speed| f64::from(speed) + 0.1).collect::<Vec<_>>());
}

pub async fn an_account_is_found_by_its_key(store: Store) {
    store.records.commit(&[making::user(1), posting("p", -3, 1, 8)]).await.unwrap();
    let found = store.records.user_by_key(KeyHash::of("key of 1")).await.unwrap().unwrap();
    assert_eq!((found.id, found.balance), (UserId(1), Kudos(8)));
    assert!(store.records.user_by_key(KeyHash::of("nobody's")).await.unwrap().is_none());
    let anonymous = store.records.user_by_key(User::anonymous().key).await.unwrap();
    assert_eq!(anonymous, Some(User::anonymous()), "it is there from the start");
}

pub async fn the_secret_is_made_once(store: Store) {
    let proposals = (1..=5).map(|i| store.records.secret([i; 32]));
    let made: Vec<_> = futures_util::future::join_all(proposals).await;
    let first = *made[0].as_ref().unwrap();
    assert!(made.iter().all(|secret| *secret.as_ref().unwrap() == first));
    assert_eq!(store.records.secret([9; 32]).await.unwrap(), first);
}

pub async fn they_can_be_reached(store: Store) {
    store.records.ping().await.unwrap();
}
