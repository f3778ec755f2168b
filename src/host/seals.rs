//! Short texts that browsers keep for us: signed, so that they come back as they went out, to any broker over the
//! same records.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::domain::Timestamp;

/// Longest text that is looked at, in bytes.
const LONGEST: usize = 1024;

/// Signs texts, and knows them again.
pub struct Seals {
    secret: [u8; 32],
}

impl Seals {
    /// Seals of those who share a secret.
    pub fn new(secret: [u8; 32]) -> Self {
        Self { secret }
    }

    /// A text that holds for a purpose until then: letters, digits, dashes, underscores and dots.
    pub fn seal(&self, purpose: &str, text: &str, ends_at: Timestamp) -> String {
        let ends = ends_at.0.to_string();
        let signature = self.mac(purpose, &ends, text).finalize().into_bytes();
        let [text, signature] =
            [text.as_bytes(), &signature[..]].map(|bytes| BASE64_URL_SAFE_NO_PAD.encode(bytes));
        format!("{text}.{ends}.{signature}")
    }

    /// The text that was sealed for this purpose, and until when it holds, if it still does.
    pub fn open(&self, purpose: &str, sealed: &str, now: Timestamp) -> Option<(String, Timestamp)> {
        if sealed.len() > LONGEST {
            return None;
        }
        let mut parts = sealed.split('.');
        let (text, ends, signature) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let text = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?;
        // The comparison takes the same time for every wrong signature.
        self.mac(purpose, ends, &text).verify_slice(&signature).ok()?;
        let ends_at = Timestamp(ends.parse().ok()?);
        (now < ends_at).then_some((text, ends_at))
    }

    /// What follows from a text for a purpose, and nobody else can tell: 43 letters, digits, dashes and underscores.
    pub fn derive(&self, purpose: &str, text: &str) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.derived(purpose, text).finalize().into_bytes())
    }

    /// Whether this was derived from a text for a purpose.
    pub fn is_derived(&self, purpose: &str, text: &str, shown: &str) -> bool {
        let shown = BASE64_URL_SAFE_NO_PAD.decode(shown);
        shown.is_ok_and(|shown| self.derived(purpose, text).verify_slice(&shown).is_ok())
    }

    fn derived(&self, purpose: &str, text: &str) -> Hmac<Sha256> {
        // No end of a time is this word.
        self.mac(purpose, "derived", text)
    }

    fn mac(&self, purpose: &str, ends: &str, text: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).expect("HMAC takes keys of any length");
        // Purposes are ours and have no line breaks, and an end that has one is no number.
        mac.update(format!("{purpose}\n{ends}\n{text}").as_bytes());
        mac
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_sealed_text_holds_for_its_purpose_and_its_time_as_it_was_handed_out() {
        let seals = Seals::new([7; 32]);
        let (now, end) = (Timestamp(1_000), Timestamp(2_000));
        let sealed = seals.seal("session", "gh_7 register x", end);
        assert!(
            sealed.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')),
            "{sealed}"
        );
        let [text, ends, signature] = sealed.split('.').collect::<Vec<_>>()[..] else { panic!("{sealed}") };
        let other = seals.seal("session", "gh_8 register x", end);
        let other = other.split('.').next().unwrap();
        for (shown, purpose, at, opens, rule) in [
            (sealed.clone(), "session", now, true, "as it is"),
            (sealed.clone(), "session", Timestamp(1_999), true, "up to its end"),
            (sealed.clone(), "session", end, false, "and not then"),
            (sealed.clone(), "flow", now, false, "for another purpose"),
            (format!("{other}.{ends}.{signature}"), "session", now, false, "of somebody else"),
            (format!("{text}.9000.{signature}"), "session", now, false, "made to last"),
            (format!("{text}.02000.{signature}"), "session", now, false, "the same end, spelt otherwise"),
            (format!("{text}.{ends}."), "session", now, false, "without a signature"),
            (format!("{text}.{ends}"), "session", now, false, "without its part"),
            (format!("{sealed}."), "session", now, false, "with one more"),
            (format!("{sealed}A"), "session", now, false, "with a longer signature"),
            (format!("{text}.{ends}.{}", "A".repeat(43)), "session", now, false, "with any signature"),
            (String::new(), "session", now, false, "nothing"),
            ("..".into(), "session", now, false, "nothing, in three parts"),
        ] {
            assert_eq!(seals.open(purpose, &shown, at).is_some(), opens, "{rule}: {shown}");
        }
        assert_eq!(seals.open("session", &sealed, now), Some(("gh_7 register x".to_owned(), end)));
        assert_eq!(Seals::new([8; 32]).open("session", &sealed, now), None, "by other brokers");
        let long = seals.seal("session", &"x".repeat(2_000), end);
        assert_eq!(seals.open("session", &long, now), None, "far too long");
    }

    #[test]
    fn what_is_derived_follows_from_its_text_alone() {
        let seals = Seals::new([7; 32]);
        let token = seals.derive("form", "a");
        assert_eq!((token.len(), &token), (43, &seals.derive("form", "a")));
        for (purpose, text, shown, is_so) in [
            ("form", "a", token.as_str(), true),
            ("form", "b", &token, false),
            ("verifier", "a", &token, false),
            ("form", "a", &token[..42], false),
            ("form", "a", "", false),
            ("form", "a", "no base64", false),
        ] {
            assert_eq!(seals.is_derived(purpose, text, shown), is_so, "{purpose} {text} {shown}");
        }
        // One is not good for the other.
        let sealed = seals.seal("form", "a", Timestamp(9));
        assert!(!seals.is_derived("form", "a", sealed.rsplit('.').next().unwrap()));
    }

    proptest! {
        #[test]
        fn any_text_comes_back_as_it_was(text in ".{0,100}") {
            let seals = Seals::new([7; 32]);
            let sealed = seals.seal("x", &text, Timestamp(5));
            prop_assert_eq!(seals.open("x", &sealed, Timestamp(4)), Some((text, Timestamp(5))));
        }

        #[test]
        fn nothing_else_opens(sealed in "[A-Za-z0-9_-]{0,20}\\.[0-9]{0,14}\\.[A-Za-z0-9_-]{0,44}|.*") {
            prop_assert_eq!(Seals::new([7; 32]).open("x", &sealed, Timestamp(4)), None);
        }
    }
}
