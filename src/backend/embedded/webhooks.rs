//! Webhooks that are due, in SQLite: who takes them, and what becomes of them.

use std::time::Duration;

use serde_json::json;
use sqlx::SqliteConnection;

use crate::{
    backend::{Failure, WebhookEnd, cells, rows},
    domain::{Timestamp, webhook::Webhook},
};

const TAKE: &str = "UPDATE webhooks SET tries = tries + 1, due_at = $2 WHERE attempt IN ( \
         SELECT attempt FROM webhooks WHERE due_at <= $1 AND host NOT IN (SELECT value FROM json_each($4)) \
         ORDER BY due_at LIMIT $3) \
     RETURNING attempt, request, host, tries, made_at";
const AGAIN: &str = "UPDATE webhooks SET tries = value ->> 2, due_at = value ->> 3 FROM json_each($1) \
     WHERE webhooks.attempt = value ->> 0 AND webhooks.tries = value ->> 1";
const DONE: &str = "DELETE FROM webhooks WHERE attempt IN (SELECT value FROM json_each($1))";
const CROP: &str = "DELETE FROM webhooks WHERE attempt IN (SELECT attempt FROM webhooks \
     ORDER BY made_at LIMIT max(0, (SELECT count(*) FROM webhooks) - $1))";

pub(super) const STATEMENTS: &[&str] = &[TAKE, AGAIN, DONE, CROP];

pub(super) async fn take(
    writer: &mut SqliteConnection,
    now: Timestamp,
    hold: Duration,
    most: usize,
    except: &[String],
) -> Result<Vec<Webhook>, Failure> {
    let query = sqlx::query(TAKE).bind(now.0).bind(now.plus(hold).0);
    let query = query.bind(i64::try_from(most)?).bind(rows::text(except)?);
    query.fetch_all(writer).await?.iter().map(cells::webhook).collect()
}

pub(super) async fn end(
    writer: &mut SqliteConnection,
    now: Timestamp,
    ends: &[WebhookEnd],
) -> Result<(), Failure> {
    let again = ends.iter().filter_map(|end| {
        let again = end.again?;
        Some(json!([end.attempt, end.tries, again.tries, now.plus(again.wait)]))
    });
    let again: Vec<_> = again.collect();
    let done: Vec<_> = ends.iter().filter(|end| end.again.is_none()).map(|end| end.attempt).collect();
    if !again.is_empty() {
        sqlx::query(AGAIN).bind(rows::text(&again)?).execute(&mut *writer).await?;
    }
    if !done.is_empty() {
        sqlx::query(DONE).bind(rows::text(&done)?).execute(&mut *writer).await?;
    }
    Ok(())
}

pub(super) async fn crop(writer: &mut SqliteConnection, most: usize) -> Result<u64, Failure> {
    Ok(sqlx::query(CROP).bind(i64::try_from(most)?).execute(writer).await?.rows_affected())
}
