//! Two brokers over one PostgreSQL database: what both want, one gets.

use std::{collections::HashMap, sync::Arc};

use gridbroker::{
    backend::{
        Deed,
        Refusal::{Overtaken, Taken, TooMany},
        Verdict::{Kept, Refused},
    },
    domain::{
        UserId,
        lease::Closed::Returned,
        request::{Accepted, Kind},
        worker::Worker,
    },
};
use sqlx::Connection;

use super::{
    making::{self, NOW, accepted, accepted_within, closed, dropped, moved, opened, posting, settled},
    store::{Keeper, Store},
};
use crate::{harness::eventually, simulation::dice::Chance};

/// Tasks that commit at the same time, every other one through the same keeper.
const TASKS: usize = 16;

async fn two() -> [Store; 2] {
    let first = Store::fresh(Keeper::Postgres).await;
    let second = Store::over(first.url().clone()).await;
    [first, second]
}

/// Runs calls at the same time. Of each, the deeds that hold.
async fn race(stores: &[Store; 2], calls: Vec<Vec<Deed>>) -> Vec<Vec<bool>> {
    let mut tasks = tokio::task::JoinSet::new();
    for (number, deeds) in calls.into_iter().enumerate() {
        let records = stores[number % 2].records.clone();
        tasks.spawn(async move { (number, records.commit_each(&deeds).await.unwrap()) });
    }
    let mut all = tasks.join_all().await;
    all.sort_by_key(|(number, _)| *number);
    all.into_iter()
        .map(|(_, verdicts)| {
            verdicts
                .into_iter()
                .map(|verdict| match verdict {
                    Kept => true,
                    Refused(Overtaken) => false,
                    Refused(other) => panic!("{other:?} is no reason"),
                })
                .collect()
        })
        .collect()
}

fn shuffled<T>(chance: &mut Chance, mut things: Vec<T>) -> Vec<T> {
    for last in (1..things.len()).rev() {
        things.swap(last, chance.between(0, last as i64) as usize);
    }
    things
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_end_or_open_the_same_attempts_one_each_does() {
    const JOBS: usize = 6;
    let (stores, mut chance) = (two().await, Chance::new(23));
    stores[0].records.commit(&[making::user(1)]).await.unwrap();
    let mut right = 0;
    for round in 0..4 {
        let request = making::request(2 * JOBS);
        let attempts: Vec<_> = (0..JOBS).map(|job| making::attempt(job, 1)).collect();
        let mut batch = vec![accepted(&request)];
        batch.extend(attempts.iter().map(|attempt| opened(&request, attempt)));
        stores[0].records.commit(&batch).await.unwrap();
        let (mut calls, mut claims) = (Vec::new(), Vec::new());
        for task in 0..TASKS {
            let deeds = (0..2 * JOBS).map(|job| {
                let rest =
                    [posting(&format!("{round} {task} {job}"), -3, 1, 1), moved(&request, false, false)];
                let first = match attempts.get(job) {
                    Some(attempt) if chance.percent(50) => settled(&request, attempt),
                    Some(attempt) => closed(&request, attempt, Returned),
                    None => opened(&request, &making::attempt(job, 1)),
                };
                (job, std::iter::once(first).chain(rest).collect::<Deed>())
            });
            let deeds = deeds.collect();
            let (jobs, deeds): (Vec<_>, Vec<_>) = shuffled(&mut chance, deeds).into_iter().unzip();
            claims.push(jobs);
            calls.push(deeds);
        }
        let kept = race(&stores, calls).await;
        let mut winners: HashMap<usize, usize> = HashMap::new();
        for (jobs, kept) in claims.iter().zip(&kept) {
            jobs.iter().zip(kept).filter(|(_, kept)| **kept).for_each(|(job, _)| {
                *winners.entry(*job).or_default() += 1;
            });
        }
        assert_eq!(winners.len(), 2 * JOBS, "each has a winner");
        assert!(winners.values().all(|count| *count == 1), "and one only: {winners:?}");
        right += 2 * JOBS as i64;
        let stored = stores[1].records.request(request.id).await.unwrap().unwrap();
        assert_eq!((stored.open.len(), stored.closed.len() + stored.outcomes.len()), (JOBS, JOBS));
        assert_eq!(stored.consumed.0, 5 * 2 * JOBS as i64, "those who lost spent nothing");
    }
    assert_eq!(stores[0].balances().await, [(-3, -right), (1, right)], "nor was anything posted");
    assert_eq!(stores[0].ledger().await, stores[0].balances().await);
    stores[0].check_waiting().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_is_never_exceeded_by_several_who_accept() {
    const LIMIT: usize = 10;
    let stores = two().await;
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..TASKS {
        let (records, mut chance) = (stores[task % 2].records.clone(), Chance::new(task as u64));
        tasks.spawn(async move {
            let (mut kept, mut refused) = (0, 0);
            for _ in 0..8 {
                // Two owners, in either order.
                let requests: Vec<_> = (0..chance.between(1, 3))
                    .map(|_| {
                        let jobs = chance.between(1, 3) as usize;
                        making::request_of(chance.between(1, 2), Kind::Text, jobs)
                    })
                    .collect();
                let deeds: Vec<Deed> =
                    requests.iter().map(|request| vec![accepted_within(request, LIMIT)]).collect();
                let verdicts = records.commit_each(&deeds).await.unwrap();
                for (request, verdict) in requests.iter().zip(verdicts) {
                    match verdict {
                        Kept => {
                            kept += 1;
                            // What is given out makes room.
                            let attempt = making::attempt(0, 1);
                            records.commit(&[opened(request, &attempt)]).await.unwrap();
                        }
                        Refused(TooMany { waiting }) => {
                            refused += 1;
                            assert!((LIMIT + 1..=LIMIT + 3).contains(&(waiting + request.spec.jobs)));
                        }
                        Refused(other) => panic!("{other:?} is no reason"),
                    }
                }
            }
            (kept, refused)
        });
    }
    let watched = async {
        let (mut looks, mut most) = (0, 0);
        while !tasks.is_empty() {
            // By the requests, not by the figure.
            let waiting = stores[0]
                .rows(
                    "SELECT coalesce(max(jobs), 0)::TEXT FROM \
                       (SELECT sum(jobs - open - settled) AS jobs FROM requests GROUP BY owner) AS sums",
                )
                .await;
            (looks, most) = (looks + 1, most.max(waiting[0][0].as_i64().unwrap()));
            while let Some(outcome) = tasks.try_join_next() {
                let (kept, refused) = outcome.unwrap();
                assert!(kept + refused >= 8);
            }
        }
        (looks, most)
    };
    let (looks, most) = watched.await;
    assert!(looks > 2 && most > LIMIT as i64 / 2, "it was close: {most} in {looks} looks");
    assert!(most <= LIMIT as i64, "{most} waited");
    stores[0].check_waiting().await;
}

/// Begins to commit a deed through one broker while a transaction of another holds on to what it
/// rests on; then has that one commit. Whether the deed holds.
async fn overtaken_by(store: &Store, statements: &str, deed: Deed) -> bool {
    let mut rival = store.connection().await;
    sqlx::raw_sql("BEGIN").execute(&mut rival).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(statements.to_owned())).execute(&mut rival).await.unwrap();
    let records = store.records.clone();
    let committing = tokio::spawn(async move { records.commit_each(&[deed]).await.unwrap()[0] });
    wait_for_a_waiter(store).await;
    assert!(!committing.is_finished(), "it waits for who was first");
    sqlx::raw_sql("COMMIT").execute(&mut rival).await.unwrap();
    rival.close().await.unwrap();
    match committing.await.unwrap() {
        Kept => false,
        Refused(_) => true,
    }
}

async fn wait_for_a_waiter(store: &Store) {
    let waits = "SELECT count(*)::TEXT FROM pg_locks JOIN pg_stat_activity USING (pid) \
                 WHERE NOT granted AND datname = current_database()";
    eventually(async || store.rows(waits).await == [[1]]).await;
}

fn update(what: &str, request: &Accepted) -> String {
    format!("UPDATE requests SET {what} WHERE id = '{}'", request.id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_second_sees_what_the_first_one_did() {
    let store = Store::fresh(Keeper::Postgres).await;
    let requests: Vec<_> = (0..7).map(|_| making::request_of(1, Kind::Text, 2)).collect();
    let held = making::attempt(0, 1);
    let mut batch: Vec<_> = requests.iter().map(accepted).collect();
    batch.push(opened(&requests[6], &held));
    store.records.commit(&batch).await.unwrap();
    let open = |request: &Accepted| vec![opened(request, &making::attempt(0, 1))];
    let drop = |request: &Accepted| vec![dropped(request, NOW)];
    let later = NOW.0 + 60_000;
    let of_another = |request: &Accepted| {
        format!(
            "INSERT INTO attempts SELECT gen_random_uuid(), '{}', 0, 1, gen_random_uuid(), 'm', 1, 'pop', 1, 1",
            request.id
        )
    };
    for (what, statements, deed, is_refused) in [
        ("opens what is cancelled", update("cancelled = TRUE", &requests[0]), open(&requests[0]), true),
        ("opens what has failed", update("faulted = TRUE", &requests[1]), open(&requests[1]), true),
        ("opens what only lasts longer", update("expires_at = 9", &requests[2]), open(&requests[2]), false),
        ("opens what another has", of_another(&requests[3]), open(&requests[3]), true),
        (
            "drops what lasts longer",
            update(&format!("expires_at = {later}"), &requests[4]),
            drop(&requests[4]),
            true,
        ),
        ("drops what is given out", update("open = 1", &requests[5]), drop(&requests[5]), true),
        (
            "ends what has ended",
            format!("UPDATE attempts SET state = 'returned' WHERE id = '{}'", held.id),
            vec![settled(&requests[6], &held)],
            true,
        ),
    ] {
        assert_eq!(overtaken_by(&store, &statements, deed).await, is_refused, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_accepts_second_counts_what_the_first_one_accepted() {
    let store = Store::fresh(Keeper::Postgres).await;
    store.records.commit(&[accepted(&making::request_of(1, Kind::Text, 2))]).await.unwrap();
    let one_more = "UPDATE waiting SET jobs = jobs + 1 WHERE owner = 1";
    for (limit, is_refused) in [(3, true), (5, false)] {
        let deed = vec![accepted_within(&making::request_of(1, Kind::Text, 1), limit)];
        assert_eq!(overtaken_by(&store, one_more, deed).await, is_refused, "of {limit}");
    }
    let deed = vec![accepted_within(&making::request_of(2, Kind::Text, 1), 1)];
    let mut rival = store.connection().await;
    sqlx::raw_sql("BEGIN; UPDATE waiting SET jobs = jobs + 1").execute(&mut rival).await.unwrap();
    assert_eq!(store.records.commit_each(&[deed]).await.unwrap(), [Kept], "another account waits for nobody");
}

fn made_of(owner: i64, name: &str, limit: usize) -> Deed {
    vec![making::made_within(&Worker { owner: UserId(owner), ..making::worker(name) }, limit)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_workers_of_an_account_so_many_are_let_in() {
    const OWNERS: i64 = 60;
    let limit = |owner: i64| owner as usize % 3;
    let stores = two().await;
    let begin = Arc::new(tokio::sync::Barrier::new(TASKS));
    stores[0].records.commit(&(1..=OWNERS).map(making::user).collect::<Vec<_>>()).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..TASKS {
        let (records, begin) = (stores[task % 2].records.clone(), begin.clone());
        let mut chance = Chance::new(task as u64);
        tasks.spawn(async move {
            // Two at a time, in either order; all begin together.
            for pair in (1..=OWNERS).collect::<Vec<_>>().chunks(2) {
                let owners = shuffled(&mut chance, pair.to_vec());
                begin.wait().await;
                let deeds: Vec<_> = owners
                    .iter()
                    .map(|owner| {
                        let mut deed = made_of(*owner, &format!("{task} of {owner}"), limit(*owner));
                        deed.push(posting(&format!("{task} {owner}"), -3, *owner, 1));
                        deed
                    })
                    .collect();
                for (owner, verdict) in owners.iter().zip(records.commit_each(&deeds).await.unwrap()) {
                    match verdict {
                        Kept => {}
                        Refused(TooMany { waiting }) => assert_eq!(waiting, limit(*owner) + 1, "of {owner}"),
                        Refused(other) => panic!("{other:?} is no reason"),
                    }
                }
            }
        });
    }
    tasks.join_all().await;
    let mut counts: HashMap<UserId, usize> = HashMap::new();
    for worker in stores[1].records.load().await.unwrap().workers {
        *counts.entry(worker.owner).or_default() += 1;
    }
    let right: HashMap<_, _> = (1..=OWNERS).map(|owner| (UserId(owner), limit(owner) + 1)).collect();
    assert_eq!(counts, right);
    let paid = stores[0].balances().await.split_off(1);
    assert!(paid.into_iter().all(|(owner, amount)| amount == limit(owner) as i64 + 1), "for what holds");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_makes_a_worker_second_counts_what_the_first_one_made() {
    let [store, other] = two().await;
    store.records.commit(&[making::user(1), making::user(2)]).await.unwrap();
    store.records.commit(&made_of(1, "there before", 9)).await.unwrap();
    for (round, limit, is_refused) in [(0, 1, true), (1, 3, false)] {
        // As a broker does it, step by step.
        let one_more = format!(
            "UPDATE users SET granted = granted WHERE id = 1; \
             INSERT INTO workers (id, name, owner, created_at, seen_at, profile_json) SELECT \
                 gen_random_uuid(), 'rival {round}', owner, created_at, seen_at, profile_json \
                 FROM workers WHERE name = 'there before'"
        );
        let deed = made_of(1, &format!("second {round}"), limit);
        assert_eq!(overtaken_by(&store, &one_more, deed).await, is_refused, "of {limit}");
    }
    let mut rival = store.connection().await;
    sqlx::raw_sql("BEGIN; UPDATE users SET granted = granted WHERE id = 1")
        .execute(&mut rival)
        .await
        .unwrap();
    let verdicts = other.records.commit_each(&[made_of(2, "of another", 0)]).await.unwrap();
    assert_eq!(verdicts, [Kept], "another account waits for nobody");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_take_the_same_name_one_does() {
    let stores = two().await;
    for round in 1..=5 {
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..TASKS {
            let records = stores[task % 2].records.clone();
            let name = format!("worker {round}");
            let deeds = [
                vec![making::user(round)],
                vec![making::made(&making::worker(&name))],
                vec![posting(&format!("{round} {task}"), -3, 1, 1)],
            ];
            tasks.spawn(async move { records.commit_each(&deeds).await.unwrap() });
        }
        let verdicts = tasks.join_all().await;
        for deed in 0..2 {
            let kept = verdicts.iter().filter(|verdicts| verdicts[deed] == Kept).count();
            let taken = verdicts.iter().filter(|verdicts| verdicts[deed] == Refused(Taken)).count();
            assert_eq!((kept, taken), (1, TASKS - 1), "{deed}");
        }
        assert!(verdicts.iter().all(|verdicts| verdicts[2] == Kept));
    }
    let there = stores[0].records.load().await.unwrap();
    assert_eq!((there.users.len(), there.workers.len()), (6, 5));
    assert!(there.users.iter().any(|user| user.id == UserId(1) && user.balance.0 == 5 * TASKS as i64));
}
