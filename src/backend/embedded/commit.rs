//! A batch of records as few statements: one for each table and kind of change, each over a JSON
//! array of rows. Row by row costs three times as much.
//!
//! Rows are made before they are changed, and dropped last, so that a batch may hold a whole life.
//! Of changes that set a state, the last one of the batch is the one that is written.

use std::collections::HashMap;

use serde_json::{Value, json};
use sqlx::{Connection, SqliteConnection};

use crate::{
    backend::Failure,
    domain::{record::Record, user::User, worker::Worker},
};

const USERS: &str = "INSERT INTO users SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, \
     value ->> 5, value ->> 6, value ->> 7 FROM json_each($1)";
const USER_STATS: &str =
    "UPDATE users SET stats_json = value ->> 1 FROM json_each($1) WHERE users.id = value ->> 0";
const WORKERS: &str = "INSERT INTO workers SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, \
     value ->> 5, value ->> 6, value ->> 7 FROM json_each($1) WHERE true \
     ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at, profile_json = excluded.profile_json, \
     maintenance = excluded.maintenance, stats_json = excluded.stats_json";
const WORKER_STATS: &str =
    "UPDATE workers SET stats_json = value ->> 1 FROM json_each($1) WHERE workers.id = value ->> 0";
const REQUESTS: &str = "INSERT INTO requests (id, owner, created_at, priority, spec_json, expires_at) \
     SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5 FROM json_each($1)";
const REQUEST_STATES: &str = "UPDATE requests SET expires_at = value ->> 1, cancelled = value ->> 2, \
     faulted = value ->> 3, done = value ->> 4, consumed = value ->> 5 FROM json_each($1) WHERE requests.id = value ->> 0";
const ATTEMPTS: &str = "INSERT INTO attempts (id, request, job, number, worker, model, seed, held, granted_at, \
     expires_at) SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, \
     value ->> 7, value ->> 8, value ->> 9 FROM json_each($1)";
const LEASES: &str =
    "UPDATE attempts SET expires_at = value ->> 1 FROM json_each($1) WHERE attempts.id = value ->> 0";
const ATTEMPT_STATES: &str = "UPDATE attempts SET state = value ->> 1 FROM json_each($1) WHERE attempts.id = value ->> 0 AND state = 'open'";
const OUTCOMES: &str =
    "INSERT INTO outcomes SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each($1)";
const BALANCES: &str = "INSERT INTO balances SELECT account, sum(amount) FROM ( \
       SELECT value ->> 1 AS account, -(value ->> 3) AS amount FROM json_each($1) \
         WHERE NOT EXISTS (SELECT 1 FROM postings WHERE key = value ->> 0) \
       UNION ALL \
       SELECT value ->> 2, value ->> 3 FROM json_each($1) \
         WHERE NOT EXISTS (SELECT 1 FROM postings WHERE key = value ->> 0)) \
     WHERE true GROUP BY account ON CONFLICT (account) DO UPDATE SET amount = amount + excluded.amount";
const POSTINGS: &str = "INSERT INTO postings SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 \
     FROM json_each($1) WHERE true ON CONFLICT DO NOTHING";
const DROP_OUTCOMES: &str = "DELETE FROM outcomes WHERE request IN (SELECT value FROM json_each($1))";
const DROP_ATTEMPTS: &str = "DELETE FROM attempts WHERE request IN (SELECT value FROM json_each($1))";
const DROP_REQUESTS: &str = "DELETE FROM requests WHERE id IN (SELECT value FROM json_each($1))";

/// Rows to be written, by statement.
#[derive(Default)]
struct Rows {
    users: Vec<Value>,
    user_stats: Latest,
    workers: Latest,
    worker_stats: Latest,
    requests: Vec<Value>,
    request_states: Latest,
    attempts: Vec<Value>,
    leases: Latest,
    /// Attempts that end, with the word of their state; each ends once.
    endings: Vec<Value>,
    outcomes: Vec<Value>,
    postings: Vec<Value>,
    drops: Vec<Value>,
}

/// Rows of which the last one for each key counts.
#[derive(Default)]
struct Latest {
    places: HashMap<String, usize>,
    rows: Vec<Value>,
}

impl Latest {
    fn set(&mut self, key: String, row: Value) {
        match self.places.get(&key) {
            Some(place) => self.rows[*place] = row,
            None => {
                self.places.insert(key, self.rows.len());
                self.rows.push(row);
            }
        }
    }

    fn forget(&mut self, key: &str) {
        let Some(place) = self.places.remove(key) else { return };
        self.rows.swap_remove(place);
        if let Some(moved) = self.places.values_mut().find(|other| **other == self.rows.len()) {
            *moved = place;
        }
    }
}

/// Bytes as lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn text<T: serde::Serialize>(value: &T) -> Result<String, Failure> {
    Ok(serde_json::to_string(value)?)
}

fn user_row(user: &User) -> Result<Value, Failure> {
    Ok(json!([
        user.id,
        user.alias,
        hex(&user.key.0),
        text(&user.roles)?,
        user.concurrency,
        user.worker_invites,
        user.created_at,
        text(&user.stats)?
    ]))
}

fn worker_row(worker: &Worker) -> Result<Value, Failure> {
    Ok(json!([
        worker.id,
        worker.name,
        worker.owner,
        worker.created_at,
        worker.seen_at,
        text(&worker.profile)?,
        worker.maintenance,
        text(&worker.stats)?
    ]))
}

fn sort(batch: &[Record]) -> Result<Rows, Failure> {
    let mut rows = Rows::default();
    for record in batch {
        match record {
            Record::UserMade(user) => rows.users.push(user_row(user)?),
            Record::UserCounted { user, stats } => {
                rows.user_stats.set(user.to_string(), json!([user, text(stats)?]));
            }
            Record::WorkerSaid(worker) => {
                // Its row is written before the figures are: older ones must not come after it.
                rows.worker_stats.forget(&worker.id.to_string());
                rows.workers.set(worker.id.to_string(), worker_row(worker)?);
            }
            Record::RequestAccepted { request, expires_at } => rows.requests.push(json!([
                request.id,
                request.owner,
                request.created_at,
                request.priority,
                text(&request.spec)?,
                expires_at
            ])),
            Record::RequestMoved { request, expires_at, cancelled, faulted, done, consumed } => {
                let row = json!([
                    request,
                    expires_at,
                    u8::from(*cancelled),
                    u8::from(*faulted),
                    u8::from(*done),
                    consumed
                ]);
                rows.request_states.set(request.to_string(), row);
            }
            Record::AttemptOpened { request, attempt } => rows.attempts.push(json!([
                attempt.id,
                request,
                attempt.job,
                attempt.number,
                attempt.worker,
                attempt.model,
                attempt.seed,
                attempt.held,
                attempt.granted_at,
                attempt.expires_at
            ])),
            Record::LeaseMoved { attempt, expires_at } => {
                rows.leases.set(attempt.to_string(), json!([attempt, expires_at]));
            }
            Record::AttemptClosed { attempt, how, worker } => {
                rows.endings.push(json!([attempt, how.word()]));
                if let Some((id, stats)) = worker {
                    rows.worker_stats.set(id.to_string(), json!([id, text(stats)?]));
                }
            }
            Record::Settled { request, outcome, stats } => {
                rows.endings.push(json!([outcome.attempt, "settled"]));
                rows.outcomes.push(json!([outcome.attempt, request, outcome.reward, text(outcome)?]));
                rows.worker_stats.set(outcome.worker.to_string(), json!([outcome.worker, text(stats)?]));
            }
            Record::Posted(p) => rows.postings.push(json!([p.key, p.from, p.to, p.amount, p.at])),
            Record::RequestDropped(request) => rows.drops.push(json!(request)),
        }
    }
    Ok(rows)
}

/// Puts a batch on disk in one transaction.
pub(super) async fn commit(writer: &mut SqliteConnection, batch: &[Record]) -> Result<(), Failure> {
    let rows = sort(batch)?;
    let mut tx = writer.begin_with("BEGIN IMMEDIATE").await?;
    for (statement, rows) in [
        (USERS, &rows.users),
        (USER_STATS, &rows.user_stats.rows),
        (WORKERS, &rows.workers.rows),
        (WORKER_STATS, &rows.worker_stats.rows),
        (REQUESTS, &rows.requests),
        (ATTEMPTS, &rows.attempts),
        (LEASES, &rows.leases.rows),
        (OUTCOMES, &rows.outcomes),
        (REQUEST_STATES, &rows.request_states.rows),
        (BALANCES, &rows.postings),
        (POSTINGS, &rows.postings),
    ] {
        if !rows.is_empty() {
            sqlx::query(statement).bind(text(rows)?).execute(&mut *tx).await?;
        }
    }
    if !rows.endings.is_empty() {
        let ended = sqlx::query(ATTEMPT_STATES).bind(text(&rows.endings)?).execute(&mut *tx).await?;
        // The engine ends only what is open; were it wrong, the whole batch must not happen.
        if ended.rows_affected() != rows.endings.len() as u64 {
            return Err("an attempt was ended that is not open in the records".into());
        }
    }
    if !rows.drops.is_empty() {
        let drops = text(&rows.drops)?;
        for statement in [DROP_OUTCOMES, DROP_ATTEMPTS, DROP_REQUESTS] {
            sqlx::query(statement).bind(&drops).execute(&mut *tx).await?;
        }
    }
    tx.commit().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_rows_with_one_key_the_last_counts_and_forgotten_ones_are_gone() {
        let mut latest = Latest::default();
        for (key, row) in [("a", 1), ("b", 2), ("c", 3), ("b", 4)] {
            latest.set(key.into(), json!(row));
        }
        assert_eq!(latest.rows, [json!(1), json!(4), json!(3)]);
        latest.forget("a");
        latest.set("c".into(), json!(5));
        latest.set("a".into(), json!(6));
        assert_eq!(latest.rows, [json!(5), json!(4), json!(6)]);
    }
}
