//! The distributed back end: PostgreSQL for what must not be lost, Redis for the live queue and events.
//!
//! ```text
//!  batches ──► at most 4 connections ─┐
//!  reads, objects ──► at most 24 ─────┼──► PostgreSQL
//!  leadership ──► 1 ──────────────────┘
//! ```
//!
//! A call of this room ends: there is a time-out on every statement at the server, and a longer one
//! here for a server that no longer answers. What fails is told without SQL, values or URLs.
//!
//! Redis carries the live queue ([`RedisClaims`]) and the event logs ([`RedisSignals`]), over a [`Link`].
//! Both may vanish with it at any time: what was lost is built again from Records.

mod blobs;
mod claims;
mod commit;
mod connect;
mod copy;
mod leadership;
mod link;
mod peers;
mod records;
mod scripts;
mod session;
mod signals;
mod trouble;

use std::{sync::Arc, time::Duration};

use super::Failure;
use crate::config::SecretUrl;

pub(super) use blobs::CHUNK;
pub use blobs::PgBlobs;
pub use claims::RedisClaims;
pub(super) use copy::{Chunk, Target};
pub use leadership::{PgLeadership, Terms};
pub use link::Link;
pub use peers::RedisPeers;
pub use records::PgRecords;
pub use signals::RedisSignals;

/// What PostgreSQL keeps.
pub struct Postgres {
    /// Durable rows.
    pub records: Arc<PgRecords>,
    /// Objects.
    pub blobs: Arc<PgBlobs>,
    /// Who runs the upkeep.
    pub leadership: Arc<PgLeadership>,
}

/// Connects, and brings the schema up to date. Other brokers may be over the database.
///
/// `patience` is how long a server that cannot be reached is waited for, and how long a step of the
/// start may take otherwise.
///
/// # Errors
/// The server is not reached in time, refuses us, is not fit, or serves a broker that bears no other
/// beside it. The message names the server and never the password.
pub async fn open_postgres(url: &SecretUrl, patience: Duration) -> Result<Postgres, Failure> {
    let server = connect::Server::of(url)?;
    server.reach(patience).await?;
    server.migrate(patience).await?;
    let (batches, general) = (server.batches(), server.general());
    let records = PgRecords::open(batches, general.clone()).await?;
    let leadership = PgLeadership::start(url, Terms::default()).await?;
    Ok(Postgres {
        records: Arc::new(records),
        blobs: Arc::new(PgBlobs::over(general)),
        leadership: Arc::new(leadership),
    })
}

/// Every statement of this room, for the test that has the server prepare each.
pub fn statements() -> impl Iterator<Item = &'static str> {
    let files = [
        records::STATEMENTS,
        blobs::STATEMENTS,
        leadership::STATEMENTS,
        connect::STATEMENTS,
        copy::STATEMENTS,
    ];
    files.into_iter().flatten().copied().chain(commit::statements())
}
