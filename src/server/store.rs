//! Which back end serves: the only place that names one.

use std::{sync::Arc, time::Duration};

use crate::{
    backend::{
        Backend, Failure,
        distributed::{
            self, Link, Postgres, RedisClaims, RedisPeers, RedisSignals, Unreachable, open_postgres_with,
        },
        embedded,
    },
    config::{SecretUrl, Store},
    domain::Clock,
};

/// How long servers that cannot be reached are waited for by commands.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Opens the store of the settings: the embedded one, or PostgreSQL and Redis, which are waited for as
/// long as patience lasts.
///
/// # Errors
/// It cannot be opened or reached, or is in use; the message names it and never a password.
pub async fn open(store: &Store, clock: Arc<dyn Clock>, patience: Duration) -> Result<Backend, Failure> {
    let Some(database) = &store.database_url else { return embedded::open(&store.data).await };
    // The socket of the operator's commands lies there.
    tokio::fs::create_dir_all(&store.data).await?;
    let (postgres, link) = servers(store, database, patience).await?;
    let (records, leadership) = (postgres.records.clone(), postgres.leadership.clone());
    let claims = Arc::new(RedisClaims::new(link.clone(), records, leadership, clock.clone()));
    Ok(Backend {
        peers: Arc::new(RedisPeers::new(link.clone(), claims.clone())),
        claims,
        signals: Arc::new(RedisSignals::new(link, clock)),
        records: postgres.records,
        leadership: postgres.leadership,
        blobs: postgres.blobs,
    })
}

/// Both at once, so that all that is wrong with either is told at once.
async fn servers(
    store: &Store,
    database: &SecretUrl,
    patience: Duration,
) -> Result<(Postgres, Arc<Link>), Failure> {
    let postgres = open_postgres_with(database, store.database_connections, patience);
    match tokio::join!(postgres, link(store, patience)) {
        (Ok(postgres), Ok(link)) => Ok((postgres, link)),
        (Err(failure), Ok(_)) | (Ok(_), Err(failure)) => Err(failure),
        (Err(one), Err(other)) => {
            let is_passing = distributed::is_passing(&one) && distributed::is_passing(&other);
            let text = format!("{one}; {other}");
            Err(if is_passing { Unreachable::new(text).into() } else { text.into() })
        }
    }
}

/// Redis may be a moment late, as PostgreSQL may.
async fn link(store: &Store, patience: Duration) -> Result<Arc<Link>, Failure> {
    let deadline = tokio::time::Instant::now() + patience;
    loop {
        match Link::open(store).await {
            Err(failure) if distributed::is_passing(&failure) && tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            outcome => return outcome,
        }
    }
}

/// Whether a store that could not be opened may well be a little later.
pub fn may_open(store: &Store, failure: &Failure) -> bool {
    store.database_url.is_some() && distributed::is_passing(failure)
}

/// Whether lanes that could not be loaded may well be a little later: what the records hold stays, and
/// whatever is wrong with the live queue passes.
pub fn may_load(store: &Store, failure: &Failure) -> bool {
    store.database_url.is_some() && !distributed::is_about_records(failure)
}
