//! Keys: whose they are, and new ones.

use std::collections::HashMap;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use rand::RngExt;

use super::Host;
use crate::domain::{
    UserId,
    key_salt::KeySalt,
    user::{KeyHash, User},
};

/// Accounts by their keys, each account under its latest one.
#[derive(Default)]
pub(super) struct Keys {
    owners: HashMap<KeyHash, UserId>,
    latest: HashMap<UserId, KeyHash>,
    /// What keys may be salted with that came from another server with their accounts.
    salts: Vec<KeySalt>,
}

impl Keys {
    /// Whose a key is.
    pub fn owner(&self, key: &KeyHash) -> Option<UserId> {
        self.owners.get(key).copied()
    }

    /// Notes the key of an account; one that it had before is nobody's.
    pub fn learn(&mut self, user: &User) {
        if let Some(before) = self.latest.insert(user.id, user.key)
            && before != user.key
            && self.owners.get(&before) == Some(&user.id)
        {
            self.owners.remove(&before);
        }
        self.owners.insert(user.key, user.id);
    }

    /// The hash that a key is known by: its own, or else a salted one that is an account's. Accounts with
    /// salted keys are all known from the start: nobody imports any while a broker runs.
    fn recognise(&self, key: &[u8]) -> KeyHash {
        let own = KeyHash::of_bytes(key);
        if self.owners.contains_key(&own) {
            return own;
        }
        let mut salted = self.salts.iter().map(|salt| salt.hash(key));
        salted.find(|hash| self.owners.contains_key(hash)).unwrap_or(own)
    }
}

impl Host {
    /// Has keys recognised that another server hashed with one of these salts.
    pub fn honour_salts(&self, salts: Vec<KeySalt>) {
        self.shared.keys.write().salts = salts;
    }

    /// The hash that a key is known by, as it was sent.
    pub fn recognise(&self, key: &[u8]) -> KeyHash {
        self.shared.keys.read().recognise(key)
    }
}

/// A key that nobody can guess: 16 random bytes as 22 URL-safe characters. It never begins with a
/// dash, so that it can follow a flag.
pub fn new_key() -> String {
    loop {
        let key = BASE64_URL_SAFE_NO_PAD.encode(rand::rng().random::<[u8; 16]>());
        if !key.starts_with('-') {
            return key;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_takes_the_place_of_the_one_before() {
        let mut keys = Keys::default();
        let user = |id, key| User { id: UserId(id), key: KeyHash::of(key), ..User::anonymous() };
        for (id, key) in [(7, "old"), (8, "other"), (7, "new"), (7, "new")] {
            keys.learn(&user(id, key));
        }
        let owner = |key| keys.owner(&KeyHash::of(key));
        assert_eq!(owner("old"), None);
        assert_eq!((owner("new"), owner("other")), (Some(UserId(7)), Some(UserId(8))));
        // Somebody else has it now.
        keys.learn(&user(9, "old"));
        keys.learn(&user(7, "newest"));
        assert_eq!(keys.owner(&KeyHash::of("old")), Some(UserId(9)));
    }

    #[test]
    fn a_salted_key_is_recognised_if_it_is_an_accounts() {
        let (first, second) = (KeySalt::new("first"), KeySalt::new("second"));
        let mut keys = Keys { salts: vec![first.clone(), second.clone()], ..Keys::default() };
        let user = |id, key| User { id: UserId(id), key, ..User::anonymous() };
        keys.learn(&user(7, KeyHash::of("new")));
        keys.learn(&user(8, first.hash(b"old")));
        keys.learn(&user(9, second.hash(b"older")));
        // Somebody else's old key is what somebody has now.
        keys.learn(&user(10, first.hash(b"new")));
        for (key, owner, rule) in [
            ("new", Some(7), "its own hash comes first"),
            ("old", Some(8), "then salted ones"),
            ("older", Some(9), "of any salt"),
            ("strange", None, "and nobody else's"),
        ] {
            assert_eq!(keys.owner(&keys.recognise(key.as_bytes())), owner.map(UserId), "{rule}");
        }
        assert_eq!(keys.recognise(b"strange"), KeyHash::of("strange"), "which the records may know");
        keys.learn(&user(8, KeyHash::of("newest")));
        assert_eq!(keys.owner(&keys.recognise(b"old")), None, "a key that was replaced is nobody's");
        keys.salts.clear();
        assert_eq!(keys.owner(&keys.recognise(b"older")), None);
    }

    #[test]
    fn keys_have_22_characters_and_differ() {
        let (one, other) = (new_key(), new_key());
        assert_eq!(one.len(), 22);
        assert_ne!(one, other);
    }
}
