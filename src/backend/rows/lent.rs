//! Rows of keys that accounts lend.

use serde_json::{Value, json};

use super::{Rows, Sums, hex, signed};
use crate::domain::{
    SharedKeyId,
    record::Record,
    shared_key::{KeyChange, SharedKey},
};

impl Rows {
    /// Adds what a record says of a key; whether it could be summed up: a budget that is set anew and what
    /// is spent of it have an order.
    pub(super) fn add_shared_key(&mut self, record: &Record, sums: &mut Sums) -> bool {
        match record {
            Record::SharedKeyMade { key, limit } => {
                if let Some(limit) = limit {
                    // Rows of accounts are locked in one go.
                    sums.users.entry(key.owner).or_default();
                    let most = signed(*limit);
                    let lowest = self.key_limits.entry(key.owner).or_insert(most);
                    *lowest = most.min(*lowest);
                }
                self.shared_keys.push(row(key));
            }
            Record::SharedKeyChanged { key, owner, change } => {
                sums.users.entry(*owner).or_default();
                if sums.keys.contains_key(key) || sums.filled.contains(key) {
                    return false;
                }
                sums.key_changes.entry(*key).or_default().then(change);
            }
            Record::SharedKeyDropped { key, .. } => self.key_drops.push(json!([key])),
            Record::KeyHeld { request, key, owner, amount } => {
                sums.users.entry(*owner).or_default();
                *self.reserved.entry(*key).or_default() += *amount;
                self.key_holds.push(json!([request, key, amount]));
            }
            Record::SharedKeyUsed { key, request, amount, .. } => {
                if sums.key_changes.contains_key(key) || sums.filled.contains(key) {
                    return false;
                }
                *sums.spent.entry(*request).or_default() += *amount;
                *sums.keys.entry(*key).or_default() += *amount;
            }
            Record::SharedKeyFilled { key, owner, amount } => {
                sums.users.entry(*owner).or_default();
                let is_said = sums.keys.contains_key(key) || sums.key_changes.contains_key(key);
                if is_said || !sums.filled.insert(*key) {
                    return false;
                }
                self.key_fills.push(json!([key, amount]));
            }
            _ => {}
        }
        true
    }
}

fn row(key: &SharedKey) -> Value {
    json!([
        key.id,
        hex(&key.hash().0),
        key.owner,
        key.name,
        key.budget,
        key.expires_at,
        key.max_image_pixels,
        key.max_image_steps,
        key.max_text_tokens,
        key.created_at
    ])
}

pub(super) fn change_row(id: SharedKeyId, change: &KeyChange) -> Value {
    let has = |is_some: bool| u8::from(is_some);
    json!([
        id,
        change.name,
        has(change.budget.is_some()),
        change.budget.flatten(),
        has(change.expires_at.is_some()),
        change.expires_at.flatten(),
        has(change.max_image_pixels.is_some()),
        change.max_image_pixels.flatten(),
        has(change.max_image_steps.is_some()),
        change.max_image_steps.flatten(),
        has(change.max_text_tokens.is_some()),
        change.max_text_tokens.flatten()
    ])
}
