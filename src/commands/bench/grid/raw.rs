//! What the servers can do without a broker: the naive commands of a job's life, and plain inserts.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use async_trait::async_trait;
use fred::{
    clients::Client,
    interfaces::StreamsInterface,
    types::{Value, streams::XReadResponse},
};
use futures_util::try_join;
use sqlx::{AssertSqlSafe, PgConnection};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{
    super::{
        crew::{Crew, Cycle},
        stats::Tally,
    },
    servers::{Database, Servers},
    sides::Load,
};

/// The consumer group.
const GROUP: &str = "workers";

/// One job through a stream: `XADD`, `XREADGROUP`, then `XACK` and `XDEL` at once.
pub struct RawJob {
    redis: Client,
    stream: String,
    worker: String,
    fields: Vec<(&'static str, String)>,
}

impl Cycle for RawJob {
    async fn cycle(&mut self) -> anyhow::Result<Duration> {
        let started = Instant::now();
        let stream = self.stream.as_str();
        let _: Value = self.redis.xadd(stream, false, None, "*", self.fields.clone()).await?;
        // Whatever job comes: somebody else gets this member's own.
        let read = self.redis.xreadgroup_map(GROUP, self.worker.as_str(), Some(1), None, false, stream, ">");
        let read: XReadResponse<String, String, String, Value> = read.await?;
        let entry = read.into_values().flatten().next().context("a job was added and none is there")?.0;
        let (_, _): (i64, i64) =
            try_join!(self.redis.xack(stream, GROUP, entry.clone()), self.redis.xdel(stream, entry.clone()))?;
        Ok(started.elapsed())
    }

    fn waits_for(&self) -> String {
        "Redis".into()
    }
}

/// Members that run raw jobs over one connection, as a broker's claims have one.
pub async fn jobs(
    servers: &Servers,
    stream: &str,
    fields: Vec<(&'static str, String)>,
    members: usize,
    workers: usize,
) -> anyhow::Result<Crew<RawJob>> {
    let redis = servers.redis.clone();
    let _: Value = redis.xgroup_create(stream, GROUP, "0", true).await?;
    let member = |number: usize| RawJob {
        redis: redis.clone(),
        stream: stream.to_owned(),
        worker: format!("bench-{}", number % workers),
        fields: fields.clone(),
    };
    Ok(Crew::new((0..members).map(member).collect(), JoinSet::new()))
}

/// A table for each of the three rows that a job leaves.
const TABLES: [&str; 3] = ["raw_requests", "raw_attempts", "raw_outcomes"];

/// Mean sizes of the rows of requests, attempts and results, in bytes.
pub async fn row_sizes(database: &Database) -> anyhow::Result<[usize; 3]> {
    const SIZES: &str = "SELECT (SELECT avg(pg_column_size(r.*)) FROM requests r)::FLOAT8, \
         (SELECT avg(pg_column_size(a.*)) FROM attempts a)::FLOAT8, \
         (SELECT avg(pg_column_size(o.*)) FROM outcomes o)::FLOAT8";
    let sizes = sqlx::query_as(SIZES).fetch_one(&mut database.connection().await?).await;
    let (request, attempt, outcome): (f64, f64, f64) = sizes.context("no job has been done yet")?;
    Ok([request, attempt, outcome].map(|size| size as usize))
}

/// Inserts of rows of given sizes, a commit for each batch of each table, over one connection, as a broker
/// commits: when jobs are accepted, when they are granted, and when they have their results.
pub struct RawRows {
    connection: PgConnection,
    bodies: [Vec<Vec<u8>>; 3],
}

impl RawRows {
    /// Makes the tables. So many jobs are in a batch.
    pub async fn open(database: &Database, sizes: [usize; 3], batch: usize) -> anyhow::Result<Self> {
        /// A row's header, its ID, and the length of its body.
        const OVERHEAD: usize = 24 + 16 + 4;
        let mut connection = database.connection().await?;
        for table in TABLES {
            let make = format!("CREATE TABLE {table} (id UUID PRIMARY KEY, body BYTEA NOT NULL)");
            sqlx::raw_sql(AssertSqlSafe(make)).execute(&mut connection).await?;
        }
        let bodies = sizes.map(|size| vec![vec![7; size.saturating_sub(OVERHEAD)]; batch]);
        Ok(Self { connection, bodies })
    }
}

#[async_trait]
impl Load for RawRows {
    async fn run(&mut self, span: Duration) -> anyhow::Result<Tally> {
        let end = Instant::now() + span;
        let mut tally = Tally::default();
        while Instant::now() < end {
            let started = Instant::now();
            for (table, bodies) in TABLES.iter().zip(&self.bodies) {
                let ids: Vec<Uuid> = bodies.iter().map(|_| Uuid::now_v7()).collect();
                let insert = format!("INSERT INTO {table} SELECT * FROM unnest($1::UUID[], $2::BYTEA[])");
                let insert = sqlx::query(AssertSqlSafe(insert)).bind(ids).bind(bodies);
                let done = insert.execute(&mut self.connection).await?;
                ensure!(done.rows_affected() == bodies.len() as u64, "not all rows were inserted");
            }
            tally.units += self.bodies[0].len() as u64;
            tally.latencies.push(started.elapsed());
        }
        Ok(tally)
    }
}
