//! Statements about what was made.

use serde_json::Value;

use super::Condition;
use crate::backend::rows::Rows;

/// All brokers count the same models at the same time: each connection has a row of its own, more or less, so
/// that they seldom wait for each other's commits.
const STATS: &str = "INSERT INTO stats (seconds, start, kind, model, shard, jobs, things) \
     SELECT 10, (r ->> 0)::BIGINT, r ->> 1, r ->> 2, (pg_backend_pid() % 16)::BIGINT, (r ->> 3)::BIGINT, \
         (r ->> 4)::BIGINT FROM jsonb_array_elements($1::JSONB) AS rows(r) ORDER BY 2, 3, 4 \
     ON CONFLICT (seconds, start, kind, model, shard) DO UPDATE \
     SET jobs = stats.jobs + excluded.jobs, things = stats.things + excluded.things";

pub(in crate::backend::distributed::commit) const STATEMENTS: &[&str] = &[STATS];

/// The statement that counts, with its rows.
pub(super) fn steps(rows: &Rows) -> [(&'static str, &Vec<Value>, Condition); 1] {
    [(STATS, &rows.counts, Condition::None)]
}
