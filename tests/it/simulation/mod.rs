//! A whole broker's days in seconds: seeded clients, workers, clocks and crashes drive the engine, and
//! a checker that knows the promises watches what everybody saw.
//!
//! ```text
//!  clients ─┐           ┌─► effects ─► batch ─(committed later)─► answers, pushes, events
//!           ├─► Engine ─┤                  │
//!  workers ─┘           └─► claims         ▼
//!                                       model of Records ◄── compared with both keepers in some runs
//! ```
//!
//! One thread, no sockets, no sleeps: time is a number in the [`world::World`]. A failure prints its seed
//! and the last events; the same seed gives the same run. `GRIDBROKER_SOAK=<n>` runs `n` times as many,
//! `GRIDBROKER_SEED=<n>` that one alone, and prints all its events if it fails.
//! The inverted runs at the end plant a bug in the carrying-out layer and demand that it is found.

mod carrying;
mod checks;
mod clients;
pub mod dice;
mod disk;
mod history;
mod jobs;
mod kudos;
mod model;
mod plan;
pub mod things;
mod workers;
mod world;

use plan::{Bug, Plan};
use world::World;

use crate::backend::store::Keeper;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().and_then(|text| text.parse().ok())
}

/// The seeds of a test: so many from the first one on, or as many times as the environment says.
fn seeds(first: u64, count: u64) -> std::ops::Range<u64> {
    match number("GRIDBROKER_SEED") {
        Some(seed) => seed..seed + 1,
        None => first..first + count * number("GRIDBROKER_SOAK").unwrap_or(1).max(1),
    }
}

fn run(plan: Plan) -> Result<u64, String> {
    let seed = plan.seed;
    let mut world = World::new(plan);
    if number("GRIDBROKER_SEED").is_some() {
        world.history.keep_all();
    }
    world.live();
    world.drain();
    let found = world.history.complaints().to_vec();
    match found.is_empty() {
        true => Ok(world.events),
        false => Err(format!("seed {seed}: {}\nlast events:\n{}", found.join("\n  "), world.history.trace())),
    }
}

fn run_all(seeds: impl Iterator<Item = u64>, plan: impl Fn(u64) -> Plan) -> u64 {
    let mut events = 0;
    for seed in seeds {
        match run(plan(seed)) {
            Ok(count) => events += count,
            Err(report) => panic!("{report}"),
        }
    }
    events
}

#[test]
fn nothing_is_lost_or_paid_twice_whatever_clients_workers_clocks_and_crashes_do() {
    let events = run_all(seeds(1, 40), Plan::rough);
    println!("{events} events");
    let is_whole = number("GRIDBROKER_SEED").is_none();
    assert!(!is_whole || events > 200_000, "only {events} events: the runs are too tame to show anything");
}

#[test]
fn a_calm_broker_serves_everybody_without_a_fault() {
    run_all(seeds(10_001, 8), Plan::calm);
}

#[test]
fn both_keepers_hold_exactly_what_the_model_of_records_holds() {
    let keepers = &[Keeper::Sqlite, Keeper::Postgres];
    run_all(seeds(20_001, 3), |seed| Plan { keepers, happenings: 1_500, ..Plan::rough(seed) });
}

/// Some seed must show the bug; most do.
fn is_caught(bug: Bug, words: &str) {
    let reports = (30_001..30_013).filter_map(|seed| run(Plan { bug, ..Plan::rough(seed) }).err());
    let reports: Vec<_> = reports.collect();
    assert!(!reports.is_empty(), "{bug:?} went unnoticed");
    assert!(
        reports.iter().any(|report| report.contains(words)),
        "{bug:?} is not called what it is: {}",
        reports[0]
    );
}

#[test]
fn an_answer_that_leaves_before_its_commit_is_caught() {
    is_caught(Bug::EarlyAnswers, "was acknowledged");
}

#[test]
fn a_posting_that_is_applied_twice_is_caught() {
    is_caught(Bug::DoublePosting, "balance");
}

#[test]
fn a_closed_attempt_that_opens_again_is_caught() {
    is_caught(Bug::ReopenedAttempt, "held twice");
}

#[test]
fn a_restart_that_forgets_who_holds_what_is_caught() {
    is_caught(Bug::ForgetfulRestore, "held twice");
}

#[test]
fn a_result_that_settles_twice_is_caught() {
    is_caught(Bug::DoubleSettlement, "settled");
}
