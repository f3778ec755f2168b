//! Statements about filters.

use serde_json::Value;

use super::Condition;
use crate::backend::{Refusal, rows::Rows};

const DROP_FILTERS: &str = "WITH named AS MATERIALIZED (SELECT (r ->> 0)::BIGINT AS id \
         FROM jsonb_array_elements($1::JSONB) AS rows(r)) \
     DELETE FROM filters WHERE id IN (SELECT id FROM named)";
/// Only the next version counts. Two brokers wait for each other at the filter's row.
const EDIT_FILTERS: &str = "WITH change AS (SELECT (r ->> 0)::BIGINT AS id, r ->> 1 AS regex, \
         (r ->> 2)::BIGINT AS filter_type, r ->> 3 AS replacement, r ->> 4 AS description, \
         (r ->> 5)::BIGINT AS editor, (r ->> 6)::BIGINT AS version, r ->> 7 AS digest \
         FROM jsonb_array_elements($1::JSONB) AS rows(r)), \
     held AS MATERIALIZED (SELECT change.* FROM filters JOIN change USING (id) \
         ORDER BY filters.id FOR NO KEY UPDATE OF filters) \
     UPDATE filters SET regex = held.regex, filter_type = held.filter_type, replacement = held.replacement, \
         description = held.description, editor = held.editor, version = held.version, digest = held.digest \
     FROM held WHERE filters.id = held.id AND filters.version = held.version - 1";
const FILTERS: &str = "INSERT INTO filters (id, regex, filter_type, replacement, description, editor, version, digest) \
     SELECT (r ->> 0)::BIGINT, r ->> 1, (r ->> 2)::BIGINT, r ->> 3, r ->> 4, (r ->> 5)::BIGINT, (r ->> 6)::BIGINT, \
         r ->> 7 FROM jsonb_array_elements($1::JSONB) AS rows(r) ORDER BY 1";

/// In the order in which they are run.
pub(in crate::backend::distributed::commit) const STATEMENTS: &[&str] =
    &[DROP_FILTERS, EDIT_FILTERS, FILTERS];

/// Statements with their rows: what one filter makes room for, another may take.
pub(super) fn steps(rows: &Rows) -> [(&'static str, &Vec<Value>, Condition); 3] {
    let [dropped, edited] = [&rows.filters.dropped, &rows.filters.edited].map(|rows| rows.len() as u64);
    [
        (DROP_FILTERS, &rows.filters.dropped, Condition::All(dropped)),
        (EDIT_FILTERS, &rows.filters.edited, Condition::AllNew(edited, Refusal::Taken)),
        (FILTERS, &rows.filters.added, Condition::New(Refusal::Taken)),
    ]
}
