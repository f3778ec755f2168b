//! Names of things. A type each, so that one is never taken for another.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub struct $name(pub Uuid);

        impl $name {
            /// Reads any textual form of a UUID; `None` for anything else.
            pub fn parse(text: &str) -> Option<Self> {
                Uuid::try_parse(text).ok().map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }
    };
}

uuid_id! {
    /// A request; who knows it may look at it and cancel it.
    RequestId
}
uuid_id! {
    /// One grant of a job to one worker: the only ID of a job that a worker ever names.
    AttemptId
}
uuid_id! {
    /// A worker.
    WorkerId
}
uuid_id! {
    /// A team of workers.
    TeamId
}
uuid_id! {
    /// A key that an account lends; who knows it may use it.
    SharedKeyId
}
uuid_id! {
    /// A message to workers.
    MessageId
}
uuid_id! {
    /// A style.
    StyleId
}
uuid_id! {
    /// A collection of styles.
    CollectionId
}
uuid_id! {
    /// A picture that shows what a style looks like.
    ExampleId
}

/// An account. 0 is anonymous, 1 the first account ever made.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct UserId(pub i64);

impl UserId {
    /// The account of the key `0000000000`.
    pub const ANONYMOUS: Self = Self(0);
    /// The operator's account, which awards kudos.
    pub const AWARDER: Self = Self(1);
}

impl UserId {
    /// Reads an ID, or the number after the last `#` of `alias#id`; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let number = text.rsplit('#').next().filter(|number| number.bytes().all(|b| b.is_ascii_digit()))?;
        number.parse().ok().filter(|id| *id <= i64::from(i32::MAX)).map(Self)
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A worker's standing offer: a held pop or a stream. Lives no longer than this process.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct OfferId(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_named_by_the_number_after_the_last_hash() {
        for (text, id) in [
            ("12", Some(12)),
            ("#12", Some(12)),
            ("x#12", Some(12)),
            ("x#y#12", Some(12)),
            ("0", Some(0)),
            ("2147483647", Some(2_147_483_647)),
            ("2147483648", None),
            ("99999999999999999999", None),
            ("-1", None),
            ("+1", None),
            ("x", None),
            ("12#", None),
            ("", None),
        ] {
            assert_eq!(UserId::parse(text), id.map(UserId), "{text:?}");
        }
    }
}
