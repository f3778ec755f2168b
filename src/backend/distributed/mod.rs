//! The distributed back end: PostgreSQL for what must not be lost, Redis for the live queue and events.
//!
//! ```text
//!  batches ──► at most 4 connections ─┐
//!  reads, objects ──► the rest ───────┼──► PostgreSQL
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
mod dial;
mod horde;
mod intake;
mod leadership;
mod ledger;
mod link;
mod peers;
mod records;
mod scripts;
mod session;
mod signals;
mod styles;
mod trouble;
mod webhooks;

use std::{sync::Arc, time::Duration};

use sqlx::PgPool;

use super::{Failure, Records};
use crate::config::SecretUrl;
use trouble::Trouble;

pub(super) use blobs::CHUNK;
pub use blobs::PgBlobs;
pub use claims::RedisClaims;
pub(super) use copy::{Chunk, Target};
pub use horde::{Ask, Horde, Read, Values};
pub(super) use intake::PgIntake;
pub use leadership::{PgLeadership, Terms};
pub use link::Link;
pub use peers::RedisPeers;
pub use records::PgRecords;
pub use signals::RedisSignals;

/// A server cannot be reached, or does not take us yet; it may well a little later.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unreachable(String);

impl Unreachable {
    /// With what to tell of it: which server, and no password.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// Whether what failed may well succeed a little later: a server is away, starting, or too busy. What is set
/// up wrongly will not.
pub fn is_passing(failure: &Failure) -> bool {
    failure.is::<Unreachable>()
        || failure.downcast_ref().is_some_and(Trouble::is_passing)
        || failure.downcast_ref().is_some_and(dial::is_passing)
}

/// Whether the records failed, and will again.
pub fn is_about_records(failure: &Failure) -> bool {
    failure.downcast_ref().is_some_and(|trouble: &Trouble| !trouble.is_passing())
}

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
/// `patience` is how long a server that cannot be reached is waited for; it is tried once at least.
///
/// # Errors
/// The server is not reached in time ([`Unreachable`]), refuses us, is not fit, or serves a broker that
/// bears no other beside it. The message names the server and never the password.
pub async fn open_postgres(url: &SecretUrl, patience: Duration) -> Result<Postgres, Failure> {
    open_postgres_with(url, connect::MOST, patience).await
}

/// The same with so many connections at most.
///
/// # Errors
/// As [`open_postgres`].
pub async fn open_postgres_with(
    url: &SecretUrl,
    connections: u32,
    patience: Duration,
) -> Result<Postgres, Failure> {
    let (records, general) = open_pools(url, connections, patience).await?;
    let leadership = PgLeadership::start(url, Terms::default()).await?;
    Ok(Postgres {
        records: Arc::new(records),
        blobs: Arc::new(PgBlobs::over(general)),
        leadership: Arc::new(leadership),
    })
}

/// Records alone, for who does one thing and leaves: it does not try for the leadership, which nobody would
/// use until its time is over.
///
/// # Errors
/// As [`open_postgres`].
pub async fn open_records(url: &SecretUrl, patience: Duration) -> Result<Arc<dyn Records>, Failure> {
    let (records, _) = open_pools(url, connect::MOST, patience).await?;
    Ok(Arc::new(records))
}

async fn open_pools(
    url: &SecretUrl,
    connections: u32,
    patience: Duration,
) -> Result<(PgRecords, PgPool), Failure> {
    let server = connect::Server::of(url)?;
    server.reach(patience).await?;
    server.migrate().await?;
    let (batches, general) = (server.batches(), server.general(connections));
    Ok((PgRecords::open(batches, general.clone()).await?, general))
}

/// Every statement of this room, for the test that has the server prepare each.
pub fn statements() -> impl Iterator<Item = &'static str> {
    let files = [
        records::STATEMENTS,
        ledger::STATEMENTS,
        records::filters::STATEMENTS,
        records::identities::STATEMENTS,
        records::stats::STATEMENTS,
        records::teams::STATEMENTS,
        webhooks::STATEMENTS,
        styles::STATEMENTS,
        blobs::STATEMENTS,
        leadership::STATEMENTS,
        connect::STATEMENTS,
        copy::STATEMENTS,
        horde::STATEMENTS,
    ];
    files.into_iter().flatten().copied().chain(ledger::audit_statements()).chain(commit::statements())
}
