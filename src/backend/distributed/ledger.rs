//! The books in PostgreSQL. What is read in several statements is read as of one instant.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::{Connection, PgConnection, PgPool};
use uuid::Uuid;

use super::{
    PgRecords,
    connect::ANSWER,
    session::Session,
    trouble::{Trouble, again},
};
use crate::{
    backend::{
        Failure, Ledger,
        cells::{self, Cells},
        ledger::{BOOK_RULES, BookRule, HOLDINGS, SIZES, finding},
    },
    domain::{
        Kudos, Timestamp, UserId,
        ledger::{Audit, Holdings},
        transfer::Past,
    },
};

/// For all of the books.
const AUDIT: Duration = Duration::from_secs(300);

const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
const PATIENTLY: &str = "SELECT set_config('statement_timeout', '300s', true)";
const EARLIER: &str = "SELECT * FROM transfers WHERE id = $1";
const RETURNED: &str = "SELECT max(at) AS at FROM transfers WHERE sender = $1 AND receiver = $2";
/// The system's accounts have no rows: what they hold is what was posted to them.
const SUM: &str = "SELECT ((SELECT coalesce(sum(amount), 0) FROM balances) \
     + (SELECT coalesce(sum(amount), 0) FROM system_balances))::BIGINT AS total";

pub(super) const STATEMENTS: &[&str] = &[EARLIER, RETURNED, SUM, HOLDINGS, SIZES];

/// Those of the rules that both keepers have.
pub(super) fn audit_statements() -> impl Iterator<Item = &'static str> {
    BOOK_RULES.iter().map(|rule| rule.query)
}

#[async_trait]
impl Ledger for PgRecords {
    async fn past(&self, id: Uuid, sender: UserId, receiver: UserId) -> Result<Past, Failure> {
        Ok(again(ANSWER, || past(self.pool(), id, sender, receiver)).await?)
    }

    async fn audit(&self) -> Result<Audit, Failure> {
        Ok(again(AUDIT, || audit(self.pool())).await?)
    }

    async fn holdings(&self) -> Result<Holdings, Failure> {
        Ok(again(ANSWER, || holdings(self.pool())).await?)
    }
}

async fn past(pool: &PgPool, id: Uuid, sender: UserId, receiver: UserId) -> Result<Past, Trouble> {
    let mut session = Session::of(pool).await?;
    let earlier = sqlx::query(EARLIER).bind(id).fetch_optional(&mut *session).await?;
    let returned = sqlx::query(RETURNED).bind(receiver.0).bind(sender.0).fetch_one(&mut *session).await?;
    session.release();
    Ok(Past {
        earlier: earlier.as_ref().map(cells::transfer).transpose()?,
        returned_at: returned.number("at")?.map(Timestamp),
    })
}

async fn holdings(pool: &PgPool) -> Result<Holdings, Trouble> {
    let mut session = Session::of(pool).await?;
    let row = sqlx::query(HOLDINGS).fetch_one(&mut *session).await?;
    session.release();
    Ok(cells::holdings(&row)?)
}

async fn audit(pool: &PgPool) -> Result<Audit, Trouble> {
    let mut session = Session::of(pool).await?;
    let mut snapshot = session.begin_with(BEGIN).await?;
    let audit = read(&mut snapshot).await?;
    snapshot.commit().await?;
    session.release();
    Ok(audit)
}

async fn read(snapshot: &mut PgConnection) -> Result<Audit, Trouble> {
    sqlx::query(PATIENTLY).execute(&mut *snapshot).await?;
    let mut audit = cells::sizes(&sqlx::query(SIZES).fetch_one(&mut *snapshot).await?)?;
    audit.sum = Kudos(sqlx::query_scalar(SUM).fetch_one(&mut *snapshot).await?);
    for BookRule { rule, query } in BOOK_RULES {
        let row = sqlx::query(*query).fetch_one(&mut *snapshot).await?;
        let found = row.number("found")?.unwrap_or(0);
        audit.findings.extend(finding(rule, found, row.text("example")?));
    }
    audit.judge_sum();
    Ok(audit)
}
