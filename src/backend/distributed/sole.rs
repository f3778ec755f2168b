//! Sees to it that one broker runs over a database, until several can.
//!
//! To allow several, drop this file and the lines that name [`SoleBroker`].

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sqlx::{Connection, PgConnection};

use super::{
    connect::{ANSWER, Server},
    trouble::{Trouble, within},
};
use crate::backend::Failure;

/// Under this number the lock is found among a database's advisory locks: "gridbrok" in ASCII.
const LOCK: i64 = 0x6772_6964_6272_6f6b;
/// How long a broker that has just ended may take to be noticed by the server.
const GRACE: Duration = Duration::from_secs(3);
/// How often the connection that holds the lock is tried.
const EVERY: Duration = Duration::from_secs(5);
/// How long the server may hold on to our own last connection, whose end it has not noticed.
const ECHO: Duration = Duration::from_secs(30);
const TAKE: &str = "SELECT pg_try_advisory_lock($1)";

pub(super) const STATEMENTS: &[&str] = &[TAKE];

/// The right to be the only broker. It lasts as long as its connection to the server, which is made
/// anew when it breaks; another broker that comes in between ends it for good.
pub(super) struct SoleBroker {
    is_usurped: Arc<AtomicBool>,
    watch: tokio::task::JoinHandle<()>,
}

impl SoleBroker {
    /// Takes the lock.
    pub async fn enter(server: &Server) -> Result<Self, Failure> {
        let refused = || {
            let place = server.place();
            format!("another broker uses the database at {place}: stop it first, or use another database")
        };
        let mut connection = server.connection().await?;
        let until = tokio::time::Instant::now() + GRACE;
        while !take(&mut connection).await? {
            if tokio::time::Instant::now() > until {
                return Err(refused().into());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let is_usurped = Arc::new(AtomicBool::new(false));
        let watch = tokio::spawn(watch(server.clone(), connection, is_usurped.clone()));
        Ok(Self { is_usurped, watch })
    }

    /// Fails once another broker has taken over: what this one would write no longer holds.
    pub fn check(&self) -> Result<(), Trouble> {
        match self.is_usurped.load(Ordering::Relaxed) {
            true => Err(Trouble::Wrong("another broker has taken over the database".into())),
            false => Ok(()),
        }
    }
}

impl Drop for SoleBroker {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

async fn take(connection: &mut PgConnection) -> Result<bool, Trouble> {
    within(ANSWER, async { Ok(sqlx::query_scalar(TAKE).bind(LOCK).fetch_one(connection).await?) }).await
}

/// Tries the connection now and then, and takes the lock again over a new one if it is gone.
async fn watch(server: Server, mut connection: PgConnection, is_usurped: Arc<AtomicBool>) {
    let mut refused_since = None;
    loop {
        tokio::time::sleep(EVERY).await;
        // Once the connection broke the lock is gone, whether or not the server has noticed.
        let is_there =
            refused_since.is_none() && within(ANSWER, async { Ok(connection.ping().await?) }).await.is_ok();
        if is_there {
            continue;
        }
        let Ok(mut next) = server.connection().await else { continue };
        match take(&mut next).await {
            Ok(true) => (connection, refused_since) = (next, None),
            Ok(false) => {
                let since = *refused_since.get_or_insert_with(tokio::time::Instant::now);
                if since.elapsed() > ECHO {
                    tracing::error!("another broker has taken over the database at {}", server.place());
                    is_usurped.store(true, Ordering::Relaxed);
                    return;
                }
            }
            Err(_) => {}
        }
    }
}
