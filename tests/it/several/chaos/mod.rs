//! Three nodes under steady load, in all weathers.
//!
//! ```text
//!  clients · workers (streams, pops) · watchers · cancellers
//!        │         over gRPC and JSON, at any node
//!        ▼
//!   A    B    C  ◄── killed, paused, ended, started again
//!    ╲   │   ╱
//!   PostgreSQL, Redis ◄── crashed, stopped, flushed, set back
//!        │
//!   what people were told ── must agree with what nodes show that were just started, and with the books
//! ```
//!
//! Nothing accepted is lost, nor any acknowledged result; no attempt is settled twice, no job paid to two;
//! kudos add up to nothing; whoever watched has the results, word by word. The rules are at
//! [`crate::crash::audit::audit`], [`books`] and [`crate::harness::Reader`].
//!
//! `GRIDBROKER_SEED=<n>` picks the weather (though not what it meets), and `GRIDBROKER_SOAK=<n>` makes
//! it last `n` minutes, 15 at most: then requests that are done begin to be swept away.

mod books;
pub mod scene;
mod watchers;
pub mod weather;

use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::time::sleep;

use self::{
    scene::Scene,
    weather::{Gust, Trouble},
};
use crate::crash::line::minute;

/// How long work may take to go on once all is put right: a dead node's jobs come back within 10 s.
const RECOVERY: Duration = Duration::from_secs(20);

/// What `GRIDBROKER_SOAK` says; 1 if it says nothing.
pub fn soak() -> u64 {
    number("GRIDBROKER_SOAK").unwrap_or(1).max(1)
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().and_then(|text| text.parse().ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn in_all_weathers_nothing_is_lost_or_paid_twice_and_watchers_are_told_the_truth() {
    let seed = number("GRIDBROKER_SEED").unwrap_or(1);
    println!("seed {seed}");
    let mut chance = StdRng::seed_from_u64(seed);
    let mut scene = Scene::opens(seed).await;
    let until = Instant::now() + Duration::from_secs(60 * soak().min(15));
    // First a node stands still for longer than death, with all that it has begun.
    let still = Duration::from_secs(if soak() == 1 { 8 } else { 60 });
    let mut gusts = 0;
    while Instant::now() < until {
        let gust = match gusts {
            0 => Gust { troubles: vec![Trouble::Pause(0)], lasts: still },
            _ => Gust::draw(&mut chance, scene.grid.all().len()),
        };
        println!("{}: {gust}", minute());
        gust.blows(&mut scene.grid).await;
        gusts += 1;
        for node in scene.grid.all() {
            let name = node.name;
            assert!(node.is_alive(), "seed {seed}: {name} ended by itself, {gust}: {}", scene.trouble());
        }
        let goes_on = scene.goes_on_within(RECOVERY).await;
        assert!(goes_on, "seed {seed}: nothing gets done after {gust}: {}", scene.trouble());
        sleep(Duration::from_millis(chance.random_range(0..1500))).await;
    }
    let verdict = scene.closes().await;
    println!("{gusts} gusts: {}", verdict.summary);
    assert!(verdict.wrong.is_empty(), "seed {seed}: {}\n{}", verdict.wrong.join("\n  "), verdict.logs);
}

/// What is done to the books behind everybody's back, and the words of a complaint that must be made.
const FORGERIES: [(&str, &str); 4] = [
    (
        "DELETE FROM outcomes WHERE attempt = (SELECT attempt FROM outcomes ORDER BY attempt LIMIT 1)",
        "acknowledged were",
    ),
    (
        "WITH replayed AS (INSERT INTO postings SELECT key || ':again', debit, credit, amount, at \
             FROM postings WHERE key LIKE 'reward:%' ORDER BY key LIMIT 1 RETURNING credit, amount) \
         UPDATE balances SET amount = balances.amount + replayed.amount FROM replayed WHERE account = credit",
        "is for no such result",
    ),
    ("UPDATE balances SET amount = amount + 1000000 WHERE account = 1", "all accounts together have 1000000"),
    (
        "WITH second AS (INSERT INTO attempts SELECT gen_random_uuid(), request, job, number + 1, worker, \
             model, seed, held, granted_at, expires_at, 'settled' FROM attempts WHERE state = 'settled' \
             ORDER BY id DESC LIMIT 1 RETURNING id, request) \
         INSERT INTO outcomes SELECT second.id, second.request, reward, outcome_json \
         FROM second JOIN outcomes USING (request) LIMIT 1",
        "is settled 2 times",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn forged_books_are_found_out() {
    let scene = Scene::opens(2).await;
    assert!(scene.goes_on_within(RECOVERY).await, "no work gets done: {}", scene.trouble());
    let mut books = scene.grid.books().await;
    // PostgreSQL itself refuses a second result of a job: the audit must find it without that guard too.
    sqlx::query("DROP INDEX attempts_taken").execute(&mut books).await.expect("it can be dropped");
    for (forgery, _) in FORGERIES {
        let done = sqlx::query(forgery).execute(&mut books).await.expect(forgery);
        assert_eq!(done.rows_affected(), 1, "{forgery}");
    }
    drop(books);
    assert!(scene.goes_on_within(RECOVERY).await, "no work gets done: {}", scene.trouble());
    let wrong = scene.closes().await.wrong;
    for (_, words) in FORGERIES {
        assert!(wrong.iter().any(|complaint| complaint.contains(words)), "{words}: {wrong:#?}");
    }
    for words in ["should have gained", "was not paid"] {
        assert!(wrong.iter().any(|complaint| complaint.contains(words)), "{words}: {wrong:#?}");
    }
}
