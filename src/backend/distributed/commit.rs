//! A batch of records as few statements: one for each table and kind of change, each over a JSON
//! array of rows.
//!
//! Several brokers may commit at the same time. All lock rows in the same order, first by table (the
//! order of [`STATEMENTS`]) and then by ID, so they wait for each other but not in a circle; where a
//! circle closes all the same, or the connection breaks, the batch is tried again. A try that broke in
//! the middle of its commit may have succeeded: each batch leaves its ID, and one that is there
//! already is not written again.

use std::{collections::HashMap, time::Duration};

use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use sqlx::{Connection, PgConnection, PgPool};
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    connect::ANSWER,
    session::Session,
    trouble::{Trouble, within},
};
use crate::{
    backend::{
        Failure,
        rows::{Rows, text},
    },
    domain::record::Record,
};

/// For how long a batch is tried again before its failure is told.
const PATIENCE: Duration = Duration::from_secs(10);
/// Batches that failed without anybody knowing whether they were written, and may come again.
const MAX_UNCERTAIN: usize = 64;

const BATCH: &str = "INSERT INTO batches (id, at) VALUES ($1, (extract(epoch FROM now()) * 1000)::BIGINT) \
     ON CONFLICT DO NOTHING";
const ENDINGS: &str = "WITH change AS (SELECT (r ->> 0)::UUID AS id, r ->> 1 AS state \
         FROM jsonb_array_elements($1::JSONB) AS rows(r)), \
     held AS MATERIALIZED (SELECT change.* FROM attempts JOIN change USING (id) \
         ORDER BY attempts.id FOR NO KEY UPDATE OF attempts) \
     UPDATE attempts SET state = held.state FROM held \
     WHERE attempts.id = held.id AND attempts.state = 'open'";
const ATTEMPTS: &str = "INSERT INTO attempts (id, request, job, number, worker, model, seed, held, granted_at, \
     expires_at, state) SELECT (r ->> 0)::UUID, (r ->> 1)::UUID, (r ->> 2)::BIGINT, (r ->> 3)::BIGINT, \
     (r ->> 4)::UUID, r ->> 5, (r ->> 6)::BIGINT, r ->> 7, (r ->> 8)::BIGINT, (r ->> 9)::BIGINT, r ->> 10 \
     FROM jsonb_array_elements($1::JSONB) AS rows(r) ORDER BY 1";
const LEASES: &str = "WITH change AS (SELECT (r ->> 0)::UUID AS id, (r ->> 1)::BIGINT AS expires_at \
         FROM jsonb_array_elements($1::JSONB) AS rows(r)), \
     held AS MATERIALIZED (SELECT change.* FROM attempts JOIN change USING (id) \
         ORDER BY attempts.id FOR NO KEY UPDATE OF attempts) \
     UPDATE attempts SET expires_at = held.expires_at FROM held \
     WHERE attempts.id = held.id";
const USERS: &str = "INSERT INTO users (id, alias, key_hash, roles_json, concurrency, worker_invites, created_at) \
     SELECT (r ->> 0)::BIGINT, r ->> 1, r ->> 2, r ->> 3, (r ->> 4)::BIGINT, (r ->> 5)::BIGINT, (r ->> 6)::BIGINT \
     FROM jsonb_array_elements($1::JSONB) AS rows(r) ORDER BY 1";
const USER_COUNTS: &str = "WITH change AS (SELECT (r ->> 0)::BIGINT AS id, \
         (r ->> 1)::BIGINT AS rij, (r ->> 2)::FLOAT8 AS rit, (r ->> 3)::BIGINT AS rtj, (r ->> 4)::FLOAT8 AS rtt, \
         (r ->> 5)::BIGINT AS fij, (r ->> 6)::FLOAT8 AS fit, (r ->> 7)::BIGINT AS ftj, (r ->> 8)::FLOAT8 AS ftt, \
         (r ->> 9)::BIGINT AS accumulated, (r ->> 10)::BIGINT AS granted \
         FROM jsonb_array_elements($1::JSONB) AS rows(r)), \
     held AS MATERIALIZED (SELECT change.* FROM users JOIN change USING (id) \
         ORDER BY users.id FOR NO KEY UPDATE OF users) \
     UPDATE users SET \
         requested_image_jobs = requested_image_jobs + rij, \
         requested_image_things = requested_image_things + rit, \
         requested_text_jobs = requested_text_jobs + rtj, \
         requested_text_things = requested_text_things + rtt, \
         fulfilled_image_jobs = fulfilled_image_jobs + fij, \
         fulfilled_image_things = fulfilled_image_things + fit, \
         fulfilled_text_jobs = fulfilled_text_jobs + ftj, \
         fulfilled_text_things = fulfilled_text_things + ftt, \
         accumulated = users.accumulated + held.accumulated, granted = users.granted + held.granted \
     FROM held WHERE users.id = held.id";
const WORKERS: &str = "INSERT INTO workers (id, name, owner, created_at, seen_at, profile_json, maintenance) \
     SELECT (r ->> 0)::UUID, r ->> 1, (r ->> 2)::BIGINT, (r ->> 3)::BIGINT, (r ->> 4)::BIGINT, r ->> 5, r ->> 6 \
     FROM jsonb_array_elements($1::JSONB) AS rows(r) ORDER BY 1 \
     ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at, profile_json = excluded.profile_json, \
     maintenance = excluded.maintenance";
const WORKER_COUNTS: &str = "WITH change AS (SELECT (r ->> 0)::UUID AS id, (r ->> 1)::BIGINT AS fulfilled, \
         (r ->> 2)::BIGINT AS uncompleted, (r ->> 3)::FLOAT8 AS things, (r ->> 4)::BIGINT AS generated, \
         (r ->> 5)::BIGINT AS uptime, r -> 6 AS speeds FROM jsonb_array_elements($1::JSONB) AS rows(r)), \
     held AS MATERIALIZED (SELECT change.* FROM workers JOIN change USING (id) \
         ORDER BY workers.id FOR NO KEY UPDATE OF workers) \
     UPDATE workers SET \
         fulfilled = workers.fulfilled + held.fulfilled, \
         uncompleted = workers.uncompleted + held.uncompleted, \
         things = workers.things + held.things, generated = workers.generated + held.generated, \
         uptime_seconds = uptime_seconds + uptime, \
         speeds_json = (SELECT coalesce(jsonb_agg(speed ORDER BY place), '[]')::TEXT FROM ( \
             SELECT speed, place FROM jsonb_array_elements(speeds_json::JSONB) WITH ORDINALITY AS old(speed, place) \
             UNION ALL \
             SELECT speed, 1000 + place FROM jsonb_array_elements(speeds) WITH ORDINALITY AS new(speed, place) \
             ORDER BY place DESC LIMIT 20) AS newest) \
     FROM held WHERE workers.id = held.id";
const REQUESTS: &str = "INSERT INTO requests (id, owner, created_at, priority, spec_json, expires_at, jobs) \
     SELECT (r ->> 0)::UUID, (r ->> 1)::BIGINT, (r ->> 2)::BIGINT, (r ->> 3)::BIGINT, r ->> 4, \
     (r ->> 5)::BIGINT, (r ->> 6)::BIGINT FROM jsonb_array_elements($1::JSONB) AS rows(r) ORDER BY 1";
const REQUEST_CHANGES: &str = "WITH change AS (SELECT (r ->> 0)::UUID AS id, (r ->> 1)::BIGINT AS open, \
         (r ->> 2)::BIGINT AS settled, (r ->> 3)::BIGINT AS expires_at, (r ->> 4)::BOOLEAN AS cancelled, \
         (r ->> 5)::BOOLEAN AS faulted, (r ->> 6)::BIGINT AS spent FROM jsonb_array_elements($1::JSONB) AS rows(r)), \
     held AS MATERIALIZED (SELECT change.* FROM requests JOIN change USING (id) \
         ORDER BY requests.id FOR NO KEY UPDATE OF requests) \
     UPDATE requests SET open = requests.open + held.open, settled = requests.settled + held.settled, \
         expires_at = greatest(requests.expires_at, held.expires_at), \
         cancelled = requests.cancelled OR held.cancelled, faulted = requests.faulted OR held.faulted, \
         consumed = consumed + spent \
     FROM held WHERE requests.id = held.id";
const OUTCOMES: &str = "INSERT INTO outcomes (attempt, request, reward, outcome_json) \
     SELECT (r ->> 0)::UUID, (r ->> 1)::UUID, (r ->> 2)::BIGINT, r ->> 3 \
     FROM jsonb_array_elements($1::JSONB) AS rows(r) ORDER BY 1";
/// Balances move by what is posted now, not by what was posted before.
const POSTINGS: &str = "WITH posted AS (INSERT INTO postings (key, debit, credit, amount, at) \
         SELECT r ->> 0, (r ->> 1)::BIGINT, (r ->> 2)::BIGINT, (r ->> 3)::BIGINT, (r ->> 4)::BIGINT \
         FROM jsonb_array_elements($1::JSONB) AS rows(r) ORDER BY 1 \
         ON CONFLICT DO NOTHING RETURNING debit, credit, amount), \
     moved AS (SELECT account, sum(amount)::BIGINT AS amount FROM ( \
         SELECT debit AS account, -amount AS amount FROM posted \
         UNION ALL SELECT credit, amount FROM posted) AS moves \
         WHERE account >= 0 GROUP BY account ORDER BY account) \
     INSERT INTO balances (account, amount) SELECT account, amount FROM moved \
     ON CONFLICT (account) DO UPDATE SET amount = balances.amount + excluded.amount";
const DROPS: &str = "WITH gone AS MATERIALIZED ( \
         SELECT r::UUID AS id FROM jsonb_array_elements_text($1::JSONB) AS rows(r)), \
     no_attempts AS (DELETE FROM attempts WHERE request IN (SELECT id FROM gone)), \
     no_outcomes AS (DELETE FROM outcomes WHERE request IN (SELECT id FROM gone)) \
     DELETE FROM requests WHERE id IN (SELECT id FROM gone)";

/// In the order in which they are run.
pub(super) const STATEMENTS: &[&str] = &[
    BATCH,
    ENDINGS,
    ATTEMPTS,
    LEASES,
    USERS,
    USER_COUNTS,
    WORKERS,
    WORKER_COUNTS,
    REQUESTS,
    REQUEST_CHANGES,
    OUTCOMES,
    POSTINGS,
    DROPS,
];

/// A statement, and its rows.
struct Step {
    statement: &'static str,
    rows: String,
    /// How many rows it must change; `None`: however many.
    must_change: Option<u64>,
}

/// Writes batches.
pub(super) struct Writer {
    pool: PgPool,
    /// IDs of batches that may be written, by their digest.
    uncertain: Mutex<HashMap<[u8; 32], Uuid>>,
}

impl Writer {
    pub fn over(pool: PgPool) -> Self {
        Self { pool, uncertain: Mutex::default() }
    }

    /// Puts a batch on disk in one transaction, trying again for a while.
    ///
    /// # Errors
    /// After one that passes, the same batch may be handed in again: it is written once.
    pub async fn commit(&self, batch: &[Record]) -> Result<(), Trouble> {
        let steps = steps(batch)?;
        let earlier = {
            let mut uncertain = self.uncertain.lock();
            (!uncertain.is_empty()).then(|| uncertain.remove(&digest(batch))).flatten()
        };
        let mut may_be_written = earlier.is_some();
        let id = earlier.unwrap_or_else(Uuid::now_v7);
        let deadline = Instant::now() + PATIENCE;
        let mut pause = Duration::from_millis(10);
        loop {
            let trouble = match within(ANSWER, self.write(id, &steps)).await {
                Ok(()) => return Ok(()),
                Err(trouble) => trouble,
            };
            may_be_written |= trouble.is_uncertain();
            if !trouble.is_passing() || Instant::now() + pause > deadline {
                if may_be_written {
                    self.remember(batch, id);
                }
                return Err(trouble);
            }
            tracing::debug!(%trouble, "a batch is tried again");
            // Not in step with the broker that was in the way.
            tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.5))).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    fn remember(&self, batch: &[Record], id: Uuid) {
        let mut uncertain = self.uncertain.lock();
        if uncertain.len() < MAX_UNCERTAIN {
            uncertain.insert(digest(batch), id);
        }
    }

    async fn write(&self, id: Uuid, steps: &[Step]) -> Result<(), Trouble> {
        let mut session = Session::of(&self.pool).await?;
        write(&mut session, id, steps).await?;
        session.release();
        Ok(())
    }
}

async fn write(connection: &mut PgConnection, id: Uuid, steps: &[Step]) -> Result<(), Trouble> {
    let mut tx = connection.begin().await?;
    // Waits for an earlier try that the server is still busy with.
    let is_new = sqlx::query(BATCH).bind(id).execute(&mut *tx).await?.rows_affected() == 1;
    if !is_new {
        tx.rollback().await?;
        return Ok(());
    }
    for step in steps {
        let done = sqlx::query(step.statement).bind(&step.rows).execute(&mut *tx).await?;
        // The engine ends only what is open; were it wrong, the whole batch must not happen.
        if step.must_change.is_some_and(|count| count != done.rows_affected()) {
            return Err(Trouble::Wrong("an attempt was ended that is not open in the records".into()));
        }
    }
    tx.commit().await?;
    Ok(())
}

fn steps(batch: &[Record]) -> Result<Vec<Step>, Failure> {
    let rows = Rows::of(batch.iter())?;
    // Endings first: a job has room for its next attempt once the last one has ended.
    let tables = [
        (ENDINGS, &rows.endings),
        (ATTEMPTS, &rows.attempts),
        (LEASES, &rows.leases),
        (USERS, &rows.users),
        (USER_COUNTS, &rows.user_counts),
        (WORKERS, &rows.workers),
        (WORKER_COUNTS, &rows.worker_counts),
        (REQUESTS, &rows.requests),
        (REQUEST_CHANGES, &rows.request_changes),
        (OUTCOMES, &rows.outcomes),
        (POSTINGS, &rows.postings),
        (DROPS, &rows.drops),
    ];
    let steps = tables.into_iter().filter(|(_, rows)| !rows.is_empty()).map(|(statement, rows)| {
        let must_change = (statement == ENDINGS).then_some(rows.len() as u64);
        Ok(Step { statement, rows: without_nul(text(rows)?), must_change })
    });
    steps.collect()
}

/// What a batch amounts to, so that it is known when it comes again.
fn digest(batch: &[Record]) -> [u8; 32] {
    Sha256::digest(format!("{batch:?}")).into()
}

/// JSON with U+FFFD for NUL, which texts of PostgreSQL cannot hold. JSON inside of a text, where the
/// escape is itself escaped, stays as it is.
fn without_nul(json: String) -> String {
    const NUL: &str = "\\u0000";
    if !json.contains(NUL) {
        return json;
    }
    let mut clean = String::with_capacity(json.len());
    let mut rest = json.as_str();
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        clean.push_str(before);
        let is_nul = escape.starts_with(NUL);
        // The character after a backslash is an ASCII one.
        let length = if is_nul { NUL.len() } else { 2 };
        clean.push_str(if is_nul { "\\ufffd" } else { &escape[..length] });
        rest = &escape[length..];
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn nul_is_replaced_in_texts_and_kept_in_json_within_texts() {
        for (sent, stored) in [
            (json!(["a\0b"]), json!(["a\u{fffd}b"])),
            (json!(["\\u0000"]), json!(["\\u0000"])),
            (json!(["\\\0", "\0\0"]), json!(["\\\u{fffd}", "\u{fffd}\u{fffd}"])),
            (json!([json!({"prompt": "x\0\u{1}\"\\"}).to_string()]), Value::Null),
            (json!(["plain", 1]), Value::Null),
        ] {
            let clean: Value = serde_json::from_str(&without_nul(sent.to_string())).unwrap();
            assert_eq!(clean, if stored.is_null() { sent } else { stored });
        }
    }
}
