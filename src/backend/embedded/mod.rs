//! The default back end: SQLite, files, and this process.

mod blobs;
mod commit;
mod copy;
mod intake;
mod ledger;
mod local;
mod lock;
mod records;
mod signals;
mod styles;
mod webhooks;

use std::{path::Path, sync::Arc};

use super::{Backend, Failure};

pub use blobs::FileBlobs;
pub(super) use copy::Origin;
pub(super) use intake::SqliteIntake;
pub use local::{LocalClaims, LocalLeadership, NoPeers};
pub use lock::{DirectoryLock, InUse};
pub use records::SqliteRecords;
pub use signals::LocalSignals;

/// The database, in the data directory.
const FILE: &str = "gridbroker.sqlite";
/// The folder of objects there.
const OBJECTS: &str = "objects";

/// Opens (and if need be makes) an embedded store in a directory.
///
/// # Errors
/// The directory cannot be made or written, another process has the store ([`InUse`]), or a migration
/// fails.
pub async fn open(data: &Path) -> Result<Backend, Failure> {
    // What is in it concerns nobody else on this machine: prompts, images, hashes of keys.
    tokio::fs::DirBuilder::new().recursive(true).mode(0o700).create(data).await?;
    let lock = DirectoryLock::take(data).await?;
    let records = SqliteRecords::open(&data.join(FILE)).await?.holding(lock);
    Ok(Backend {
        records: Arc::new(records),
        claims: Arc::new(LocalClaims),
        signals: Arc::new(LocalSignals::default()),
        peers: Arc::new(NoPeers),
        leadership: Arc::new(LocalLeadership),
        blobs: Arc::new(FileBlobs::open(&data.join(OBJECTS)).await?),
    })
}

/// Every statement of this room, for the test that has SQLite prepare each.
pub fn statements() -> impl Iterator<Item = &'static str> {
    let files = [
        records::STATEMENTS,
        records::filters::STATEMENTS,
        records::identities::STATEMENTS,
        records::stats::STATEMENTS,
        styles::STATEMENTS,
        ledger::STATEMENTS,
        webhooks::STATEMENTS,
        intake::STATEMENTS,
        commit::filters::STATEMENTS,
        commit::stats::STATEMENTS,
    ];
    files.into_iter().flatten().copied().chain(ledger::audit_statements()).chain(commit::statements())
}
