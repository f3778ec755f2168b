//! `gridbroker serve`: the broker.

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::BrokerArgs;
use crate::{
    config::{Config, Problems},
    server::Server,
    telemetry,
};

/// Settings of the broker.
#[derive(Args)]
pub struct ServeArgs {
    #[command(flatten)]
    settings: BrokerArgs,
}

impl ServeArgs {
    /// Reads all sources of settings.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub fn load(&self) -> Result<Config, Problems> {
        self.settings.load()
    }
}

/// Serves until the process is told to stop, drains, and returns.
///
/// # Errors
/// The broker cannot start, or its store failed for good.
pub async fn run(config: Config) -> anyhow::Result<()> {
    telemetry::start(&config.logs);
    // Before the start, so that a signal during it is not lost.
    let mut stop = StopSignals::new()?;
    let server = Server::start(config.clone()).await?;
    greet(&config, &server)?;
    let stopped = async move {
        stop.next().await;
        tracing::info!("stopping: open calls have {} s to end", config.server.drain_seconds);
        tokio::spawn(async move {
            stop.next().await;
            eprintln!("gridbroker: stopped at once, by a second signal");
            std::process::exit(1);
        });
    };
    server.wait(stopped).await
}

/// Prints where the broker is reached. Scripts read the first line.
fn greet(config: &Config, server: &Server) -> anyhow::Result<()> {
    let url = server.url();
    let mut lines = format!(
        "gridbroker listens on {url}\n  \
           gRPC    {url}\n  \
           JSON    {url}/api/v2\n  \
           console {url}/\n  \
           health  {url}/health\n  \
           data    {}",
        config.store.data.display()
    );
    if !server.is_ready() {
        lines.push_str("\n  store   is not there yet; calls are answered with 503 until it is");
    }
    let links = config.public_url(server.address());
    if links != url {
        lines.push_str(&format!("\n  links   {links}"));
    }
    super::say(&lines)
}

/// SIGTERM and SIGINT.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
