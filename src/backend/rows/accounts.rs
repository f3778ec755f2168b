//! Rows of what is said of accounts.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{hex, text};
use crate::{
    backend::Failure,
    domain::{
        UserId,
        account::{About, Amendment},
        user::{Role, User},
    },
};

/// `[id, alias, key_hash, roles, concurrency, worker_invites, created_at, identity, contact, admin_comment,
/// public_workers, usage_multiplier, proxy_passkey, active_at]`
pub(super) fn user_row(user: &User) -> Result<Value, Failure> {
    let About {
        identity,
        contact,
        admin_comment,
        public_workers,
        usage_multiplier,
        proxy_passkey,
        active_at,
    } = &user.about;
    Ok(json!([
        user.id,
        user.alias,
        hex(&user.key.0),
        text(&user.roles)?,
        user.concurrency,
        user.worker_invites,
        user.created_at,
        identity.text(user.id),
        contact,
        admin_comment,
        u8::from(*public_workers),
        usage_multiplier,
        proxy_passkey,
        active_at
    ]))
}

/// Changes of accounts, while they are summed up.
#[derive(Default)]
pub(super) struct Amendments(BTreeMap<UserId, Amendment>);

impl Amendments {
    pub fn add(&mut self, user: UserId, amendment: &Amendment) {
        self.0.entry(user).or_default().then(amendment);
    }

    pub fn changes_key(&self, user: UserId) -> bool {
        self.0.get(&user).is_some_and(|amendment| amendment.key.is_some())
    }

    /// See [`Rows::amendments`](super::Rows::amendments).
    pub fn rows(&self) -> Vec<Value> {
        self.0.iter().map(|(id, amendment)| row(*id, amendment)).collect()
    }

    /// See [`Rows::lenders`](super::Rows::lenders).
    pub fn lenders(&self) -> Vec<Value> {
        self.0
            .iter()
            .filter(|(_, amendment)| amendment.drops_shared_keys)
            .map(|(id, _)| json!([id]))
            .collect()
    }
}

fn row(id: UserId, amendment: &Amendment) -> Value {
    let roles = |wanted: bool| -> Vec<&str> {
        let roles = amendment.roles.iter().filter(|(_, has)| **has == wanted);
        roles.map(|(role, _)| Role::word(*role)).collect()
    };
    json!([
        id,
        amendment.alias,
        amendment.key.map(|key| hex(&key.0)),
        amendment.identity.as_ref().and_then(|identity| identity.text(id)),
        amendment.contact,
        amendment.admin_comment,
        amendment.public_workers.map(u8::from),
        amendment.usage_multiplier,
        amendment.proxy_passkey,
        amendment.concurrency,
        amendment.worker_invites,
        roles(true),
        roles(false),
        u8::from(amendment.clears_suspicion),
        amendment.active_at,
        amendment.replaces.map(|key| hex(&key.0))
    ])
}
