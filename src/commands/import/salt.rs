//! Whether salts are those that keys were hashed with: of one account everybody knows the key.

use super::accounts::key_hash;
use crate::domain::{
    key_salt::KeySalt,
    user::{ANONYMOUS_KEY, KeyHash},
};

/// What the server uses if its operator says nothing.
///
/// Source: the account identity of the v2 contract.
pub const DEFAULT: &str = "s0m3s3cr3t";

/// What is known of salts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Proof {
    /// The key of the anonymous account is hashed with one of them.
    Anonymous,
    /// The key that the operator knows is.
    KnownKey,
    /// Nobody gave a salt, and the server used the one that it uses then.
    Default,
    /// None, and the operator wants it so.
    None,
}

impl Proof {
    /// As it is printed.
    pub fn word(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous key",
            Self::KnownKey => "known key",
            Self::Default => "default salt, anonymous key",
            Self::None => "none",
        }
    }
}

/// Whether keys will be found: `anonymous` is the hash of the anonymous account's key, if there is one;
/// `is_there` says whether an account has a hash.
///
/// # Errors
/// They will not, or nobody can say; and what to do.
pub fn prove(
    salts: &[KeySalt],
    anonymous: Option<&str>,
    known_key: Option<&str>,
    is_there: impl Fn(&KeyHash) -> bool,
    may_be_unproved: bool,
) -> Result<Proof, String> {
    if let Some(key) = known_key {
        return match salts.iter().any(|salt| is_there(&salt.hash(key.as_bytes()))) {
            true => Ok(Proof::KnownKey),
            false => Err(
                "no account has the key of --check-key, hashed with these salts: check both, or the old server's secret_key"
                    .into(),
            ),
        };
    }
    let anonymous = anonymous.and_then(key_hash);
    let fits = |salt: &KeySalt| anonymous == Some(salt.hash(ANONYMOUS_KEY.as_bytes()));
    if salts.iter().any(fits) {
        return Ok(Proof::Anonymous);
    }
    if salts.is_empty() && fits(&KeySalt::new(DEFAULT)) {
        return Ok(Proof::Default);
    }
    if may_be_unproved {
        return Ok(Proof::None);
    }
    Err(match (salts.is_empty(), anonymous) {
        (true, _) => "keys are hashed with a salt: give --salt (the old server's variable secret_key)",
        (false, Some(_)) => {
            "the salt is not the one that keys are hashed with (the old server's variable secret_key): nobody's key \
             would be found"
        }
        (false, None) => {
            "nobody can say whether the salt is right, for there is no anonymous account: give somebody's key with \
             --check-key, or --unverified to go on all the same"
        }
    }
    .to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(hash: KeyHash) -> String {
        hash.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn a_salt_is_proved_by_a_key_that_is_known() {
        let right = KeySalt::new("right");
        let anonymous = hex(right.hash(ANONYMOUS_KEY.as_bytes()));
        let default = hex(KeySalt::new(DEFAULT).hash(ANONYMOUS_KEY.as_bytes()));
        let alice = right.hash(b"alices-key");
        for (salts, anonymous, key, unproved, proof, rule) in [
            (
                &["right"][..],
                Some(&anonymous),
                None,
                false,
                Some(Proof::Anonymous),
                "everybody knows one key",
            ),
            (&["older", "right"], Some(&anonymous), None, false, Some(Proof::Anonymous), "one of several"),
            (&["wrong"], Some(&anonymous), None, false, None, "a wrong one"),
            (&["wrong"], Some(&anonymous), None, true, Some(Proof::None), "which may be wanted"),
            (&["right"], None, None, false, None, "nobody can say"),
            (&["right"], None, Some("alices-key"), false, Some(Proof::KnownKey), "but who has a key can"),
            (&["right"], Some(&anonymous), Some("bobs-key"), true, None, "and a wrong one is wrong"),
            (&[], Some(&default), None, false, Some(Proof::Default), "the default"),
            (&[], Some(&anonymous), None, false, None, "which it need not be"),
        ] {
            let salts: Vec<KeySalt> = salts.iter().map(|salt| KeySalt::new(*salt)).collect();
            let found = prove(&salts, anonymous.map(String::as_str), key, |hash| *hash == alice, unproved);
            assert_eq!(found.ok(), proof, "{rule}");
        }
    }
}
