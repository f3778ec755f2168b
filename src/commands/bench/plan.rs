//! What is to be run, by the flags.

use std::{path::PathBuf, time::Duration};

use super::{
    BenchArgs,
    bare::Mouth,
    grid::{self, GridPlan, Servers},
    process::{self, Server},
    queue::{self, QueuePlan},
};

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Workload {
    GrpcCycle,
    TwinCycle,
    JsonCycle,
    JsonCall,
    Dispatch,
    DispatchIdle,
    IdleStreams,
    QueueLength,
    GridCycle,
    GridDispatch,
    GridClaims,
}

impl Workload {
    /// All, in the order of a run.
    pub const ALL: [Self; 11] = [
        Self::GrpcCycle,
        Self::TwinCycle,
        Self::JsonCycle,
        Self::JsonCall,
        Self::Dispatch,
        Self::DispatchIdle,
        Self::IdleStreams,
        Self::QueueLength,
        Self::GridCycle,
        Self::GridDispatch,
        Self::GridClaims,
    ];

    /// Whether it runs over the distributed store.
    pub fn is_of_grid(self) -> bool {
        matches!(self, Self::GridCycle | Self::GridDispatch | Self::GridClaims)
    }
}

/// What is to be run.
pub struct Plan {
    /// Length of a window.
    pub span: Duration,
    /// Windows of each side.
    pub windows: usize,
    /// The same of the grid workloads.
    pub grid_windows: usize,
    /// Clients.
    pub clients: usize,
    /// Workers.
    pub workers: usize,
    /// Idle streams.
    pub streams: usize,
    /// How long they idle.
    pub idle: Duration,
    /// What the workload of queues needs.
    pub queue: QueuePlan,
    /// What is measured.
    pub workloads: Vec<Workload>,
    /// Where stores are made.
    pub dir: PathBuf,
    /// Whether the bare server runs in the broker's place too.
    pub is_control: bool,
    /// What a reader of the figures must know.
    pub notes: Vec<String>,
}

impl Plan {
    /// Reads it from flags.
    pub fn new(args: &BenchArgs) -> Self {
        let pick = |given: Option<u64>, full: u64, smoke: u64| {
            given.unwrap_or(if args.smoke { smoke } else { full }) as usize
        };
        let workloads =
            Workload::ALL.into_iter().filter(|one| args.only.is_empty() || args.only.contains(one));
        let queue = match args.smoke {
            true => QueuePlan { many: 2_000, few: 200, models: 20, workers: 100, calls: 50, rounds: 1 },
            false => {
                QueuePlan { many: 100_000, few: 1_000, models: 300, workers: 10_000, calls: 1_000, rounds: 5 }
            }
        };
        Self {
            span: Duration::from_secs(pick(args.seconds, 5, 1) as u64),
            windows: pick(args.windows, 5, 1),
            grid_windows: pick(args.windows, 3, 1),
            clients: pick(args.clients, 64, 16),
            workers: pick(args.workers, 16, 4),
            streams: pick(args.streams, 10_000, 200),
            idle: Duration::from_millis(if args.smoke { 500 } else { 30_000 }),
            notes: if workloads.clone().any(|one| one == Workload::QueueLength) {
                vec![queue::note(&queue)]
            } else {
                Vec::new()
            },
            workloads: workloads.collect(),
            dir: args.dir.clone().unwrap_or_else(std::env::temp_dir),
            is_control: args.control,
            queue,
        }
    }

    /// Leaves out what needs servers that are not there.
    pub fn fit_servers(&mut self, args: &BenchArgs, servers: Option<&Servers>) -> anyhow::Result<()> {
        const HOW: &str =
            "give --private-servers, or --database-url and --redis-url of servers that nobody misses";
        if servers.is_some() {
            if self.workloads.iter().any(|workload| workload.is_of_grid()) {
                self.notes.push(grid::note(self.grid_windows));
            }
            return Ok(());
        }
        if args.only.iter().any(|workload| workload.is_of_grid()) {
            anyhow::bail!("the grid workloads need PostgreSQL and Redis: {HOW}");
        }
        self.workloads.retain(|workload| !workload.is_of_grid());
        if args.only.is_empty() {
            self.notes
                .push(format!("Without grid-cycle, grid-dispatch and grid-claims; to have them, {HOW}."));
        }
        Ok(())
    }

    /// What the grid workloads need of it.
    pub fn grid(&self) -> GridPlan {
        GridPlan {
            span: self.span,
            windows: self.grid_windows,
            clients: self.clients,
            workers: self.workers,
            dir: self.dir.clone(),
        }
    }

    /// Starts what is to be measured.
    pub async fn broker(&self, mouth: Mouth) -> anyhow::Result<Server> {
        match self.is_control {
            true => self.bare(mouth).await,
            false => Server::broker(&self.dir).await,
        }
    }

    /// Starts its bare equivalent.
    pub async fn bare(&self, mouth: Mouth) -> anyhow::Result<Server> {
        Server::bare(mouth, &self.dir).await
    }

    /// Fewer streams where fewer files may be open: each side of a connection is one.
    pub async fn fit_open_files(&mut self) {
        const RESERVE: u64 = 200;
        let limit = process::raise_open_files_limit().await;
        let room = limit.saturating_sub(RESERVE).max(1) as usize;
        if room < self.streams {
            self.notes.push(format!(
                "{room} idle streams instead of {}: no more files may be open ({limit}).",
                self.streams
            ));
            self.streams = room;
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        bench: BenchArgs,
    }

    fn plan(args: &[&str]) -> Plan {
        Plan::new(&Cli::try_parse_from(["bench"].iter().chain(args)).unwrap().bench)
    }

    #[test]
    fn smoke_is_small_and_flags_still_count() {
        let smoke = plan(&["--smoke", "--clients", "3"]);
        assert_eq!((smoke.windows, smoke.clients, smoke.streams), (1, 3, 200));
        let full = plan(&[]);
        assert_eq!((full.windows, full.clients, full.streams), (5, 64, 10_000));
        assert_eq!(full.workloads, Workload::ALL);
    }

    #[test]
    fn only_names_the_workloads_to_run() {
        let some = plan(&["--only", "dispatch", "--only", "json-call"]);
        assert_eq!(some.workloads, [Workload::JsonCall, Workload::Dispatch]);
        assert!(Cli::try_parse_from(["bench", "--only", "nothing"]).is_err());
    }
}
