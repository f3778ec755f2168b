//! The servers of the distributed store: where they are, databases of our own in them, and what they have
//! done so far.

use std::{
    collections::BTreeMap,
    path::Path,
    str::FromStr,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use fred::{
    clients::Client,
    cmd,
    interfaces::{ClientLike, KeysInterface},
    types::{
        Builder,
        config::{Config, TcpConfig},
    },
};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, postgres::PgConnectOptions};

use super::{GridArgs, private::PrivateServers};
use crate::config::SecretUrl;

/// How long servers that have just been started may take to answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// Commands that no script of the broker's gives. All others come from scripts, but for a handful per second.
const NEVER_IN_SCRIPTS: [&str; 10] = [
    "evalsha",
    "eval",
    "script|load",
    "xread",
    "xreadgroup",
    "subscribe",
    "unsubscribe",
    "ping",
    "hello",
    "config|get",
];

/// Where they are.
pub struct Servers {
    postgres: PgConnectOptions,
    /// URL of Redis.
    pub redis_url: SecretUrl,
    /// A connection of the bench's own to Redis.
    pub redis: Client,
    private: Option<PrivateServers>,
}

impl Servers {
    /// Those that are given, or private ones; `None` if neither is asked for.
    ///
    /// # Errors
    /// They cannot be started, or do not answer.
    pub async fn of(args: &GridArgs, place: &Path) -> anyhow::Result<Option<Self>> {
        let (database_url, redis_url, private) = match (&args.database_url, &args.redis_url) {
            (Some(database), Some(redis)) => (database.clone(), redis.clone(), None),
            _ if args.private_servers => {
                let private = PrivateServers::start(place).await.context("cannot start private servers")?;
                (private.database_url.clone(), private.redis_url.clone(), Some(private))
            }
            _ => return Ok(None),
        };
        ensure!(
            redis_url.expose().starts_with("redis://"),
            "--redis-url of bench must be a single server, redis://HOST:PORT"
        );
        // Its errors may quote what they could not read.
        let Ok(postgres) = PgConnectOptions::from_str(database_url.expose()) else {
            bail!("--database-url cannot be read; write it as postgres://user:password@host:5432/database");
        };
        let redis = patiently(async || client(&redis_url).await).await;
        let redis = redis.with_context(|| format!("Redis at {redis_url}"))?;
        let servers = Self { postgres: postgres.disable_statement_logging(), redis_url, redis, private };
        let reached = patiently(async || Ok(servers.connection().await?)).await;
        reached.with_context(|| format!("PostgreSQL at {database_url}"))?.close().await?;
        Ok(Some(servers))
    }

    /// A connection to PostgreSQL, to the database that was given.
    pub async fn connection(&self) -> sqlx::Result<PgConnection> {
        PgConnection::connect_with(&self.postgres).await
    }

    /// Makes an empty database, with names for what belongs to it in Redis.
    ///
    /// # Errors
    /// It cannot be made.
    pub async fn make(&self) -> anyhow::Result<Database> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("gridbroker_bench_{}_{number}", std::process::id());
        let mut connection = self.connection().await?;
        let make = format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'");
        let made = sqlx::raw_sql(AssertSqlSafe(make)).execute(&mut connection).await;
        made.context("the user of --database-url must be allowed to create databases")?;
        connection.close().await?;
        Ok(Database { options: self.postgres.clone().database(&name), name })
    }

    /// Removes a database, and what belongs to it in Redis.
    pub async fn remove(&self, database: Database) -> anyhow::Result<()> {
        let drop = format!("DROP DATABASE {} WITH (FORCE)", database.name);
        sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut self.connection().await?).await?;
        self.forget(&database.prefix()).await
    }

    /// Removes from Redis what has this in its name.
    pub async fn forget(&self, word: &str) -> anyhow::Result<()> {
        let mut cursor = "0".to_owned();
        loop {
            let page = self.redis.scan_page(cursor, format!("*{word}*"), Some(1000), None).await?;
            let (next, keys): (String, Vec<String>) = page;
            if !keys.is_empty() {
                let _: i64 = self.redis.unlink(keys).await?;
            }
            if next == "0" {
                return Ok(());
            }
            cursor = next;
        }
    }

    /// What Redis and PostgreSQL have done so far.
    pub async fn reading(&self) -> anyhow::Result<Reading> {
        let info = async |section: &str| -> anyhow::Result<String> {
            Ok(self.redis.custom(cmd!("INFO"), vec![section.to_owned()]).await?)
        };
        let (calls, cpu) = (calls_in(&info("commandstats").await?), cpu_in(&info("cpu").await?));
        let postgres_cpu = self.private.as_ref().map(PrivateServers::postgres_cpu).transpose()?;
        Ok(Reading { calls, redis_cpu: cpu.context("Redis tells its CPU time")?, postgres_cpu })
    }

    /// What PostgreSQL has counted of a database. Complete once nobody is connected to it.
    pub async fn rows_of(&self, database: &Database) -> anyhow::Result<RowCounts> {
        const COUNTS: &str = "SELECT xact_commit, tup_inserted, tup_updated, tup_deleted \
             FROM pg_stat_database WHERE datname = $1";
        let mut connection = self.connection().await?;
        let counts = sqlx::query_as(COUNTS).bind(&database.name).fetch_one(&mut connection).await?;
        let (commits, inserted, updated, deleted) = counts;
        Ok(RowCounts { commits, inserted, updated, deleted })
    }

    /// Waits until nobody is connected to a database: until then not all is counted.
    pub async fn is_left(&self, database: &Database) -> anyhow::Result<()> {
        const PRESENT: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1";
        let mut connection = self.connection().await?;
        patiently(async || {
            let present = sqlx::query_scalar(PRESENT).bind(&database.name).fetch_one(&mut connection);
            let present: i64 = present.await?;
            ensure!(present == 0, "{present} connections are still open");
            Ok(())
        })
        .await
    }

    /// Ends the private ones.
    pub async fn stop(self) {
        // It may be gone already.
        let _ = self.redis.quit().await;
        if let Some(private) = self.private {
            private.stop().await;
        }
    }
}

/// A connection to Redis with the settings that matter of the broker's own.
async fn client(url: &SecretUrl) -> anyhow::Result<Client> {
    let config = Config::from_url(url.expose()).ok().context("--redis-url cannot be read")?;
    let mut builder = Builder::from_config(config);
    builder.with_connection_config(|connection| {
        connection.tcp = TcpConfig { nodelay: Some(true), ..TcpConfig::default() };
        connection.connection_timeout = Duration::from_secs(2);
    });
    builder.with_performance_config(|performance| {
        performance.default_command_timeout = Duration::from_secs(10);
    });
    let client = builder.build()?;
    client.init().await?;
    Ok(client)
}

/// Tries until it succeeds, or has failed for long enough.
async fn patiently<T>(mut act: impl AsyncFnMut() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let since = Instant::now();
    loop {
        match act().await {
            Err(_) if since.elapsed() < PATIENCE => tokio::time::sleep(Duration::from_millis(50)).await,
            done => return done,
        }
    }
}

/// A database of our own.
pub struct Database {
    name: String,
    options: PgConnectOptions,
}

impl Database {
    /// Its URL.
    pub fn url(&self) -> SecretUrl {
        SecretUrl::new(self.options.to_url_lossy())
    }

    /// How the names of what belongs to it in Redis begin.
    pub fn prefix(&self) -> String {
        format!("{}:", self.name)
    }

    /// A connection.
    pub async fn connection(&self) -> sqlx::Result<PgConnection> {
        PgConnection::connect_with(&self.options).await
    }
}

/// What PostgreSQL has counted of a database.
#[derive(Clone, Copy, Debug, Default)]
pub struct RowCounts {
    /// Transactions that were committed, those that only read among them.
    pub commits: i64,
    /// Rows inserted.
    pub inserted: i64,
    /// Rows updated.
    pub updated: i64,
    /// Rows deleted.
    pub deleted: i64,
}

/// What both servers have done up to some moment.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// Calls of each Redis command, those from scripts among them.
    pub calls: BTreeMap<String, u64>,
    /// CPU time of Redis.
    pub redis_cpu: Duration,
    /// CPU time of PostgreSQL; `None`: it runs elsewhere.
    pub postgres_cpu: Option<Duration>,
}

impl Reading {
    /// What was done since an earlier moment.
    pub fn since(&self, before: &Self) -> Self {
        let earlier = |name: &String| before.calls.get(name).copied().unwrap_or(0);
        let calls = self.calls.iter().map(|(name, calls)| (name.clone(), calls - earlier(name)));
        Self {
            calls: calls.filter(|(_, calls)| *calls > 0).collect(),
            redis_cpu: self.redis_cpu.saturating_sub(before.redis_cpu),
            postgres_cpu: self
                .postgres_cpu
                .zip(before.postgres_cpu)
                .map(|(now, then)| now.saturating_sub(then)),
        }
    }

    /// Both together.
    pub fn plus(mut self, other: Self) -> Self {
        for (name, calls) in other.calls {
            *self.calls.entry(name).or_default() += calls;
        }
        self.redis_cpu += other.redis_cpu;
        self.postgres_cpu = match (self.postgres_cpu, other.postgres_cpu) {
            (one, None) | (None, one) => one,
            (Some(one), Some(two)) => Some(one + two),
        };
        self
    }

    /// Calls of all commands.
    pub fn all_calls(&self) -> u64 {
        self.calls.values().sum()
    }

    /// Those of them that scripts gave.
    pub fn scripted_calls(&self) -> u64 {
        if !self.calls.contains_key("evalsha") {
            return 0;
        }
        let scripted = self.calls.iter().filter(|(name, _)| !NEVER_IN_SCRIPTS.contains(&name.as_str()));
        scripted.map(|(_, calls)| calls).sum()
    }
}

/// Calls by command, in what `INFO commandstats` says. Our own `INFO` is left out.
fn calls_in(info: &str) -> BTreeMap<String, u64> {
    let calls = info.lines().filter_map(|line| {
        let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        Some((name.to_owned(), rest.split(',').next()?.parse().ok()?))
    });
    calls.filter(|(name, _)| name != "info").collect()
}

/// System and user CPU time, in what `INFO cpu` says.
fn cpu_in(info: &str) -> Option<Duration> {
    let of = |name: &str| -> Option<f64> {
        info.lines().find_map(|line| line.strip_prefix(name))?.trim().parse().ok()
    };
    Duration::try_from_secs_f64(of("used_cpu_sys:")? + of("used_cpu_user:")?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_read_by_command_and_told_apart_by_where_they_come_from() {
        let before = calls_in("# Commandstats\r\ncmdstat_xadd:calls=10,usec=5,usec_per_call=0.50\r\n");
        let after = calls_in(
            "# Commandstats\r\ncmdstat_xadd:calls=40,usec=5\r\ncmdstat_evalsha:calls=6,usec=1\r\n\
             cmdstat_info:calls=9,usec=1\r\ncmdstat_xgroup|create:calls=2,usec=1\r\n",
        );
        let reading = |calls| Reading { calls, ..Reading::default() };
        let spent = reading(after).since(&reading(before));
        assert_eq!((spent.calls["xadd"], spent.calls["xgroup|create"]), (30, 2));
        assert_eq!((spent.all_calls(), spent.scripted_calls()), (38, 32));
        let raw = reading(calls_in("cmdstat_xadd:calls=3,usec=1"));
        assert_eq!((raw.all_calls(), raw.scripted_calls()), (3, 0), "there is no script");
    }

    #[test]
    fn cpu_time_is_of_system_and_user_without_children() {
        let info = "used_cpu_sys:1.25\r\nused_cpu_user:2.5\r\nused_cpu_sys_children:7.0\r\n";
        assert_eq!(cpu_in(info), Some(Duration::from_millis(3750)));
        assert_eq!(cpu_in("nothing"), None);
    }
}
