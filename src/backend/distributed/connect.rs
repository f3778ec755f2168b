//! How the server is reached: options, pools, and what is asked of it at the start.

use std::{str::FromStr, time::Duration};

use sqlx::{
    ConnectOptions, Connection, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::Instant;

use super::{
    Unreachable,
    trouble::{Trouble, within},
};
use crate::{backend::Failure, config::SecretUrl};

/// Connections for batches. One is enough for a broker; the others are for the time after a break,
/// when the server still holds on to the last.
const BATCHES: u32 = 4;
/// Connections besides those of the pools: that of leadership.
const OTHERS: u32 = 1;
/// Connections in all, unless somebody says otherwise.
pub(super) const MOST: u32 = 30;
/// A connection that was idle for longer is tried before it is used.
const IDLE: Duration = Duration::from_secs(5);
/// To open a connection.
pub(super) const CONNECT: Duration = Duration::from_secs(5);
/// A statement is ended by the server after 10 s, and given up by us after this.
pub(super) const ANSWER: Duration = Duration::from_secs(15);
/// A migration may have to write a table anew.
const MIGRATE: Duration = Duration::from_secs(600);
/// Lowest `server_version_num`: PostgreSQL 13.
const OLDEST: i64 = 130_000;

/// One for every connection. A transaction that its broker has forgotten, or a broker whose machine
/// is gone, does not keep locks; and a commit means that it is on disk, whatever the server's default.
const SETTINGS: &str = "SELECT set_config('statement_timeout', '10s', false), \
     set_config('lock_timeout', '5s', false), \
     set_config('idle_in_transaction_session_timeout', '4s', false), \
     set_config('tcp_keepalives_idle', '10', false), set_config('tcp_keepalives_interval', '3', false), \
     set_config('tcp_keepalives_count', '3', false), \
     set_config('default_transaction_isolation', 'read committed', false), \
     set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on' \
         ELSE current_setting('synchronous_commit') END, false)";
/// A statement of a batch is planned once and then kept. Planned while tables were small it would read
/// them (or their indexes) from end to end, and still do so when they have grown. All go by keys.
const BY_KEYS: &str = "SELECT set_config('enable_seqscan', 'off', false), \
     set_config('enable_mergejoin', 'off', false), set_config('enable_hashjoin', 'off', false)";
const FITNESS: &str = "SELECT current_setting('server_version_num')::BIGINT, \
     current_setting('server_encoding') = 'UTF8', pg_is_in_recovery(), current_setting('fsync')::BOOLEAN";

/// A broker of before migration 2 is alone over its database, and holds this lock while it runs: it
/// does not know what others do, and the schema must not change under it. "gridbrok" in ASCII.
const ALONE: i64 = 0x6772_6964_6272_6f6b;
const NOBODY_ALONE: &str = "SELECT pg_try_advisory_lock_shared($1)";
/// How long such a broker that has just ended may take to be noticed by the server.
const GRACE: Duration = Duration::from_secs(3);

pub(super) const STATEMENTS: &[&str] = &[SETTINGS, BY_KEYS, FITNESS, NOBODY_ALONE];

/// Where the server is, and how to get in.
#[derive(Clone)]
pub(super) struct Server {
    options: PgConnectOptions,
}

impl Server {
    /// Reads a URL.
    pub fn of(url: &SecretUrl) -> Result<Self, Failure> {
        // Its errors may quote what they could not read.
        let options = PgConnectOptions::from_str(url.expose()).map_err(
            |_| "database_url cannot be read; write it as postgres://user:password@host:5432/database",
        )?;
        check_files(url)?;
        Ok(Self { options: options.application_name("gridbroker").disable_statement_logging() })
    }

    /// The server and database, as they may be shown.
    pub fn place(&self) -> String {
        let options = &self.options;
        let host = match options.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => format!("{}:{}", options.get_host(), options.get_port()),
        };
        let user = options.get_username();
        format!("{host}/{} as {user}", options.get_database().unwrap_or(user))
    }

    /// A connection of its own.
    pub async fn connection(&self) -> Result<PgConnection, Trouble> {
        within(CONNECT, async {
            let mut connection = PgConnection::connect_with(&self.options).await?;
            sqlx::query(SETTINGS).execute(&mut connection).await?;
            Ok(connection)
        })
        .await
    }

    /// Waits for the server, and sees whether it is fit.
    pub async fn reach(&self, patience: Duration) -> Result<(), Failure> {
        let deadline = Instant::now() + patience;
        let mut pause = Duration::from_millis(100);
        loop {
            let trouble = match self.try_reach().await {
                Ok(()) => return Ok(()),
                Err(trouble) => trouble,
            };
            if !trouble.is_passing() || Instant::now() + pause >= deadline {
                return Err(self.told("cannot be used", &trouble));
            }
            tracing::warn!("waiting for the database at {}: {trouble}", self.place());
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }

    /// Says what went wrong, and whether it passes.
    fn told(&self, what: &str, trouble: &Trouble) -> Failure {
        let text = format!("the database at {} {what}: {trouble}", self.place());
        if trouble.is_passing() { Unreachable(text).into() } else { text.into() }
    }

    async fn try_reach(&self) -> Result<(), Trouble> {
        within(CONNECT, async {
            let mut connection = PgConnection::connect_with(&self.options).await?;
            let (version, is_utf8, is_standby, is_durable): (i64, bool, bool, bool) =
                sqlx::query_as(FITNESS).fetch_one(&mut connection).await?;
            if version < OLDEST {
                return Err(Trouble::Wrong("it is older than PostgreSQL 13".into()));
            }
            if !is_utf8 {
                return Err(Trouble::Wrong(
                    "its encoding is not UTF8: create it with ENCODING 'UTF8'".into(),
                ));
            }
            if is_standby {
                return Err(Trouble::Silent("it is a standby".into()));
            }
            if !is_durable {
                tracing::warn!("the database runs with fsync off: a power cut loses what was accepted");
            }
            Ok(())
        })
        .await
    }

    /// Brings the schema up to date.
    pub async fn migrate(&self) -> Result<(), Failure> {
        let migrated = within(MIGRATE, async {
            see_nobody_alone(&mut self.connection().await?).await?;
            // Over a pool: with a plain connection the compiler does not see that this may change threads.
            let pool = pool(1).connect_with(self.options.clone()).await?;
            // Under an advisory lock, so that brokers that start together do not run it twice.
            sqlx::migrate!("migrations/postgres").run(&pool).await?;
            pool.close().await;
            Ok(())
        });
        migrated.await.map_err(|trouble| self.told("has a schema that is not up to date", &trouble))
    }

    /// Connections for batches of records.
    pub fn batches(&self) -> PgPool {
        pool(BATCHES)
            .after_connect(|connection, _| {
                Box::pin(async move {
                    sqlx::query(SETTINGS).execute(&mut *connection).await?;
                    sqlx::query(BY_KEYS).execute(&mut *connection).await?;
                    Ok(())
                })
            })
            .connect_lazy_with(self.options.clone())
    }

    /// Connections for all else, such that there are so many in all.
    pub fn general(&self, most: u32) -> PgPool {
        pool(most.saturating_sub(BATCHES + OTHERS).max(1))
            .after_connect(|connection, _| {
                Box::pin(async move {
                    sqlx::query(SETTINGS).execute(&mut *connection).await?;
                    Ok(())
                })
            })
            .connect_lazy_with(self.options.clone())
    }
}

/// Waits for a broker of an older version to end. The lock is let go of with the connection: one that
/// starts later refuses the schema by itself.
async fn see_nobody_alone(connection: &mut PgConnection) -> Result<(), Trouble> {
    let until = Instant::now() + GRACE;
    while !sqlx::query_scalar(NOBODY_ALONE).bind(ALONE).fetch_one(&mut *connection).await? {
        if Instant::now() > until {
            return Err(Trouble::Wrong("a broker of an older version uses it: stop that first".into()));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// A file that a URL names and that is not there would look as if the server were not.
fn check_files(url: &SecretUrl) -> Result<(), Failure> {
    const FILES: [&str; 7] =
        ["sslrootcert", "ssl-root-cert", "ssl-ca", "sslcert", "ssl-cert", "sslkey", "ssl-key"];
    let query = url.expose().split_once('?').map_or("", |(_, query)| query);
    for (key, path) in form_urlencoded::parse(query.as_bytes()) {
        if FILES.contains(&&*key)
            && let Err(error) = std::fs::File::open(&*path)
        {
            return Err(format!("database_url: {key} {path} cannot be read: {error}").into());
        }
    }
    Ok(())
}

fn pool(most: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(most)
        .acquire_timeout(CONNECT)
        .idle_timeout(Duration::from_secs(300))
        .max_lifetime(Duration::from_secs(3600))
        // One round trip more for each use; a connection that was used just now is there.
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                if meta.idle_for < IDLE {
                    return Ok(true);
                }
                let alive = tokio::time::timeout(Duration::from_secs(2), connection.ping()).await;
                Ok(matches!(alive, Ok(Ok(()))))
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_that_is_not_there_is_named_and_its_password_is_not() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let url = SecretUrl::new(format!("postgres://maria:s3cret-word@127.0.0.1:{port}/grid"));
        let server = Server::of(&url).unwrap();
        let error = server.reach(Duration::from_millis(300)).await.unwrap_err().to_string();
        assert!(error.contains(&format!("127.0.0.1:{port}/grid as maria")), "{error}");
        assert!(error.contains("connection refused"), "{error}");
        assert!(!error.contains("s3cret-word"), "{error}");
    }

    #[test]
    fn a_url_that_cannot_be_read_is_not_quoted() {
        for (url, words) in [
            ("postgres://maria:s3cret-word@host:notaport/grid", "database_url cannot be read"),
            ("postgres://maria:s3cret-word@host/grid?sslmode=wrong", "database_url cannot be read"),
            ("postgres://maria:s3cret-word@host/grid?sslrootcert=/missing.pem", "sslrootcert /missing.pem"),
        ] {
            let error = Server::of(&SecretUrl::new(url)).err().unwrap().to_string();
            assert!(error.contains(words) && !error.contains("s3cret"), "{error}");
        }
    }
}
