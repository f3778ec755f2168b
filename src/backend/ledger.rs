//! The books: what happened before, and whether all adds up.

use async_trait::async_trait;
use uuid::Uuid;

use super::Failure;
use crate::domain::{
    UserId,
    ledger::{Audit, Finding, Holdings},
    transfer::Past,
};

/// The part of [`Records`](super::Records) that is about kudos alone.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// What a transfer between two accounts depends on.
    async fn past(&self, id: Uuid, sender: UserId, receiver: UserId) -> Result<Past, Failure>;
    /// Checks the books, as of one instant. Reads all of them.
    async fn audit(&self) -> Result<Audit, Failure>;
    /// What accounts hold. Reads balances and holds, and not the postings.
    async fn holdings(&self) -> Result<Holdings, Failure>;
}

/// A rule of the books, and a query for lines about what breaks it, in SQL that both keepers understand.
pub(super) struct BookRule {
    /// In words.
    pub rule: &'static str,
    /// How often it is broken, and one of the lines.
    pub query: &'static str,
}

macro_rules! book_rule {
    ($rule:literal, $lines:literal) => {
        BookRule {
            rule: $rule,
            query: concat!(
                "SELECT CAST(count(*) AS BIGINT) AS found, min(line) AS example FROM (",
                $lines,
                ") AS lines"
            ),
        }
    };
}

/// What must be so of the books. The system's accounts, which one keeper keeps and the other adds up, have
/// a rule at each keeper's.
pub(super) const BOOK_RULES: &[BookRule] = &[
    book_rule!(
        "a balance is the sum of its postings",
        "SELECT 'account ' || account || ' has ' || CAST(sum(kept) AS BIGINT) || ', its postings amount to ' || \
             CAST(sum(posted) AS BIGINT) AS line FROM ( \
             SELECT account, amount AS kept, 0 AS posted FROM balances WHERE account >= 0 \
             UNION ALL SELECT debit, 0, -amount FROM postings WHERE debit >= 0 \
             UNION ALL SELECT credit, 0, amount FROM postings WHERE credit >= 0) AS moves \
         GROUP BY account HAVING sum(kept) <> sum(posted)"
    ),
    book_rule!(
        "a posting counts once",
        "SELECT 'posting ' || key || ' is there ' || count(*) || ' times' AS line FROM postings \
         GROUP BY key HAVING count(*) > 1"
    ),
    book_rule!(
        "what is put aside is never less than nothing",
        "SELECT 'account ' || account || ' has ' || amount AS line FROM balances \
         WHERE account >= 1099511627776 AND amount < 0"
    ),
    book_rule!(
        "kudos are set aside for requests that there are",
        "SELECT 'request ' || request || ' has ' || amount AS line FROM holds \
         WHERE amount <= 0 OR NOT EXISTS (SELECT 1 FROM requests WHERE requests.id = request)"
    ),
    book_rule!(
        "a job is settled once",
        "SELECT 'job ' || job || ' of request ' || request || ' is settled ' || count(*) || ' times' AS line \
         FROM attempts WHERE state = 'settled' GROUP BY request, job HAVING count(*) > 1"
    ),
    book_rule!(
        "what is settled has its result, and the other way round",
        "SELECT 'attempt ' || id || ' is settled and has no result' AS line FROM attempts \
         WHERE state = 'settled' AND NOT EXISTS (SELECT 1 FROM outcomes WHERE attempt = attempts.id) \
         UNION ALL SELECT 'attempt ' || attempt || ' has a result and is not settled' FROM outcomes \
         WHERE NOT EXISTS (SELECT 1 FROM attempts WHERE id = attempt AND state = 'settled')"
    ),
    book_rule!(
        "a request counts what is settled of it",
        "SELECT 'request ' || id || ' counts ' || settled || ', has ' || coalesce(counted, 0) AS line FROM requests \
         LEFT JOIN (SELECT request, count(*) AS counted FROM attempts WHERE state = 'settled' GROUP BY request) \
             AS done ON request = id \
         WHERE settled <> coalesce(counted, 0)"
    ),
    book_rule!(
        "an account's kudos by source are its balance, less what it was forgiven",
        "SELECT 'account ' || id || ' counts ' || counted || ' and was forgiven ' || forgiven || ', has ' || has AS line \
         FROM (SELECT id, accumulated + granted + gifted + donated + received + recurring + awarded + styled AS counted, \
                 CAST(coalesce(lifted.amount, 0) AS BIGINT) AS forgiven, coalesce(balances.amount, 0) AS has \
             FROM users LEFT JOIN balances ON account = id \
             LEFT JOIN (SELECT credit, sum(amount) AS amount FROM postings WHERE debit = -4 GROUP BY credit) AS lifted \
                 ON credit = id) AS figures \
         WHERE counted + forgiven <> has"
    ),
    book_rule!(
        "a transfer is posted as it is",
        "SELECT 'transfer ' || id || ' of ' || transfers.amount || ' is not posted so' AS line FROM transfers \
         LEFT JOIN postings ON key = 'transfer:' || id AND debit = sender AND credit = receiver \
         WHERE postings.amount IS NULL OR postings.amount <> transfers.amount"
    ),
];

/// How much there is.
pub(super) const SIZES: &str = "SELECT CAST((SELECT count(*) FROM users) AS BIGINT) AS users, \
     CAST((SELECT count(*) FROM postings) AS BIGINT) AS postings, \
     CAST((SELECT count(*) FROM outcomes) AS BIGINT) AS settlements, \
     CAST((SELECT count(*) FROM holds) AS BIGINT) AS holds";

/// What accounts hold; of what is set aside for a request, what it has cost by now is spent.
pub(super) const HOLDINGS: &str = "SELECT \
     CAST((SELECT coalesce(sum(amount), 0) FROM balances WHERE account >= 0 AND account < 1099511627776) AS BIGINT) AS balances, \
     CAST((SELECT coalesce(sum(amount), 0) FROM balances WHERE account >= 1099511627776) AS BIGINT) AS escrows, \
     CAST((SELECT coalesce(sum(CASE WHEN holds.amount > consumed THEN holds.amount - consumed ELSE 0 END), 0) FROM holds \
         JOIN requests ON requests.id = request WHERE NOT done) AS BIGINT) AS held";

/// What a rule found, if anything.
pub(super) fn finding(rule: &'static str, count: i64, example: Option<&str>) -> Option<Finding> {
    (count > 0).then(|| Finding { rule, count, example: example.unwrap_or_default().to_owned() })
}
