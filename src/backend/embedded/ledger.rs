//! The books in SQLite. What is read in several statements is read as of one instant.

use async_trait::async_trait;
use sqlx::{Connection, SqliteConnection};
use uuid::Uuid;

use super::SqliteRecords;
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

const EARLIER: &str = "SELECT * FROM transfers WHERE id = $1";
const RETURNED: &str = "SELECT max(at) AS at FROM transfers WHERE sender = $1 AND receiver = $2";
const SUM: &str = "SELECT coalesce(sum(amount), 0) AS total FROM balances";
/// Of the system's accounts, which are kept as the others are.
const SYSTEM: BookRule = BookRule {
    rule: "the system's accounts are the sums of their postings",
    query: "SELECT count(*) AS found, min('account ' || account) AS example FROM ( \
         SELECT account FROM (SELECT account, amount AS kept, 0 AS posted FROM balances WHERE account < 0 \
             UNION ALL SELECT debit, 0, -amount FROM postings WHERE debit < 0 \
             UNION ALL SELECT credit, 0, amount FROM postings WHERE credit < 0) \
         GROUP BY account HAVING sum(kept) <> sum(posted))",
};

pub(super) const STATEMENTS: &[&str] = &[EARLIER, RETURNED, SUM, SYSTEM.query, HOLDINGS, SIZES];

/// Those of the rules that both keepers have.
pub(super) fn audit_statements() -> impl Iterator<Item = &'static str> {
    BOOK_RULES.iter().map(|rule| rule.query)
}

#[async_trait]
impl Ledger for SqliteRecords {
    async fn past(&self, id: Uuid, sender: UserId, receiver: UserId) -> Result<Past, Failure> {
        let pool = self.readers();
        let earlier = sqlx::query(EARLIER).bind(id.to_string()).fetch_optional(pool).await?;
        let returned = sqlx::query(RETURNED).bind(receiver.0).bind(sender.0).fetch_one(pool).await?;
        Ok(Past {
            earlier: earlier.as_ref().map(cells::transfer).transpose()?,
            returned_at: returned.number("at")?.map(Timestamp),
        })
    }

    async fn audit(&self) -> Result<Audit, Failure> {
        let mut connection = self.readers().acquire().await?;
        let mut snapshot = connection.begin().await?;
        let audit = audit(&mut snapshot).await;
        snapshot.rollback().await?;
        audit
    }

    async fn holdings(&self) -> Result<Holdings, Failure> {
        cells::holdings(&sqlx::query(HOLDINGS).fetch_one(self.readers()).await?)
    }
}

async fn audit(snapshot: &mut SqliteConnection) -> Result<Audit, Failure> {
    let mut audit = cells::sizes(&sqlx::query(SIZES).fetch_one(&mut *snapshot).await?)?;
    audit.sum = Kudos(sqlx::query_scalar(SUM).fetch_one(&mut *snapshot).await?);
    for BookRule { rule, query } in BOOK_RULES.iter().chain([&SYSTEM]) {
        let row = sqlx::query(*query).fetch_one(&mut *snapshot).await?;
        let found = row.number("found")?.unwrap_or(0);
        audit.findings.extend(finding(rule, found, row.text("example")?));
    }
    audit.judge_sum();
    Ok(audit)
}
