//! Workloads over the distributed store: what several brokers, PostgreSQL and Redis do together, and what
//! each job costs there.
//!
//! | workload | one unit | beside |
//! |---|---|---|
//! | `grid-cycle` | the cycle of `grpc-cycle`, clients and workers spread over three brokers | one broker; raw inserts |
//! | `grid-dispatch` | from the start of a submit on one broker until a worker on another has the job | one broker |
//! | `grid-claims` | a job through the broker's Redis work alone | raw commands |
//!
//! Each group of brokers has a database of its own, which is made and removed, and names of its own in
//! Redis. Redis counts commands for all of a server, so nobody else should use it meanwhile. What the
//! brokers do by themselves (beats, looks, upkeep: some dozens of commands per second) is among the counts.

mod claims;
mod nodes;
mod private;
mod raw;
mod servers;
mod sides;

use std::{borrow::Cow, path::PathBuf, time::Duration};

use self::{
    claims::ClaimsAlone,
    nodes::Grid,
    raw::RawRows,
    servers::RowCounts,
    sides::{OnBrokers, Side, in_turn},
};
use super::{
    dispatch::crew as idle_workers,
    load_grpc,
    report::{Budget, Row},
};
use crate::config::SecretUrl;

pub use servers::Servers;

/// Brokers of the larger group.
const NODES: usize = 3;

/// Flags of the workloads over the distributed store.
#[derive(Clone, Debug, clap::Args)]
pub struct GridArgs {
    /// PostgreSQL for the grid workloads, by a user that may create databases. They make some and remove
    /// them; use a server that nobody misses.
    #[arg(long, value_name = "URL", value_parser = url, requires = "redis_url", conflicts_with = "private_servers")]
    pub database_url: Option<SecretUrl>,
    /// Redis for the grid workloads: a single server, redis://HOST:PORT, that nobody else uses.
    #[arg(long, value_name = "URL", value_parser = url, requires = "database_url")]
    pub redis_url: Option<SecretUrl>,
    /// Starts PostgreSQL and Redis for the grid workloads on free ports, with files in --dir that are
    /// removed; initdb and redis-server must be installed.
    #[arg(long)]
    pub private_servers: bool,
}

fn url(text: &str) -> Result<SecretUrl, std::convert::Infallible> {
    Ok(SecretUrl::new(text))
}

/// What is to be run.
pub struct GridPlan {
    /// Length of a window.
    pub span: Duration,
    /// Windows of each side.
    pub windows: usize,
    /// Clients.
    pub clients: usize,
    /// Workers.
    pub workers: usize,
    /// Where brokers have their directories.
    pub dir: PathBuf,
}

/// What a reader of the figures must know.
pub fn note(windows: usize) -> String {
    format!(
        "Grid workloads: {windows} windows of each side. Three brokers share the machine's cores with each other, \
         with the one broker beside them (idle in their windows), PostgreSQL, Redis and the load generator: the \
         ratio shows what being several costs, not what more machines bring. Redis commands are counted for the \
         whole server, calls from scripts and what brokers do by themselves included. Redis work alone runs in \
         this process over a stand-in for PostgreSQL that answers at once, on one connection as a broker's; so do \
         the raw commands (XADD, XREADGROUP, XACK, XDEL). Raw inserts: three rows of the sizes of the broker's \
         for each job, a commit for each batch of as many jobs as there are clients."
    )
}

/// Whole cycles over three brokers, over one, and plain inserts.
///
/// # Errors
/// A server cannot be used, or any call of the load fails.
pub async fn cycle(plan: &GridPlan, servers: &Servers) -> anyhow::Result<Vec<Row>> {
    const WORKLOAD: &str = "grid-cycle";
    let (many, one) = start_both(plan, servers).await?;
    let load = async |grid: &'static str, nodes: &Grid| {
        let crew = load_grpc::crew(&nodes.targets(), plan.clients, plan.workers, load_grpc::Way::Calls).await;
        crew.map_err(|error| error.context(grid))
    };
    let measure = async {
        let crew = load("three brokers", &many).await?;
        let mut of_many = Side::new("three brokers", OnBrokers { crew, brokers: &many.nodes });
        let crew = load("one broker", &one).await?;
        let mut of_one = Side::new("one broker", OnBrokers { crew, brokers: &one.nodes });
        of_one.warm_up(plan.span).await?;
        let sizes = raw::row_sizes(&one.database).await?;
        let scratch = servers.make().await?;
        let mut rows = Side::new("raw inserts", RawRows::open(&scratch, sizes, plan.clients).await?);
        let sides = &mut [&mut of_many, &mut of_one, &mut rows];
        let measured = in_turn(servers, sides, plan.windows, plan.span).await;
        let of_rows = rows.windows;
        servers.remove(scratch).await?;
        measured?;
        let mut table = beside_one(WORKLOAD, CYCLE, &of_many, &of_one);
        table.push(
            Row::new(
                WORKLOAD,
                "load generator CPU per cycle",
                "µs",
                of_many.windows.generator_cpu_micros(),
                of_one.windows.generator_cpu_micros(),
            )
            .beside(ONE),
        );
        if let (Some(many), Some(one)) = (of_many.postgres_micros(), of_one.postgres_micros()) {
            table.push(Row::new(WORKLOAD, "PostgreSQL CPU per job", "µs", many, one).beside(ONE));
        }
        table.extend(costs(WORKLOAD, &of_many, &of_one, ONE));
        let (many, one) = (of_many.windows.rate(), of_one.windows.rate());
        for (name, rate) in [("cycles, three brokers", many), (CYCLES_OF_ONE, one)] {
            table.push(Row::new(WORKLOAD, name, "per s", rate, of_rows.rate()).beside("raw inserts"));
        }
        anyhow::Ok((table, of_many.all_units, of_one.all_units))
    };
    let measured = measure.await;
    let (of_many, of_one) = (many.end(servers).await, one.end(servers).await);
    let (mut table, units_of_many, units_of_one) = measured?;
    table.extend(row_counts(WORKLOAD, (of_many?, units_of_many), (of_one?, units_of_one)));
    Ok(table)
}

/// Dispatch from one broker to another, and within one.
///
/// # Errors
/// As [`cycle`].
pub async fn dispatch(plan: &GridPlan, servers: &Servers) -> anyhow::Result<Vec<Row>> {
    let (many, one) = start_both(plan, servers).await?;
    let measure = async {
        let targets = many.targets();
        let crew = idle_workers(targets[0], &targets[1..], plan.workers).await?;
        let mut across = Side::new("across brokers", OnBrokers { crew, brokers: &many.nodes });
        let targets = one.targets();
        let crew = idle_workers(targets[0], &targets, plan.workers).await?;
        let mut within = Side::new("one broker", OnBrokers { crew, brokers: &one.nodes });
        in_turn(servers, &mut [&mut across, &mut within], plan.windows, plan.span).await?;
        anyhow::Ok(beside_one("grid-dispatch", DISPATCH, &across, &within))
    };
    let measured = measure.await;
    let ended = (many.end(servers).await, one.end(servers).await);
    let table = measured?;
    ended.0.and(ended.1)?;
    Ok(table)
}

/// The broker's Redis work alone, and the raw commands.
///
/// # Errors
/// As [`cycle`].
pub async fn claims(plan: &GridPlan, servers: &Servers) -> anyhow::Result<Vec<Row>> {
    const WORKLOAD: &str = "grid-claims";
    const RAW: &str = "raw commands";
    let prefix = format!("gridbroker_bench_{}_claims:", std::process::id());
    let measure = async {
        let alone = ClaimsAlone::start(servers, &prefix, plan.clients, plan.workers).await?;
        let mut alone = Side::new("claims alone", alone);
        let stream = format!("{prefix}raw");
        let crew = raw::jobs(servers, &stream, claims::entry(), plan.clients, plan.workers).await?;
        let mut raw = Side::new(RAW, OnBrokers { crew, brokers: &[] });
        in_turn(servers, &mut [&mut alone, &mut raw], plan.windows, plan.span).await?;
        let (of_alone, of_raw) = (&alone.windows, &raw.windows);
        let jobs = Row::new(WORKLOAD, REDIS_ALONE, "per s", of_alone.rate(), of_raw.rate());
        let client = (of_alone.generator_cpu_micros(), of_raw.generator_cpu_micros());
        let mut table = vec![
            jobs.beside(RAW).within(Budget::RatioAtLeast(0.3)),
            Row::new(WORKLOAD, "client CPU per job", "µs", client.0, client.1).beside(RAW),
        ];
        table.extend(costs(WORKLOAD, &alone, &raw, RAW));
        anyhow::Ok(table)
    };
    let measured = measure.await;
    servers.forget(&prefix).await?;
    measured
}

const ONE: &str = "one broker";
const CYCLES_OF_ONE: &str = "cycles, one broker";
const REDIS_ALONE: &str = "jobs, Redis work alone";
const CYCLE: [&str; 4] = ["cycles", "brokers' CPU per cycle", "cycle, p50", "cycle, p99"];
const DISPATCH: [&str; 4] =
    ["jobs, one at a time", "brokers' CPU per job", "submit to worker, p50", "submit to worker, p99"];

/// What the whole, PostgreSQL included, comes to beside the raw commands, once both were measured.
pub fn whole_beside_raw(rows: &[Row]) -> Option<Row> {
    let of = |measure: &str| rows.iter().find(|row| row.measure == measure);
    let (whole, raw) = (of(CYCLES_OF_ONE)?, of(REDIS_ALONE)?);
    let row = Row::new(raw.workload, "cycles with PostgreSQL, one", "per s", whole.gridbroker, raw.bare);
    Some(row.beside(raw.beside))
}

async fn start_both(plan: &GridPlan, servers: &Servers) -> anyhow::Result<(Grid, Grid)> {
    let many = Grid::start(servers, NODES, &plan.dir).await?;
    match Grid::start(servers, 1, &plan.dir).await {
        Ok(one) => Ok((many, one)),
        Err(error) => {
            // What went wrong first is what is told.
            let _ = many.end(servers).await;
            Err(error)
        }
    }
}

/// Rate, CPU and latencies of several brokers beside those of one.
fn beside_one(workload: &'static str, names: [&'static str; 4], many: &Side<'_>, one: &Side<'_>) -> Vec<Row> {
    let (many, one) = (&many.windows, &one.windows);
    let figures = [
        ("per s", many.rate(), one.rate()),
        ("µs", many.cpu_micros(), one.cpu_micros()),
        ("ms", many.p50_millis(), one.p50_millis()),
        ("ms", many.p99_millis(), one.p99_millis()),
    ];
    let row = |(name, (unit, many, one))| Row::new(workload, name, unit, many, one).beside(ONE);
    names.into_iter().zip(figures).map(row).collect()
}

/// What a unit of each side costs the servers.
fn costs(workload: &'static str, side: &Side<'_>, other: &Side<'_>, beside: &'static str) -> Vec<Row> {
    let row =
        |name: Cow<'static, str>, unit, one, two| Row::new(workload, name, unit, one, two).beside(beside);
    let (all, scripted) = ("Redis commands per job", "Redis commands, by scripts");
    let mut table = vec![
        row("Redis CPU per job".into(), "µs", side.redis_micros(), other.redis_micros()),
        row(all.into(), "calls", side.all_calls(), other.all_calls()),
        row(scripted.into(), "calls", side.scripted_calls(), other.scripted_calls()),
    ];
    let commands: std::collections::BTreeSet<_> = side.commands().chain(other.commands()).collect();
    table.extend(commands.into_iter().map(|command| {
        let name = format!("Redis {} per job", command.to_uppercase());
        row(name.into(), "calls", side.calls(command), other.calls(command))
    }));
    table
}

/// What a job comes to in PostgreSQL.
fn row_counts(workload: &'static str, many: (RowCounts, u64), one: (RowCounts, u64)) -> Vec<Row> {
    let row = |name: &'static str, unit, of: fn(&RowCounts) -> i64| {
        let per = |(counts, units): (RowCounts, u64)| of(&counts) as f64 / units.max(1) as f64;
        Row::new(workload, name, unit, per(many), per(one)).beside(ONE)
    };
    vec![
        row("PostgreSQL commits per job", "commits", |counts| counts.commits),
        row("PostgreSQL inserts per job", "rows", |counts| counts.inserted),
        row("PostgreSQL updates per job", "rows", |counts| counts.updated),
        row("PostgreSQL deletes per job", "rows", |counts| counts.deleted),
    ]
}
