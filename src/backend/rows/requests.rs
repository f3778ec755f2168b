//! Rows of what becomes of requests.

use serde_json::{Value, json};

use crate::domain::{Kudos, RequestId, Timestamp};

/// What changes of one request amount to.
#[derive(Default)]
pub(super) struct RequestChange {
    pub open: i64,
    /// Attempts that open, whether or not they end as well.
    pub opens: bool,
    pub settled: i64,
    pub expires_at: Timestamp,
    pub cancelled: bool,
    pub faulted: bool,
    pub spent: Kudos,
}

pub(super) fn request_change(id: RequestId, change: &RequestChange) -> Value {
    json!([
        id,
        change.open,
        change.settled,
        change.expires_at,
        u8::from(change.cancelled),
        u8::from(change.faulted),
        change.spent,
        u8::from(change.opens)
    ])
}
