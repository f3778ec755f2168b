//! Rows of filters.

use std::collections::HashSet;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::hex;
use crate::domain::filters::{Filter, FilterChange, FilterId, Pattern};

/// Rows of filters.
#[derive(Default)]
pub struct FilterRows {
    /// `[id, regex, filter_type, replacement, description, editor, version, digest]`, of new ones.
    pub added: Vec<Value>,
    /// The same, of those that say something else.
    pub edited: Vec<Value>,
    /// `[id]`
    pub dropped: Vec<Value>,
    /// Filters that changes are about.
    changed: HashSet<FilterId>,
}

impl FilterRows {
    /// Adds a change; whether it could be: a second one of the same filter rests on the first.
    pub(super) fn add(&mut self, change: &FilterChange) -> bool {
        let (id, rows, row) = match change {
            FilterChange::Added(filter) => (filter.id, &mut self.added, filter_row(filter)),
            FilterChange::Edited(filter) => (filter.id, &mut self.edited, filter_row(filter)),
            FilterChange::Dropped(id) => (*id, &mut self.dropped, json!([id])),
        };
        rows.push(row);
        self.changed.insert(id)
    }
}

fn filter_row(filter: &Filter) -> Value {
    let Filter { id, pattern, editor, version } = filter;
    let Pattern { regex, filter_type, replacement, description } = pattern;
    let digest = Sha256::digest(format!("{filter_type} {regex}"));
    json!([id, regex, filter_type, replacement, description, editor, version, hex(&digest)])
}
