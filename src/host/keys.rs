//! Keys: whose they are, and new ones.

use std::collections::HashMap;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use rand::RngExt;

use crate::domain::{
    UserId,
    user::{KeyHash, User},
};

/// Accounts by their keys, each account under its latest one.
#[derive(Default)]
pub(super) struct Keys {
    owners: HashMap<KeyHash, UserId>,
    latest: HashMap<UserId, KeyHash>,
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
    fn keys_have_22_characters_and_differ() {
        let (one, other) = (new_key(), new_key());
        assert_eq!(one.len(), 22);
        assert_ne!(one, other);
    }
}
