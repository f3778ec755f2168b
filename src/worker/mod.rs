//! A worker: takes jobs from a broker, runs them and hands in what came out.
//!
//! It talks to the broker as any other worker would, over the public gRPC API, and knows nothing of
//! the broker's inside. One stream a worker name (`stream`), one task a job (`job`), one report
//! stream for all of them (`reports`). What makes texts and images is a [`Model`]; the one that
//! ships is the [`mock`].
//!
//! Cuts are expected: a stream that breaks is opened again and presents the jobs still held, reports
//! are said again from where the broker may have lost them, results are handed in until the broker
//! has settled them or says that it will not.

mod backoff;
mod connection;
mod job;
pub mod mock;
mod model;
mod refusal;
mod reports;
mod stream;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use backoff::Backoff;
pub use connection::{ApiKey, Connection, KeyedChannel};
pub use model::{Form, FormTask, Image, ImageTask, Model, Progress, Text, TextTask, Video};
pub use refusal::{asked_wait, explain, may_pass, reason};

/// What a worker offers under one name, and what does the work.
#[derive(Clone)]
pub struct Offer {
    /// Name of the worker, unique over all workers of a broker.
    pub name: String,
    /// Names of the models it serves.
    pub models: Vec<String>,
    /// Jobs it runs at a time.
    pub slots: u32,
    /// The kind of its jobs, and how large they may be.
    pub skills: Skills,
    /// What does the work.
    pub model: Arc<dyn Model>,
}

/// The kind of a worker's jobs, and how large they may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Skills {
    /// It writes.
    Text {
        /// Tokens it generates at most.
        max_length: i32,
        /// Tokens of context it takes at most.
        max_context_length: i32,
    },
    /// It draws.
    Image {
        /// Largest image, in pixels.
        max_pixels: i64,
    },
    /// It makes videos.
    Video {
        /// Largest frame, in pixels.
        max_pixels: i64,
    },
    /// It does forms of alchemy; the offer's models are their names.
    Alchemy {
        /// Largest image, in tiles of 512 × 512 pixels.
        max_tiles: i32,
    },
}

/// What [`run`] needs to know.
#[derive(Clone)]
pub struct WorkerOptions {
    /// The broker's URL.
    pub server: String,
    /// Key of the account that owns the workers.
    pub api_key: String,
    /// The workers; each holds a stream of its own.
    pub offers: Vec<Offer>,
    /// How long jobs that are held may go on once the worker is told to stop.
    pub finish_within: Duration,
}

impl WorkerOptions {
    /// Options with the usual time to finish, half a minute.
    pub fn new(server: impl Into<String>, api_key: impl Into<String>, offers: Vec<Offer>) -> Self {
        Self {
            server: server.into(),
            api_key: api_key.into(),
            offers,
            finish_within: Duration::from_secs(30),
        }
    }
}

/// Works until told to stop; then finishes the jobs it holds, within the time allowed.
///
/// A broker that cannot be reached is waited for.
///
/// # Errors
/// A server URL or key that cannot be one, and refusals that trying again would not change, such as a
/// wrong key or a name that belongs to somebody else.
pub async fn run(options: WorkerOptions, stop: CancellationToken) -> anyhow::Result<()> {
    let connection = Connection::new(&options.server, &options.api_key)?;
    // Stops the other streams when one is refused for good.
    let stop = stop.child_token();
    let mut streams = JoinSet::new();
    for offer in options.offers {
        streams.spawn(stream::serve(offer, connection.clone(), stop.clone()));
    }
    let all = async {
        let mut outcome = Ok(());
        while let Some(ended) = streams.join_next().await {
            if let Err(error) = ended.map_err(anyhow::Error::from).and_then(|ended| ended) {
                stop.cancel();
                outcome = outcome.and(Err(error));
            }
        }
        outcome
    };
    let overdue = async {
        stop.cancelled().await;
        tokio::time::sleep(options.finish_within).await;
    };
    tokio::select! {
        outcome = all => outcome,
        () = overdue => {
            tracing::warn!("stopped with jobs unfinished; the broker gives them to others");
            Ok(())
        }
    }
}
