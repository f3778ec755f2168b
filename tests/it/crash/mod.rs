//! The real program, killed with SIGKILL under load, again and again over one store.
//!
//! ```text
//!  clients (gRPC, JSON) ─► broker ◄─ workers (pop streams, HTTP pops)
//!          │              kill -9               │
//!          └────────► what they were told ◄─────┘
//!                            │
//!             audit: what a fresh broker shows must agree
//! ```
//!
//! Every 202 and every reward that anybody was told is kept. At the end able workers finish what is
//! left, the broker is killed once more, and a fresh one over the same store must show exactly that;
//! the rules are at [`audit::audit`].
//!
//! `GRIDBROKER_SEED=<n>` picks the moments of the kills (though not what they meet), and
//! `GRIDBROKER_SOAK=<n>` kills `n` times as often. Two inverted runs show that the audit can fail: the
//! doctored books beside it, and a store that is put back to an older state here.

pub mod audit;
mod broker;
pub mod history;
pub mod line;
pub mod people;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use gridbroker::domain::Kudos;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use self::{
    audit::{Findings, Shown, audit},
    broker::Home,
    line::{Line, worth},
    people::Crowd,
};
use crate::harness::{ALICE, BOB, CAROL, PATIENCE};

const KILLS: u64 = 10;
/// What each account begins with: nobody runs out.
const OPENING: Kudos = Kudos::whole(10_000_000);
/// Longest that able workers may need for what is left: half a minute until what went down with its
/// delivery is handed out again, and the work itself.
const DRAIN: Duration = Duration::from_secs(120);

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().and_then(|text| text.parse().ok())
}

/// A home with its accounts, and the people who use it.
async fn settles(seed: u64, chance: &mut StdRng) -> (Home, Arc<Crowd>) {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let home = Home::new(chance);
    for (alias, key) in [("alice", ALICE), ("bob", BOB), ("carol", CAROL)] {
        home.adds_user(alias, key, OPENING).await;
    }
    let crowd = Crowd::gathers(&[home.url()], seed, Duration::ZERO);
    (home, crowd)
}

/// Waits until results have been acknowledged under this broker, so that a kill meets work.
async fn is_under_load(crowd: &Crowd) {
    let before = crowd.history.lock().acknowledged.len();
    let deadline = Instant::now() + PATIENCE;
    while crowd.history.lock().acknowledged.len() < before + 20 {
        assert!(Instant::now() < deadline, "no work gets done: {:?}", crowd.history.lock().complaints);
        sleep(Duration::from_millis(5)).await;
    }
}

/// Ends early the leases of jobs that no worker knows of: the kill came between the grant and its
/// delivery. Those over HTTP would last two and a half minutes, as the contract has it; now they last the
/// half minute that a restarted broker gives to all. Returns their number.
async fn shortens_lost_leases(home: &Home, crowd: &Crowd) -> usize {
    use sqlx::{ConnectOptions, Row};
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(home.store().join("gridbroker.sqlite"));
    let mut store = options.connect().await.expect("a dead broker's store can be read");
    let open = sqlx::query("SELECT id FROM attempts WHERE state = 'open'").fetch_all(&mut store).await;
    let open: Vec<String> = open.expect("attempts can be read").iter().map(|row| row.get(0)).collect();
    let lost: Vec<_> = open.into_iter().filter(|id| !crowd.history.lock().granted.contains_key(id)).collect();
    for id in &lost {
        let end = sqlx::query("UPDATE attempts SET expires_at = granted_at WHERE id = ?").bind(id);
        end.execute(&mut store).await.expect("attempts can be changed");
    }
    lost.len()
}

/// Waits until no request is open, nothing is in hand, and everything is answered. The account lists its
/// requests, those among them whose acceptance nobody heard of.
async fn drains(crowd: &Crowd, json: &reqwest::Client, url: &str) {
    let deadline = Instant::now() + DRAIN;
    loop {
        let alice = get(json, url, "/find_user", ALICE).await;
        let open = alice["active_generations"]["text"].as_array().map_or(0, Vec::len);
        let (in_hand, unanswered) = (crowd.in_hand(), crowd.history.lock().unanswered());
        if open == 0 && in_hand == 0 && unanswered == 0 {
            return;
        }
        if Instant::now() > deadline {
            let words = format!("not drained: {open} open, {in_hand} in hand, {unanswered} unanswered");
            return crowd.history.lock().complain(words);
        }
        sleep(Duration::from_millis(50)).await;
    }
}

async fn get(json: &reqwest::Client, url: &str, path: &str, key: &str) -> Value {
    let response = json.get(format!("{url}/api/v2{path}")).header("apikey", key).send().await;
    let body = response.expect("the broker answers").bytes().await.expect("the answer is whole");
    serde_json::from_slice(&body).expect("it answers JSON")
}

/// What the broker shows of everything that was accepted, and of the accounts.
async fn findings(home: &Home, crowd: &Crowd) -> Findings {
    let (json, url) = (reqwest::Client::new(), home.url());
    let ids: Vec<_> = crowd.history.lock().asked.values().filter_map(|asked| asked.id.clone()).collect();
    let shown = stream::iter(ids).map(async |id| {
        let status = get(&json, &url, &format!("/generate/text/status/{id}"), ALICE).await;
        let generations = status["generations"].as_array()?;
        let text = |generation: &Value| generation["text"].as_str().unwrap_or_default().to_owned();
        let texts = generations.iter().map(text).collect();
        Some((id, Shown { done: status["done"] == true, faulted: status["faulted"] == true, texts }))
    });
    let requests = shown.buffer_unordered(8).filter_map(std::future::ready).collect().await;
    let mut gained = BTreeMap::new();
    for key in [ALICE, BOB, CAROL] {
        let has = worth(&get(&json, &url, "/find_user", key).await);
        gained.insert(key, has - OPENING);
    }
    let panics = home.log().lines().filter(|line| line.contains("panicked")).map(str::to_owned).collect();
    Findings { requests, gained, panics, ..Findings::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_accepted_or_acknowledged_is_lost_when_the_broker_is_killed_again_and_again() {
    let seed = number("GRIDBROKER_SEED").unwrap_or(1);
    println!("seed {seed}");
    let mut chance = StdRng::seed_from_u64(seed);
    let (home, crowd) = settles(seed, &mut chance).await;
    let (mut bites, kills) = (0, KILLS * number("GRIDBROKER_SOAK").unwrap_or(1).max(1));
    for kill in 1..=kills {
        let mut broker = home.starts().await;
        is_under_load(&crowd).await;
        sleep(Duration::from_millis(chance.random_range(0..2500))).await;
        assert!(broker.is_alive(), "seed {seed}: the broker ended before kill {kill}: {}", home.log());
        let cuts = crowd.history.lock().cuts;
        broker.falls().await;
        if chance.random_bool(0.3) {
            home.starts_and_falls_within(Duration::from_millis(chance.random_range(0..150))).await;
        }
        sleep(Duration::from_millis(20)).await;
        bites += u64::from(crowd.history.lock().cuts > cuts);
    }
    crowd.enough.cancel();
    let lost = shortens_lost_leases(&home, &crowd).await;
    let broker = home.starts().await;
    drains(&crowd, &reqwest::Client::new(), &home.url()).await;
    crowd.parts().await;
    broker.falls().await;

    let broker = home.starts().await;
    let findings = findings(&home, &crowd).await;
    let settled: Vec<_> = {
        let history = crowd.history.lock();
        history.acknowledged.iter().map(|(attempt, result)| (attempt.clone(), result.owner)).collect()
    };
    let url = [home.url()];
    let (bob, carol) = (Line::grpc(&url, BOB), Line::json(&url, CAROL));
    let again = stream::iter(&settled).for_each_concurrent(8, async |(attempt, owner)| {
        let line = if *owner == BOB { &bob } else { &carol };
        crowd.insists_on(line, owner, attempt).await;
    });
    again.await;
    broker.falls().await;

    let history = crowd.history.lock();
    let wrong = audit(&history, &findings, ALICE);
    assert!(wrong.is_empty(), "seed {seed}: {}\nlog:\n{}", wrong.join("\n  "), home.log());
    println!(
        "{kills} kills: {} requests accepted, {} results acknowledged, {} attempts aborted, {lost} jobs went \
         down with their delivery, {} calls and streams cut",
        history.accepted_requests(),
        history.acknowledged.len(),
        history.aborted.len(),
        history.cuts
    );
    assert!(bites * 2 > kills, "seed {seed}: only {bites} of {kills} kills cut anything: this shows nothing");
    assert!(settled.len() as u64 > kills * 20, "too little was done to show anything: {}", settled.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_put_back_to_an_older_state_is_noticed() {
    let seed = 2;
    let mut chance = StdRng::seed_from_u64(seed);
    let (home, crowd) = settles(seed, &mut chance).await;
    let broker = home.starts().await;
    is_under_load(&crowd).await;
    broker.falls().await;
    let older = home.copies_store();
    let broker = home.starts().await;
    is_under_load(&crowd).await;
    crowd.parts().await;
    broker.falls().await;

    home.replaces_store(&older);
    let broker = home.starts().await;
    let findings = findings(&home, &crowd).await;
    let wrong = audit(&crowd.history.lock(), &findings, ALICE);
    for words in ["was accepted and is lost", "acknowledged were", "should have gained"] {
        assert!(wrong.iter().any(|complaint| complaint.contains(words)), "{words}: {wrong:#?}");
    }
    broker.falls().await;
}
