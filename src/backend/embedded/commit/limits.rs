//! What accounts may have once a batch is written.

use serde_json::{Value, json};

use crate::backend::rows::Rows;

/// Limits as rows.
pub(super) struct Limits {
    /// `[owner, most]`
    pub workers: Vec<Value>,
    /// `[owner, kind, most]`
    pub jobs: Vec<Value>,
    /// `[owner, floor]`
    pub floors: Vec<Value>,
    /// `[owner, most]`, of keys.
    pub lent: Vec<Value>,
    /// `[shared_key]`
    pub keys: Vec<Value>,
}

impl Limits {
    pub fn of(rows: &Rows) -> Self {
        let jobs = rows.limits.iter().map(|((owner, kind), limit)| json!([owner, kind.word(), limit.most]));
        Self {
            workers: rows.fleets.iter().map(|(owner, limit)| json!([owner, limit.most])).collect(),
            jobs: jobs.collect(),
            lent: rows.key_limits.iter().map(|(owner, most)| json!([owner, most])).collect(),
            keys: rows.reserved.keys().map(|key| json!([key])).collect(),
            floors: rows.floors.iter().map(|(owner, floor)| json!([owner, floor])).collect(),
        }
    }
}
