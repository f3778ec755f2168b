//! Closed loops: each member begins its next cycle when the last one is finished.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow, bail};
use tokio::task::JoinSet;

use super::{
    proc,
    process::Server,
    stats::{Tally, Window, Windows},
};

/// After so long a cycle counts as failed, and the run ends with it.
const PATIENCE: Duration = Duration::from_secs(20);

/// What one member does again and again.
pub trait Cycle: Send + 'static {
    /// Does it once; returns what is to be counted as its latency.
    fn cycle(&mut self) -> impl Future<Output = anyhow::Result<Duration>> + Send;

    /// What the last cycle was waiting for, should it hang.
    fn waits_for(&self) -> String;
}

/// Members that run cycles against one server, and workers that serve them in the background.
pub struct Crew<C> {
    members: Vec<C>,
    workers: JoinSet<anyhow::Result<()>>,
}

impl<C: Cycle> Crew<C> {
    /// Brings members and running workers together.
    pub fn new(members: Vec<C>, workers: JoinSet<anyhow::Result<()>>) -> Self {
        Self { members, workers }
    }

    /// Runs cycles for a time. Every cycle that was begun is finished.
    ///
    /// # Errors
    /// Of the first cycle that fails, or of a worker: figures of a run with failures mean nothing.
    pub async fn run(&mut self, span: Duration) -> anyhow::Result<Tally> {
        let end = Instant::now() + span;
        let mut running = JoinSet::new();
        for mut member in self.members.drain(..) {
            running.spawn(async move {
                let mut latencies = Vec::new();
                while Instant::now() < end {
                    let cycle = tokio::time::timeout(PATIENCE, member.cycle()).await;
                    let hangs = || format!("a cycle hangs; it waits for {}", member.waits_for());
                    latencies.push(cycle.with_context(hangs)??);
                }
                anyhow::Ok((member, latencies))
            });
        }
        let mut tally = Tally::default();
        loop {
            tokio::select! {
                biased;
                Some(ended) = self.workers.join_next() => {
                    let why = ended?.err().unwrap_or_else(|| anyhow!("its stream was closed"));
                    return Err(why.context("a worker ended"));
                }
                ended = running.join_next() => {
                    let Some(ended) = ended else { break };
                    let (member, latencies) = ended??;
                    tally.units += latencies.len() as u64;
                    tally.latencies.extend(latencies);
                    self.members.push(member);
                }
            }
        }
        if tally.units == 0 {
            bail!("no cycle was finished");
        }
        Ok(tally)
    }

    /// Runs a window, and reads what it cost.
    async fn window(&mut self, server: &Server, span: Duration) -> anyhow::Result<Window> {
        let own = std::process::id();
        let (started, cpu, own_cpu) = (Instant::now(), server.cpu_time()?, proc::cpu_time(own)?);
        let tally = self.run(span).await?;
        let elapsed = started.elapsed();
        let (cpu, own_cpu) = (server.cpu_time()? - cpu, proc::cpu_time(own)? - own_cpu);
        Ok(Window::new(tally, elapsed, cpu, own_cpu))
    }
}

/// A crew with the server that it loads.
pub struct Side<'a, C> {
    /// The server.
    pub server: &'a Server,
    /// Who loads it.
    pub crew: Crew<C>,
}

/// Runs windows of two sides in turn, after one of each that does not count.
///
/// # Errors
/// As [`Crew::run`].
pub async fn alternate<C: Cycle>(
    mut broker: Side<'_, C>,
    mut bare: Side<'_, C>,
    windows: usize,
    span: Duration,
) -> anyhow::Result<(Windows, Windows)> {
    let warm_up = span.min(Duration::from_secs(2)) / 2;
    broker.crew.run(warm_up).await.context("gridbroker, warming up")?;
    bare.crew.run(warm_up).await.context("the bare server, warming up")?;
    let mut sides = (Windows::default(), Windows::default());
    for _ in 0..windows {
        sides.0.0.push(broker.crew.window(broker.server, span).await.context("gridbroker")?);
        sides.1.0.push(bare.crew.window(bare.server, span).await.context("the bare server")?);
    }
    Ok(sides)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts to three, then fails.
    struct Tired(u32);

    impl Cycle for Tired {
        async fn cycle(&mut self) -> anyhow::Result<Duration> {
            self.0 += 1;
            if self.0 > 3 {
                bail!("tired");
            }
            Ok(Duration::from_millis(5))
        }

        fn waits_for(&self) -> String {
            "rest".into()
        }
    }

    /// Waits for ever.
    struct Patient;

    impl Cycle for Patient {
        async fn cycle(&mut self) -> anyhow::Result<Duration> {
            std::future::pending().await
        }

        fn waits_for(&self) -> String {
            "ever".into()
        }
    }

    #[tokio::test]
    async fn one_failed_cycle_fails_the_run() {
        let mut crew = Crew::new(vec![Tired(0)], JoinSet::new());
        let error = crew.run(Duration::from_secs(60)).await.unwrap_err();
        assert_eq!(error.to_string(), "tired");
    }

    #[tokio::test]
    async fn run_ends_with_the_first_worker_that_ends() {
        let mut workers = JoinSet::new();
        workers.spawn(async { bail!("refused") });
        let mut crew = Crew::new(vec![Patient], workers);
        let error = crew.run(Duration::from_secs(60)).await.unwrap_err();
        assert_eq!(format!("{error:#}"), "a worker ended: refused");
    }
}
