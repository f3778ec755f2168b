//! Two or more sides over the same servers, in turn, with what each costs the servers.

use std::time::{Duration, Instant};

use anyhow::Context;
use async_trait::async_trait;

use super::{
    super::{
        crew::{Crew, Cycle},
        proc,
        process::Server,
        stats::{Tally, Window, Windows},
    },
    servers::{Reading, Servers},
};

/// Something that keeps servers busy.
#[async_trait]
pub trait Load: Send {
    /// Does so for a time; all that was begun is finished when it returns.
    async fn run(&mut self, span: Duration) -> anyhow::Result<Tally>;

    /// CPU time of the brokers that it loads.
    fn broker_cpu(&self) -> anyhow::Result<Duration> {
        Ok(Duration::ZERO)
    }
}

/// A crew whose brokers are child processes.
pub struct OnBrokers<'a, C> {
    /// Who loads them.
    pub crew: Crew<C>,
    /// The brokers.
    pub brokers: &'a [Server],
}

#[async_trait]
impl<C: Cycle> Load for OnBrokers<'_, C> {
    async fn run(&mut self, span: Duration) -> anyhow::Result<Tally> {
        self.crew.run(span).await
    }

    fn broker_cpu(&self) -> anyhow::Result<Duration> {
        self.brokers.iter().map(Server::cpu_time).sum()
    }
}

/// A load, and what it has come to.
pub struct Side<'a> {
    /// What it is called.
    pub name: &'static str,
    load: Box<dyn Load + 'a>,
    /// Its windows.
    pub windows: Windows,
    /// Units in them.
    units: u64,
    /// What they cost the servers.
    spent: Reading,
    /// Units of the time before the windows as well.
    pub all_units: u64,
}

impl<'a> Side<'a> {
    /// One that has not run yet.
    pub fn new(name: &'static str, load: impl Load + 'a) -> Self {
        let (windows, spent) = (Windows::default(), Reading::default());
        Self { name, load: Box::new(load), windows, units: 0, spent, all_units: 0 }
    }

    /// Runs for a moment that does not count.
    pub async fn warm_up(&mut self, span: Duration) -> anyhow::Result<()> {
        let warm_up = span.min(Duration::from_secs(2)) / 2;
        let tally = self.load.run(warm_up).await.with_context(|| format!("{}, warming up", self.name))?;
        self.all_units += tally.units;
        Ok(())
    }

    async fn window(&mut self, servers: &Servers, span: Duration) -> anyhow::Result<()> {
        let own = std::process::id();
        let before = servers.reading().await?;
        let (started, cpu, own_cpu) = (Instant::now(), self.load.broker_cpu()?, proc::cpu_time(own)?);
        let tally = self.load.run(span).await.with_context(|| self.name)?;
        let elapsed = started.elapsed();
        let (cpu, own_cpu) = (self.load.broker_cpu()? - cpu, proc::cpu_time(own)? - own_cpu);
        let spent = servers.reading().await?.since(&before);
        self.spent = std::mem::take(&mut self.spent).plus(spent);
        self.units += tally.units;
        self.all_units += tally.units;
        self.windows.0.push(Window::new(tally, elapsed, cpu, own_cpu));
        Ok(())
    }

    /// Of something that was counted in all windows, what comes to one unit.
    fn per_unit(&self, count: f64) -> f64 {
        count / self.units.max(1) as f64
    }

    /// Calls of one Redis command per unit.
    pub fn calls(&self, command: &str) -> f64 {
        self.per_unit(self.spent.calls.get(command).copied().unwrap_or(0) as f64)
    }

    /// Redis commands of which there is more than one call in twenty units.
    pub fn commands(&self) -> impl Iterator<Item = &str> {
        let commands = self.spent.calls.keys().map(String::as_str);
        commands.filter(|command| self.calls(command) >= 0.05)
    }

    /// Calls of all Redis commands per unit.
    pub fn all_calls(&self) -> f64 {
        self.per_unit(self.spent.all_calls() as f64)
    }

    /// Those of them that scripts gave, per unit.
    pub fn scripted_calls(&self) -> f64 {
        self.per_unit(self.spent.scripted_calls() as f64)
    }

    /// CPU time of Redis per unit, in microseconds.
    pub fn redis_micros(&self) -> f64 {
        self.per_unit(self.spent.redis_cpu.as_secs_f64() * 1e6)
    }

    /// CPU time of PostgreSQL per unit, in microseconds; `None`: it runs elsewhere.
    pub fn postgres_micros(&self) -> Option<f64> {
        self.spent.postgres_cpu.map(|cpu| self.per_unit(cpu.as_secs_f64() * 1e6))
    }
}

/// Runs windows of all sides in turn, after a moment of each that does not count, unless it has had it.
///
/// # Errors
/// As the loads', or the servers can no longer be read.
pub async fn in_turn(
    servers: &Servers,
    sides: &mut [&mut Side<'_>],
    windows: usize,
    span: Duration,
) -> anyhow::Result<()> {
    for side in &mut *sides {
        if side.all_units == 0 {
            side.warm_up(span).await?;
        }
    }
    for _ in 0..windows {
        for side in &mut *sides {
            side.window(servers, span).await?;
        }
    }
    Ok(())
}
