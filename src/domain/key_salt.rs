//! Keys that came with their accounts from another server, which hashed them with a salt.

use sha2::{Digest, Sha256};

use super::user::KeyHash;

/// What another server put before each key that it hashed. Prints as `***`.
///
/// Source: the stored key of the v2 contract: SHA-256 of the salt with the key right behind it.
#[derive(Clone, PartialEq, Eq)]
pub struct KeySalt(String);

impl KeySalt {
    /// Takes a salt. An empty one hashes as keys are hashed here.
    pub fn new(salt: impl Into<String>) -> Self {
        Self(salt.into())
    }

    /// Hashes a key as the other server did.
    pub fn hash(&self, key: &[u8]) -> KeyHash {
        KeyHash(Sha256::new().chain_update(self.0.as_bytes()).chain_update(key).finalize().into())
    }
}

impl std::fmt::Debug for KeySalt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_salted_key_is_hashed_as_one_text() {
        let (salt, key) = (KeySalt::new("salt, "), b"a key".as_slice());
        assert_eq!(salt.hash(key), KeyHash::of("salt, a key"));
        assert_ne!(salt.hash(key), KeyHash::of("a key"));
        assert_eq!(KeySalt::new("").hash(key), KeyHash::of("a key"), "no salt is none");
        assert_eq!(format!("{salt:?}"), "***");
    }
}
