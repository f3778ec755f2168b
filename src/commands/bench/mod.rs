//! `gridbroker bench`: the load generator behind every figure in the README.
//!
//! Each workload runs against a broker and against a bare equivalent (see `bare/`) in the same run,
//! in alternating windows, so that both see the same machine in the same hour; what counts is the
//! ratio. Servers are child processes, whose CPU and memory are read from `/proc`; the load comes
//! from this process, over loopback, and shares their cores. All loops are bounded in time, and the
//! children end with this process.
//!
//! | workload | one unit |
//! |---|---|
//! | `grpc-cycle` | SubmitText, push down a PopStream, SubmitTextResult, `done` on a Watch |
//! | `twin-cycle` | the same with workers on Work streams, beside workers on PopStreams and calls |
//! | `json-cycle` | submit, held pop, submit of the result, status |
//! | `json-call` | one GET of a check; one POST of a full image request as a dry run |
//! | `dispatch` | from the start of a submit until an idle worker has the job |
//! | `dispatch-idle` | the same with thousands of idle workers, beside a broker with few |
//! | `idle-streams` | a pop stream on which nothing happens |
//! | `queue-length` | a call of the engine with a long queue, beside the same with a short one, see `queue` |
//! | `grid-…` | over PostgreSQL and Redis, see `grid/` |

mod bare;
mod crew;
mod dispatch;
mod grid;
mod grpc;
mod http;
mod load_grpc;
mod load_json;
mod plan;
mod proc;
mod process;
mod queue;
mod report;
mod stats;
mod streams;
mod work;

use std::{
    io::Write,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::Context;

use self::{
    bare::Mouth,
    crew::{Crew, Cycle, Side, alternate},
    grid::{GridArgs, Servers},
    load_grpc::Way,
    plan::{Plan, Workload},
    process::{Scratch, Target},
    report::{Budget, Environment, Report, Row},
    stats::Windows,
};

/// Flags of `bench`.
#[derive(Clone, Debug, clap::Args)]
pub struct BenchArgs {
    /// A short run with small counts, to see that everything works.
    #[arg(long)]
    smoke: bool,
    /// Length of a window, in seconds [default: 5, smoke: 1].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: Option<u64>,
    /// Windows of each side [default: 5, grid workloads: 3, smoke: 1].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100))]
    windows: Option<u64>,
    /// Clients that submit at a time [default: 64, smoke: 16].
    #[arg(long, value_name = "C", value_parser = clap::value_parser!(u64).range(1..=4096))]
    clients: Option<u64>,
    /// Workers that take jobs [default: 16, smoke: 4].
    #[arg(long, value_name = "W", value_parser = clap::value_parser!(u64).range(1..=4096))]
    workers: Option<u64>,
    /// Idle pop streams [default: 10000, smoke: 200].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    streams: Option<u64>,
    /// Only this workload; may be given several times.
    #[arg(long, value_name = "NAME")]
    only: Vec<Workload>,
    /// Writes the figures as JSON into a file; `-`: to the standard output, and the table to the standard error.
    #[arg(long, value_name = "FILE|-")]
    json: Option<PathBuf>,
    /// Where the servers' stores are made [default: the directory for temporary files].
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    #[command(flatten)]
    grid: GridArgs,
    /// Runs the bare server in the broker's place too: shows how far two runs of the same differ.
    #[arg(long, hide = true)]
    control: bool,
    /// Runs a bare server, as `bench` starts it.
    #[arg(long, hide = true)]
    bare: Option<Mouth>,
}

/// Runs the workloads and reports.
///
/// # Errors
/// A server cannot be started, or any call of the load fails.
pub async fn run(args: BenchArgs) -> anyhow::Result<()> {
    let mut plan = Plan::new(&args);
    if let Some(mouth) = args.bare {
        let bare = bare::Bare::open(mouth, &plan.dir).await?;
        println!("bare {} listens on http://{}", mouth.word(), bare.address()?);
        return bare.serve().await;
    }
    plan.fit_open_files().await;
    let sync_micros = sync_micros(&plan.dir)?;
    let servers = match plan.workloads.iter().any(|workload| workload.is_of_grid()) {
        true => Servers::of(&args.grid, &plan.dir).await?,
        false => None,
    };
    plan.fit_servers(&args, servers.as_ref())?;
    let measured = measure(&plan, servers.as_ref()).await;
    if let Some(servers) = servers {
        servers.stop().await;
    }
    let rows = measured?;
    let report = Report { environment: environment(&plan, sync_micros), rows, notes: notes(&plan) };
    publish(&report, args.json.as_deref())
}

async fn measure(plan: &Plan, servers: Option<&Servers>) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for workload in &plan.workloads {
        eprintln!("measuring {workload:?} …");
        let servers = || servers.context("there are no servers for it");
        let measured = match workload {
            Workload::GrpcCycle => grpc_cycle(plan).await,
            Workload::TwinCycle => twin_cycle(plan).await,
            Workload::JsonCycle => json_cycle(plan).await,
            Workload::JsonCall => json_call(plan).await,
            Workload::Dispatch => dispatch(plan).await,
            Workload::DispatchIdle => dispatch_idle(plan).await,
            Workload::IdleStreams => idle_streams(plan).await,
            Workload::QueueLength => queue::measure(plan.queue).await,
            Workload::GridCycle => grid::cycle(&plan.grid(), servers()?).await,
            Workload::GridDispatch => grid::dispatch(&plan.grid(), servers()?).await,
            Workload::GridClaims => grid::claims(&plan.grid(), servers()?).await,
        };
        rows.extend(measured.with_context(|| format!("{workload:?}"))?);
    }
    rows.extend(grid::whole_beside_raw(&rows));
    Ok(rows)
}

fn publish(report: &Report, json: Option<&Path>) -> anyhow::Result<()> {
    match json {
        Some(path) if path == Path::new("-") => {
            eprint!("{}", report.table());
            println!("{}", report.json()?);
        }
        Some(path) => {
            print!("{}", report.table());
            std::fs::write(path, report.json()?)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        None => print!("{}", report.table()),
    }
    Ok(())
}

fn environment(plan: &Plan, sync_micros: f64) -> Environment {
    Environment {
        version: env!("CARGO_PKG_VERSION"),
        build: if cfg!(debug_assertions) { "debug" } else { "release" },
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        processor: proc::processor(),
        kernel: proc::kernel(),
        sync_micros,
        window_seconds: plan.span.as_secs_f64(),
        windows: plan.windows,
        clients: plan.clients,
        workers: plan.workers,
        streams: plan.streams,
        idle_seconds: plan.idle.as_secs_f64(),
    }
}

fn notes(plan: &Plan) -> Vec<String> {
    let mut notes = plan.notes.clone();
    notes.push(
        "The load generator runs in one process on the same cores as the servers; rates are theirs together, CPU \
         and memory are the servers' own. The bare servers share messages, libraries and commits with the broker, \
         and have no accounts, matching, prices, leases or event logs."
            .into(),
    );
    if cfg!(debug_assertions) {
        notes.push("This is a debug build: its figures mean nothing.".into());
    }
    notes
}

/// Median of some small writes with fdatasync: what every commit here has to wait for.
fn sync_micros(dir: &Path) -> anyhow::Result<f64> {
    let scratch = Scratch::make(dir)?;
    let mut file = std::fs::File::create(scratch.0.join("probe"))?;
    let mut spans = Vec::new();
    for _ in 0..30 {
        let started = Instant::now();
        file.write_all(&[7; 4096])?;
        file.sync_data()?;
        spans.push(started.elapsed().as_secs_f64() * 1e6);
    }
    Ok(stats::median(spans))
}

/// Runs the same crew against a broker and a bare server.
async fn side_by_side<C: Cycle>(
    plan: &Plan,
    mouth: Mouth,
    crew: impl AsyncFn(&Target) -> anyhow::Result<Crew<C>>,
) -> anyhow::Result<(Windows, Windows)> {
    let (broker, bare) = (plan.broker(mouth).await?, plan.bare(mouth).await?);
    let of_broker = Side { server: &broker, crew: crew(&broker.target).await.context("gridbroker")? };
    let of_bare = Side { server: &bare, crew: crew(&bare.target).await.context("the bare server")? };
    let windows = alternate(of_broker, of_bare, plan.windows, plan.span).await?;
    broker.stop().await;
    bare.stop().await;
    Ok(windows)
}

/// The rows that every workload of windows has: rate, CPU and latencies.
fn common_rows(
    workload: &'static str,
    [rate, cpu, p50, p99]: [&'static str; 4],
    (broker, bare): &(Windows, Windows),
) -> Vec<Row> {
    vec![
        Row::new(workload, rate, "per s", broker.rate(), bare.rate()),
        Row::new(workload, cpu, "µs", broker.cpu_micros(), bare.cpu_micros()),
        Row::new(workload, p50, "ms", broker.p50_millis(), bare.p50_millis()),
        Row::new(workload, p99, "ms", broker.p99_millis(), bare.p99_millis()),
    ]
}

async fn grpc_cycle(plan: &Plan) -> anyhow::Result<Vec<Row>> {
    let crew =
        async |target: &Target| load_grpc::crew(&[target], plan.clients, plan.workers, Way::Calls).await;
    let windows = side_by_side(plan, Mouth::Grpc, crew).await?;
    let mut rows = common_rows("grpc-cycle", CYCLE, &windows);
    rows[0] = rows[0].clone().within(Budget::RatioAtLeast(0.6));
    rows.push(generator_row("grpc-cycle", &windows));
    Ok(rows)
}

/// Two brokers, with workers that come in either way.
async fn twin_cycle(plan: &Plan) -> anyhow::Result<Vec<Row>> {
    let (one, other) = (plan.broker(Mouth::Grpc).await?, plan.broker(Mouth::Grpc).await?);
    let crew = async |target: &Target, way| {
        load_grpc::crew(&[target], plan.clients, plan.workers, way).await.with_context(|| format!("{way:?}"))
    };
    let twin = Side { server: &one, crew: crew(&one.target, Way::Twin).await? };
    let calls = Side { server: &other, crew: crew(&other.target, Way::Calls).await? };
    let windows = alternate(twin, calls, plan.windows, plan.span).await?;
    one.stop().await;
    other.stop().await;
    let mut rows = common_rows("twin-cycle", CYCLE, &windows);
    rows.push(generator_row("twin-cycle", &windows));
    Ok(rows.into_iter().map(|row| row.beside("PopStream and calls")).collect())
}

async fn json_cycle(plan: &Plan) -> anyhow::Result<Vec<Row>> {
    let crew = async |target: &Target| load_json::crew(target, plan.clients, plan.workers).await;
    let windows = side_by_side(plan, Mouth::Json, crew).await?;
    let mut rows = common_rows("json-cycle", CYCLE, &windows);
    rows.push(generator_row("json-cycle", &windows));
    Ok(rows)
}

const CYCLE: [&str; 4] = ["cycles", "server CPU per cycle", "cycle, p50", "cycle, p99"];

fn generator_row(workload: &'static str, (broker, bare): &(Windows, Windows)) -> Row {
    let (broker, bare) = (broker.generator_cpu_micros(), bare.generator_cpu_micros());
    Row::new(workload, "load generator CPU per cycle", "µs", broker, bare)
}

async fn json_call(plan: &Plan) -> anyhow::Result<Vec<Row>> {
    let checkers = async |target: &Target| load_json::checkers(target, plan.clients).await;
    let windows = side_by_side(plan, Mouth::Json, checkers).await?;
    let names = ["GET check, calls", "GET check, server CPU", "GET check, p50", "GET check, p99"];
    let mut rows = common_rows("json-call", names, &windows);
    let dry_runners = async |target: &Target| load_json::dry_runners(target, plan.clients).await;
    let windows = side_by_side(plan, Mouth::Json, dry_runners).await?;
    let names = ["POST dry run, calls", "POST dry run, server CPU", "POST dry run, p50", "POST dry run, p99"];
    rows.extend(common_rows("json-call", names, &windows));
    for cpu in [1, 5] {
        rows[cpu] = rows[cpu].clone().within(Budget::RatioAtMost(1.4));
    }
    Ok(rows)
}

const DISPATCH: [&str; 4] =
    ["jobs, one at a time", "server CPU per job", "submit to worker, p50", "submit to worker, p99"];

async fn dispatch(plan: &Plan) -> anyhow::Result<Vec<Row>> {
    let crew = async |target: &Target| dispatch::crew(target, &[target], plan.workers).await;
    let windows = side_by_side(plan, Mouth::Grpc, crew).await?;
    let mut rows = common_rows("dispatch", DISPATCH, &windows);
    for latency in [2, 3] {
        rows[latency] = rows[latency].clone().within(Budget::RatioAtMost(1.5));
    }
    Ok(rows)
}

/// Two brokers, of which one has very many workers that wait: on connections that they share, and on their own.
async fn dispatch_idle(plan: &Plan) -> anyhow::Result<Vec<Row>> {
    const OWN: [&str; 4] = [
        "jobs, own connections",
        "server CPU per job, own",
        "submit to worker, p50, own",
        "submit to worker, p99, own",
    ];
    let mut rows = Vec::new();
    for (per_connection, names) in [(streams::PER_CONNECTION, DISPATCH), (1, OWN)] {
        let (crowded, calm) = (plan.broker(Mouth::Grpc).await?, plan.broker(Mouth::Grpc).await?);
        let crowd = async |target, workers| dispatch::crowd(target, workers, per_connection).await;
        let many = crowd(&crowded.target, plan.streams).await.context("many workers")?;
        let few = crowd(&calm.target, plan.workers).await.context("few workers")?;
        let (many, few) = (Side { server: &crowded, crew: many }, Side { server: &calm, crew: few });
        let windows = alternate(many, few, plan.windows, plan.span).await?;
        crowded.stop().await;
        calm.stop().await;
        rows.extend(common_rows("dispatch-idle", names, &windows));
    }
    Ok(rows.into_iter().map(|row| row.beside("few workers")).collect())
}

async fn idle_streams(plan: &Plan) -> anyhow::Result<Vec<Row>> {
    const WORKLOAD: &str = "idle-streams";
    let mut rows = Vec::new();
    for own in [false, true] {
        let broker = plan.broker(Mouth::Grpc).await?;
        let of_broker =
            streams::measure(&broker, plan.streams, own, plan.idle).await.context("gridbroker")?;
        broker.stop().await;
        let bare = plan.bare(Mouth::Grpc).await?;
        let of_bare =
            streams::measure(&bare, plan.streams, own, plan.idle).await.context("the bare server")?;
        bare.stop().await;
        let (memory, cpu, most) = match own {
            false => ("memory, shared connection", "CPU of 10,000, shared", 12.0),
            true => ("memory, own connection", "CPU of 10,000, own", 34.0),
        };
        let (kib, bare_kib) = (of_broker.kib_per_stream, of_bare.kib_per_stream);
        rows.push(Row::new(WORKLOAD, memory, "KiB/stream", kib, bare_kib).within(Budget::FigureAtMost(most)));
        // What a run with fewer streams shows is scaled up to the number that the budget is about.
        let scale = 10_000.0 / plan.streams as f64;
        let (percent, bare_percent) = (of_broker.cpu_percent * scale, of_bare.cpu_percent * scale);
        rows.push(
            Row::new(WORKLOAD, cpu, "% of core", percent, bare_percent).within(Budget::FigureAtMost(3.0)),
        );
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Runs a crew for a moment against a bare server in this process.
    async fn finished<C: Cycle>(mouth: Mouth, crew: impl AsyncFn(&Target) -> anyhow::Result<Crew<C>>) -> u64 {
        let scratch = Scratch::make(&std::env::temp_dir()).unwrap();
        let bare = bare::Bare::open(mouth, &scratch.0).await.unwrap();
        let target = Target { address: bare.address().unwrap().to_string(), key: "bare".into() };
        let serving = tokio::spawn(bare.serve());
        let tally = crew(&target).await.unwrap().run(Duration::from_millis(100)).await.unwrap();
        serving.abort();
        assert_eq!(tally.latencies.len() as u64, tally.units);
        tally.units
    }

    #[tokio::test]
    async fn every_crew_is_served_by_its_bare_equivalent() {
        let clients = 6;
        let grpc =
            finished(Mouth::Grpc, async |target| load_grpc::crew(&[target], clients, 2, Way::Calls).await)
                .await;
        assert!(grpc >= clients as u64, "each client finishes what it began: {grpc}");
        let json = finished(Mouth::Json, async |target| load_json::crew(target, clients, 2).await).await;
        assert!(json >= clients as u64, "{json}");
        let checks = finished(Mouth::Json, async |target| load_json::checkers(target, clients).await).await;
        assert!(checks >= clients as u64, "{checks}");
        let dry = finished(Mouth::Json, async |target| load_json::dry_runners(target, clients).await).await;
        assert!(dry >= clients as u64, "{dry}");
        let crowd = finished(Mouth::Grpc, async |target| dispatch::crowd(target, 9, 1).await).await;
        assert!(crowd >= 1);
        let pushed = finished(Mouth::Grpc, async |target| dispatch::crew(target, &[target], 3).await).await;
        assert!(pushed >= 1);
    }
}
