//! Rows of requests, and of kudos that move.

use serde_json::{Value, json};

use super::RequestChange;
use crate::domain::{RequestId, kudos::Posting};

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

pub(super) fn posting_row(posting: &Posting) -> Value {
    json!([posting.key, posting.from, posting.to, posting.amount, posting.at])
}
