//! The bare equivalents: the same calls of the same sizes through the same libraries, without what
//! makes a broker. No accounts, no matching, no prices, no leases, no events.
//!
//! ```text
//!  submit ──► [core] ──accept, grant──► commit ──► reply, push to the worker that waits longest
//!  result ──► [core] ──result, grant──► commit ──► reply, notice to who watches, next push
//! ```
//!
//! What must be durable is written as the broker writes it: group commits by one writer task, into
//! SQLite with WAL and `synchronous=FULL`. The floor that a broker could reach, not a rival.

mod bodies;
mod core;
mod grpc;
mod json;
mod writer;

use std::{net::SocketAddr, path::Path, sync::Arc};

use tokio::net::TcpListener;

use self::core::Core;

/// How a bare server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mouth {
    /// tonic.
    Grpc,
    /// axum and serde.
    Json,
}

impl Mouth {
    /// The word of the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Json => "json",
        }
    }
}

/// A bare server.
pub struct Bare {
    mouth: Mouth,
    core: Arc<Core>,
    listener: TcpListener,
}

impl Bare {
    /// Makes its store in a directory, and takes a free port of the loopback interface.
    ///
    /// # Errors
    /// The store cannot be made, or no port is free.
    pub async fn open(mouth: Mouth, data: &Path) -> anyhow::Result<Self> {
        let core = Core::start(writer::open(&data.join("bare.sqlite")).await?);
        Ok(Self { mouth, core, listener: TcpListener::bind("127.0.0.1:0").await? })
    }

    /// Where it listens.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves for ever.
    pub async fn serve(self) -> anyhow::Result<()> {
        match self.mouth {
            Mouth::Grpc => grpc::serve(self.core, self.listener).await,
            Mouth::Json => json::serve(self.core, self.listener).await,
        }
    }
}
