//! Which back end serves: the only place that names one.

use std::{sync::Arc, time::Duration};

use crate::{
    backend::{
        Backend, Failure,
        distributed::{
            self, Link, Postgres, RedisClaims, RedisPeers, RedisSignals, Unreachable, open_postgres_with,
        },
        embedded,
        s3::{self, S3Blobs},
    },
    config::{Objects, SecretUrl, Store},
    domain::Clock,
};

/// How long servers that cannot be reached are waited for by commands.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Opens the store of the settings: the embedded one, or PostgreSQL and Redis, which are waited for as
/// long as patience lasts. Objects are kept there, or in a bucket, which is looked at once.
///
/// # Errors
/// It cannot be opened or reached, or is in use; the message names it and never a password.
pub async fn open(
    store: &Store,
    objects: &Objects,
    clock: Arc<dyn Clock>,
    patience: Duration,
) -> Result<Backend, Failure> {
    let bucket = bucket(objects, clock.clone());
    let Some(database) = &store.database_url else {
        let bucket = bucket.await?;
        let backend = embedded::open(&store.data).await?;
        return Ok(with(backend, bucket));
    };
    // The socket of the operator's commands lies there.
    tokio::fs::create_dir_all(&store.data).await?;
    let (servers, bucket) = tokio::join!(servers(store, database, patience), bucket);
    let ((postgres, link), bucket) = both(servers, bucket)?;
    let (records, leadership) = (postgres.records.clone(), postgres.leadership.clone());
    let claims = Arc::new(RedisClaims::new(link.clone(), records, leadership, clock.clone()));
    let backend = Backend {
        peers: Arc::new(RedisPeers::new(link.clone(), claims.clone())),
        claims,
        signals: Arc::new(RedisSignals::new(link, clock)),
        records: postgres.records,
        leadership: postgres.leadership,
        blobs: postgres.blobs,
    };
    Ok(with(backend, bucket))
}

async fn bucket(objects: &Objects, clock: Arc<dyn Clock>) -> Result<Option<S3Blobs>, Failure> {
    match objects.bucket() {
        Some(bucket) => S3Blobs::open(&bucket, clock).await.map(Some),
        None => Ok(None),
    }
}

fn with(backend: Backend, bucket: Option<S3Blobs>) -> Backend {
    match bucket {
        Some(bucket) => Backend { blobs: Arc::new(bucket), ..backend },
        None => backend,
    }
}

/// All that is wrong is told at once.
fn both<A, B>(one: Result<A, Failure>, other: Result<B, Failure>) -> Result<(A, B), Failure> {
    match (one, other) {
        (Ok(one), Ok(other)) => Ok((one, other)),
        (Err(failure), Ok(_)) | (Ok(_), Err(failure)) => Err(failure),
        (Err(one), Err(other)) => {
            let text = format!("{one}; {other}");
            Err(if is_passing(&one) && is_passing(&other) {
                Unreachable::new(text).into()
            } else {
                text.into()
            })
        }
    }
}

fn is_passing(failure: &Failure) -> bool {
    distributed::is_passing(failure) || s3::is_passing(failure)
}

/// Both at once, so that all that is wrong with either is told at once.
async fn servers(
    store: &Store,
    database: &SecretUrl,
    patience: Duration,
) -> Result<(Postgres, Arc<Link>), Failure> {
    let postgres = open_postgres_with(database, store.database_connections, patience);
    let (postgres, link) = tokio::join!(postgres, link(store, patience));
    both(postgres, link)
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
    s3::is_passing(failure) || store.database_url.is_some() && is_passing(failure)
}

/// Whether lanes that could not be loaded may well be a little later: what the records hold stays, and
/// whatever is wrong with the live queue passes.
pub fn may_load(store: &Store, failure: &Failure) -> bool {
    store.database_url.is_some() && !distributed::is_about_records(failure)
}
