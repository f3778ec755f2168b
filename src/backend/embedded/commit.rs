//! A batch of records as few statements: one for each table and kind of change, each over a JSON
//! array of rows. Row by row costs three times as much.

use serde_json::Value;
use sqlx::{AssertSqlSafe, SqliteConnection};

use crate::{
    backend::{
        Failure,
        rows::{Rows, text},
    },
    domain::record::Record,
};

const USERS: &str = "INSERT INTO users (id, alias, key_hash, roles_json, concurrency, worker_invites, created_at) \
     SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6 \
     FROM json_each($1)";
const USER_COUNTS: &str = "UPDATE users SET \
     requested_image_jobs = requested_image_jobs + (value ->> 1), \
     requested_image_things = requested_image_things + (value ->> 2), \
     requested_text_jobs = requested_text_jobs + (value ->> 3), \
     requested_text_things = requested_text_things + (value ->> 4), \
     fulfilled_image_jobs = fulfilled_image_jobs + (value ->> 5), \
     fulfilled_image_things = fulfilled_image_things + (value ->> 6), \
     fulfilled_text_jobs = fulfilled_text_jobs + (value ->> 7), \
     fulfilled_text_things = fulfilled_text_things + (value ->> 8), \
     accumulated = accumulated + (value ->> 9), granted = granted + (value ->> 10) \
     FROM json_each($1) WHERE users.id = value ->> 0";
const WORKERS: &str = "INSERT INTO workers (id, name, owner, created_at, seen_at, profile_json, maintenance) \
     SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6 \
     FROM json_each($1) WHERE true \
     ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at, profile_json = excluded.profile_json, \
     maintenance = excluded.maintenance";
const WORKER_COUNTS: &str = "UPDATE workers SET \
     fulfilled = fulfilled + (new.value ->> 1), uncompleted = uncompleted + (new.value ->> 2), \
     things = things + (new.value ->> 3), generated = generated + (new.value ->> 4), \
     uptime_seconds = uptime_seconds + (new.value ->> 5), \
     speeds_json = (SELECT json_group_array(speed) FROM (SELECT speed FROM ( \
         SELECT key AS place, value AS speed FROM json_each(speeds_json) \
         UNION ALL SELECT 1000 + key, value FROM json_each(new.value ->> 6) \
         ORDER BY 1 DESC LIMIT 20) ORDER BY place)) \
     FROM json_each($1) AS new WHERE workers.id = new.value ->> 0";
const REQUESTS: &str = "INSERT INTO requests (id, owner, created_at, priority, spec_json, expires_at, jobs) \
     SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6 \
     FROM json_each($1)";
const REQUEST_CHANGES: &str = "UPDATE requests SET open = open + (value ->> 1), \
     settled = settled + (value ->> 2), expires_at = max(expires_at, value ->> 3), \
     cancelled = max(cancelled, value ->> 4), faulted = max(faulted, value ->> 5), \
     consumed = consumed + (value ->> 6) FROM json_each($1) WHERE requests.id = value ->> 0";
const ATTEMPTS: &str = "INSERT INTO attempts (id, request, job, number, worker, model, seed, held, granted_at, \
     expires_at, state) SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, \
     value ->> 6, value ->> 7, value ->> 8, value ->> 9, value ->> 10 FROM json_each($1)";
const LEASES: &str =
    "UPDATE attempts SET expires_at = value ->> 1 FROM json_each($1) WHERE attempts.id = value ->> 0";
const ENDINGS: &str = "UPDATE attempts SET state = value ->> 1 FROM json_each($1) \
     WHERE attempts.id = value ->> 0 AND state = 'open'";
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

/// Fails the batch if fewer attempts ended than should have: the engine ends only what is open, and
/// were it wrong, the whole batch must not happen.
const ALL_ENDED: &str = "INSERT INTO impossible SELECT 'an attempt was ended that is not open' \
     WHERE changes() <> json_array_length($1)";

/// Statements in their order, each with the rows it is given. Endings come before the attempts that
/// begin: a job has room for its next attempt once the last one has ended.
fn plan(rows: &Rows) -> [(&'static str, &[Value]); 17] {
    [
        (ENDINGS, &rows.endings),
        (ALL_ENDED, &rows.endings),
        (USERS, &rows.users),
        (USER_COUNTS, &rows.user_counts),
        (WORKERS, &rows.workers),
        (WORKER_COUNTS, &rows.worker_counts),
        (REQUESTS, &rows.requests),
        (ATTEMPTS, &rows.attempts),
        (LEASES, &rows.leases),
        (REQUEST_CHANGES, &rows.request_changes),
        (OUTCOMES, &rows.outcomes),
        (BALANCES, &rows.postings),
        (POSTINGS, &rows.postings),
        (DROP_OUTCOMES, &rows.drops),
        (DROP_ATTEMPTS, &rows.drops),
        (DROP_REQUESTS, &rows.drops),
        ("COMMIT", &[]),
    ]
}

pub(super) const STATEMENTS: &[&str] = &[
    USERS,
    USER_COUNTS,
    WORKERS,
    WORKER_COUNTS,
    REQUESTS,
    REQUEST_CHANGES,
    ATTEMPTS,
    LEASES,
    ENDINGS,
    OUTCOMES,
    BALANCES,
    POSTINGS,
    DROP_OUTCOMES,
    DROP_ATTEMPTS,
    DROP_REQUESTS,
    ALL_ENDED,
];

/// Puts a batch on disk in one transaction.
///
/// All statements go to the connection's thread as one text, so that a commit costs one wake-up of it.
pub(super) async fn commit(writer: &mut SqliteConnection, batch: &[Record]) -> Result<(), Failure> {
    let rows = Rows::of(batch.iter())?;
    let (mut sql, mut arguments) = (String::from("BEGIN IMMEDIATE"), Vec::new());
    for (statement, rows) in plan(&rows) {
        if rows.is_empty() && statement != "COMMIT" {
            continue;
        }
        sql.push_str("; ");
        if !rows.is_empty() {
            arguments.push(text(rows)?);
        }
        sql.push_str(&statement.replace("$1", &format!("${}", arguments.len())));
    }
    // The text is put together from the constants above, and from nothing else.
    let query = arguments.into_iter().fold(sqlx::query(AssertSqlSafe(sql)), |query, rows| query.bind(rows));
    if let Err(error) = query.execute(&mut *writer).await {
        // Whether the transaction is still open depends on what failed.
        let _ = sqlx::query("ROLLBACK").execute(&mut *writer).await;
        return Err(error.into());
    }
    Ok(())
}
