//! Which back end serves: the only place that names one.

use std::{sync::Arc, time::Duration};

use crate::{
    backend::{
        Backend, Failure,
        distributed::{Link, RedisClaims, RedisPeers, RedisSignals, open_postgres},
        embedded,
    },
    config::Store,
    domain::Clock,
};

/// How long servers that cannot be reached are waited for at the start.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Opens the store of the settings: the embedded one, or PostgreSQL and Redis.
///
/// # Errors
/// It cannot be opened or reached, or is in use; the message names it and never a password.
pub async fn open(store: &Store, clock: Arc<dyn Clock>) -> Result<Backend, Failure> {
    let Some(database) = &store.database_url else { return embedded::open(&store.data).await };
    // The socket of the operator's commands lies there.
    tokio::fs::create_dir_all(&store.data).await?;
    let postgres = open_postgres(database, PATIENCE).await?;
    let link = link(store).await?;
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

/// Redis may be a moment late, as PostgreSQL may.
async fn link(store: &Store) -> Result<Arc<Link>, Failure> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        match Link::open(store).await {
            Ok(link) => return Ok(link),
            Err(error) if tokio::time::Instant::now() >= deadline => {
                return Err(format!("Redis cannot be used: {error}").into());
            }
            Err(error) => {
                tracing::warn!(%error, "Redis cannot be used yet; trying again");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}
