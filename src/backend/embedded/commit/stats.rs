//! Statements about what was made.

use super::{Meaning, Step};
use crate::backend::rows::Rows;

const STATS: &str = "INSERT INTO stats (seconds, start, kind, model, shard, jobs, things) \
     SELECT 10, value ->> 0, value ->> 1, value ->> 2, 0, value ->> 3, value ->> 4 FROM json_each($1) WHERE true \
     ON CONFLICT (seconds, start, kind, model, shard) DO UPDATE \
     SET jobs = jobs + excluded.jobs, things = things + excluded.things";

pub(in crate::backend::embedded) const STATEMENTS: &[&str] = &[STATS];

/// The statement that counts.
pub(super) fn steps(rows: &Rows) -> [Step<'_>; 1] {
    [(STATS, &rows.counts, Meaning::Wrong)]
}
