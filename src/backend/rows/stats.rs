//! Rows of what was made.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::domain::stats::Counted;

/// What was made, by when its span began, kind and model: jobs, and what they amount to.
#[derive(Default)]
pub(super) struct Counts(BTreeMap<(i64, &'static str, String), (i64, i64)>);

impl Counts {
    pub fn add(&mut self, counted: &Counted) {
        // As PostgreSQL has it.
        let model = counted.model.replace('\0', "\u{fffd}");
        let (jobs, things) = self.0.entry((counted.start().0, counted.kind.word(), model)).or_default();
        *jobs += 1;
        *things = things.saturating_add(counted.things);
    }

    /// `[start, kind, model, jobs, things]`
    pub fn rows(self) -> Vec<Value> {
        let row = |((start, kind, model), (jobs, things))| json!([start, kind, model, jobs, things]);
        self.0.into_iter().map(row).collect()
    }
}
