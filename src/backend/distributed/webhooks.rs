//! Webhooks that are due, in PostgreSQL: who takes them, and what becomes of them.
//!
//! All instants are the server's, so that the brokers' clocks do not matter. Brokers that take at the same
//! time get different ones.

use std::time::Duration;

use serde_json::json;
use sqlx::PgPool;

use super::{session::Session, trouble::Trouble};
use crate::{
    backend::{Failure, WebhookEnd, cells, rows},
    domain::webhook::Webhook,
};

const TAKE: &str = "WITH due AS MATERIALIZED (SELECT attempt FROM webhooks \
         WHERE due_at <= (extract(epoch FROM now()) * 1000)::BIGINT AND host <> ALL($3) \
         ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED) \
     UPDATE webhooks SET tries = tries + 1, due_at = (extract(epoch FROM now()) * 1000)::BIGINT + $1 \
     FROM due WHERE webhooks.attempt = due.attempt \
     RETURNING webhooks.attempt, request, host, tries, made_at";
const AGAIN: &str = "WITH change AS (SELECT (r ->> 0)::UUID AS id, (r ->> 1)::BIGINT AS taken, \
         (r ->> 2)::BIGINT AS next, (r ->> 3)::BIGINT AS wait FROM jsonb_array_elements($1::JSONB) AS rows(r)), \
     held AS MATERIALIZED (SELECT change.* FROM webhooks JOIN change ON attempt = id \
         ORDER BY attempt FOR NO KEY UPDATE OF webhooks) \
     UPDATE webhooks SET tries = next, due_at = (extract(epoch FROM now()) * 1000)::BIGINT + wait \
     FROM held WHERE attempt = id AND tries = taken";
const DONE: &str = "DELETE FROM webhooks WHERE attempt = ANY($1)";
const CROP: &str = "DELETE FROM webhooks WHERE attempt IN (SELECT attempt FROM webhooks \
     ORDER BY made_at LIMIT greatest(0, (SELECT count(*) FROM webhooks) - $1) FOR UPDATE SKIP LOCKED)";

pub(super) const STATEMENTS: &[&str] = &[TAKE, AGAIN, DONE, CROP];

pub(super) async fn take(
    pool: &PgPool,
    hold: Duration,
    most: usize,
    except: &[String],
) -> Result<Vec<Webhook>, Trouble> {
    let mut session = Session::of(pool).await?;
    let query = sqlx::query(TAKE).bind(millis(hold)).bind(number(most)).bind(except);
    let taken = query.fetch_all(&mut *session).await?;
    session.release();
    Ok(taken.iter().map(cells::webhook).collect::<Result<_, Failure>>()?)
}

pub(super) async fn end(pool: &PgPool, ends: &[WebhookEnd]) -> Result<(), Trouble> {
    let again = ends.iter().filter_map(|end| {
        let again = end.again?;
        Some(json!([end.attempt, end.tries, again.tries, millis(again.wait)]))
    });
    let again: Vec<_> = again.collect();
    let done: Vec<_> = ends.iter().filter(|end| end.again.is_none()).map(|end| end.attempt.0).collect();
    let mut session = Session::of(pool).await?;
    if !again.is_empty() {
        sqlx::query(AGAIN).bind(rows::text(&again)?).execute(&mut *session).await?;
    }
    if !done.is_empty() {
        sqlx::query(DONE).bind(done).execute(&mut *session).await?;
    }
    session.release();
    Ok(())
}

pub(super) async fn crop(pool: &PgPool, most: usize) -> Result<u64, Trouble> {
    let mut session = Session::of(pool).await?;
    let cropped = sqlx::query(CROP).bind(number(most)).execute(&mut *session).await?;
    session.release();
    Ok(cropped.rows_affected())
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
