//! Statements about filters.

use super::{Meaning, Step};
use crate::backend::{Refusal, rows::Rows};

const DROP_FILTERS: &str = "DELETE FROM filters WHERE id IN (SELECT value ->> 0 FROM json_each($1))";
/// Only the next version counts.
const EDIT_FILTERS: &str = "UPDATE filters SET regex = value ->> 1, filter_type = value ->> 2, \
     replacement = value ->> 3, description = value ->> 4, editor = value ->> 5, version = value ->> 6, \
     digest = value ->> 7 FROM json_each($1) \
     WHERE filters.id = value ->> 0 AND filters.version = (value ->> 6) - 1";
const FILTERS: &str = "INSERT INTO filters (id, regex, filter_type, replacement, description, editor, version, digest) \
     SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7 \
     FROM json_each($1)";
const ALL_CHANGED: &str = "INSERT INTO impossible SELECT 'a filter changes that is not as it was' \
     WHERE changes() <> json_array_length($1)";

pub(in crate::backend::embedded) const STATEMENTS: &[&str] =
    &[DROP_FILTERS, EDIT_FILTERS, FILTERS, ALL_CHANGED];

/// Statements in their order: what one filter makes room for, another may take.
pub(super) fn steps(rows: &Rows) -> [Step<'_>; 5] {
    const OVERTAKEN: Meaning = Meaning::Refused(Refusal::Overtaken);
    const TAKEN: Meaning = Meaning::Refused(Refusal::Taken);
    [
        (DROP_FILTERS, &rows.filters.dropped, OVERTAKEN),
        (ALL_CHANGED, &rows.filters.dropped, OVERTAKEN),
        (EDIT_FILTERS, &rows.filters.edited, TAKEN),
        (ALL_CHANGED, &rows.filters.edited, OVERTAKEN),
        (FILTERS, &rows.filters.added, TAKEN),
    ]
}
