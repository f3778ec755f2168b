//! Keys that an account lends to others: what they ask for with one is the account's, within its bounds.

use serde::{Deserialize, Serialize};

use super::{
    Error, Kudos, Result, SharedKeyId, Timestamp, UserId,
    request::{Params, Spec},
    user::KeyHash,
};

/// A key that is lent. Its ID is the key: who knows it may use it.
///
/// Source: the shared keys of the v2 contract. What is unset is not bounded.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct SharedKey {
    /// Its ID.
    pub id: SharedKeyId,
    /// Who lends it.
    pub owner: UserId,
    /// What its owner calls it.
    pub name: Option<String>,
    /// Kudos that may still be spent with it.
    pub budget: Option<Kudos>,
    /// Kudos that were spent with it.
    pub utilized: Kudos,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// Largest image, in pixels.
    pub max_image_pixels: Option<i64>,
    /// Most steps of an image.
    pub max_image_steps: Option<i64>,
    /// Longest text, in tokens.
    pub max_text_tokens: Option<i64>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A change of a key; `None`: it stays. Several brokers may change a key at the same time, each a part of it.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct KeyChange {
    /// What its owner calls it.
    pub name: Option<String>,
    /// Kudos that may be spent with it from now on.
    pub budget: Option<Option<Kudos>>,
    /// When it ends.
    pub expires_at: Option<Option<Timestamp>>,
    /// Largest image, in pixels.
    pub max_image_pixels: Option<Option<i64>>,
    /// Most steps of an image.
    pub max_image_steps: Option<Option<i64>>,
    /// Longest text, in tokens.
    pub max_text_tokens: Option<Option<i64>>,
}

impl KeyChange {
    /// Adds a later change: of what both say its word counts.
    pub fn then(&mut self, later: &Self) {
        let Self { name, budget, expires_at, max_image_pixels, max_image_steps, max_text_tokens } =
            later.clone();
        self.name = name.or(self.name.take());
        self.budget = budget.or(self.budget);
        self.expires_at = expires_at.or(self.expires_at);
        self.max_image_pixels = max_image_pixels.or(self.max_image_pixels);
        self.max_image_steps = max_image_steps.or(self.max_image_steps);
        self.max_text_tokens = max_text_tokens.or(self.max_text_tokens);
    }

    /// Changes a key.
    pub fn apply(&self, key: &mut SharedKey) {
        if let Some(name) = &self.name {
            key.name = Some(name.clone());
        }
        key.budget = self.budget.unwrap_or(key.budget);
        key.expires_at = self.expires_at.unwrap_or(key.expires_at);
        key.max_image_pixels = self.max_image_pixels.unwrap_or(key.max_image_pixels);
        key.max_image_steps = self.max_image_steps.unwrap_or(key.max_image_steps);
        key.max_text_tokens = self.max_text_tokens.unwrap_or(key.max_text_tokens);
    }
}

impl SharedKey {
    /// Hash of the key, as it is sent.
    pub fn hash(&self) -> KeyHash {
        KeyHash::of(&self.id.to_string())
    }

    /// Whether nothing may be spent with it any more.
    pub fn is_empty(&self) -> bool {
        self.budget.is_some_and(|budget| budget <= Kudos::ZERO)
    }

    /// Whether its time is over.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }

    /// Spends kudos, as far as there are any; one that is empty stays as it is. Whether it changed.
    pub fn spend(&mut self, amount: Kudos) -> bool {
        if self.is_empty() || amount <= Kudos::ZERO {
            return false;
        }
        self.budget = self.budget.map(|budget| (budget - amount).max(Kudos::ZERO));
        self.utilized += amount;
        true
    }

    /// Whether a request is within its bounds.
    ///
    /// # Errors
    /// [`Error::BadRequest`], saying which one is not.
    pub fn check(&self, spec: &Spec) -> Result<()> {
        let bounds: &[(&str, i64, Option<i64>)] = match &spec.params {
            Params::Image(image) | Params::Video(image) => &[
                ("pixels (width times height)", image.pixels(), self.max_image_pixels),
                ("steps", image.steps.into(), self.max_image_steps),
            ],
            Params::Text(text) => &[("tokens (max_length)", text.max_length.into(), self.max_text_tokens)],
            Params::Alchemy(_) => &[],
        };
        for (what, asked, most) in bounds {
            if let Some(most) = most.filter(|most| asked > most) {
                return Err(Error::BadRequest(format!(
                    "this shared key is for up to {most} {what}, and {asked} are asked for: ask for less"
                )));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(budget: Option<i64>) -> SharedKey {
        SharedKey {
            id: SharedKeyId(uuid::Uuid::from_u128(7)),
            owner: UserId(1),
            name: None,
            budget: budget.map(Kudos::whole),
            utilized: Kudos::ZERO,
            expires_at: None,
            max_image_pixels: None,
            max_image_steps: None,
            max_text_tokens: None,
            created_at: Timestamp(0),
        }
    }

    #[test]
    fn a_budget_is_spent_down_to_nothing_and_no_further() {
        for (budget, spent, left, utilized, rule) in [
            (Some(5), &[3][..], Some(2), 3, "it is spent"),
            (Some(5), &[3, 3], Some(0), 6, "down to nothing, and what was spent counts whole"),
            (Some(5), &[3, 3, 3], Some(0), 6, "and no further"),
            (None, &[3, 3], None, 6, "what is not bounded counts all the same"),
            (Some(0), &[3], Some(0), 0, "an empty one is not charged"),
        ] {
            let mut key = key(budget);
            for amount in spent {
                key.spend(Kudos::whole(*amount));
            }
            assert_eq!(
                (key.budget, key.utilized),
                (left.map(Kudos::whole), Kudos::whole(utilized)),
                "{rule}"
            );
            assert_eq!(key.is_empty(), left == Some(0), "{rule}");
        }
    }

    #[test]
    fn two_changes_after_each_other_are_as_one() {
        let first = KeyChange {
            name: Some("first".into()),
            budget: Some(None),
            max_image_steps: Some(Some(30)),
            max_text_tokens: Some(None),
            ..KeyChange::default()
        };
        let second = KeyChange {
            budget: Some(Some(Kudos::whole(9))),
            expires_at: Some(Some(Timestamp(7))),
            max_image_pixels: Some(Some(4096)),
            ..KeyChange::default()
        };
        let (mut one, mut other) = (key(Some(5)), key(Some(5)));
        one.max_text_tokens = Some(80);
        other.max_text_tokens = Some(80);
        first.apply(&mut one);
        second.apply(&mut one);
        let mut both = first;
        both.then(&second);
        both.apply(&mut other);
        assert_eq!(one, other);
        let wanted = SharedKey {
            name: Some("first".into()),
            budget: Some(Kudos::whole(9)),
            expires_at: Some(Timestamp(7)),
            max_image_pixels: Some(4096),
            max_image_steps: Some(30),
            ..key(None)
        };
        assert_eq!(one, wanted, "of what both say the later word counts");
    }

    #[test]
    fn it_ends_at_its_time() {
        let key = SharedKey { expires_at: Some(Timestamp(10)), ..key(None) };
        assert!(!key.is_expired(Timestamp(9)) && key.is_expired(Timestamp(10)));
    }
}
