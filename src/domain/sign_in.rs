//! Signing in elsewhere: who vouches for people, and whom they vouch for.

use std::fmt;

/// Longest ID that a provider may give somebody, in bytes: with what stands before it, it fits into the identity
/// of an account, which has 50 characters.
const LONGEST_ID: usize = 40;

/// Who vouches for people.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Provider {
    /// Google, or whoever speaks OpenID Connect as it does.
    Google,
    /// Discord.
    Discord,
    /// GitHub, or whoever speaks as it does.
    Github,
}

impl Provider {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Google, Self::Discord, Self::Github];

    /// Its word in paths and settings.
    pub fn word(self) -> &'static str {
        match self {
            Self::Google => "google",
            Self::Discord => "discord",
            Self::Github => "github",
        }
    }

    /// Its name.
    pub fn title(self) -> &'static str {
        match self {
            Self::Google => "Google",
            Self::Discord => "Discord",
            Self::Github => "GitHub",
        }
    }

    /// The provider of a word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|provider| provider.word() == word)
    }

    /// What identities begin with. Source: the identity strings of the v2 contract.
    fn prefix(self) -> &'static str {
        match self {
            Self::Google => "g_",
            Self::Discord => "d_",
            Self::Github => "gh_",
        }
    }
}

/// Somebody for whom a provider vouches.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Somebody {
    provider: Provider,
    id: String,
}

impl Somebody {
    /// Whom a provider knows by an ID; `None` for what is none: it has up to 40 letters, digits, dots, dashes and
    /// underscores.
    pub fn new(provider: Provider, id: &str) -> Option<Self> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let is_id = (1..=LONGEST_ID).contains(&id.len()) && id.chars().all(is_plain);
        is_id.then(|| Self { provider, id: id.to_owned() })
    }

    /// Reads what it prints as.
    pub fn parse(text: &str) -> Option<Self> {
        let provider = Provider::ALL.into_iter().find(|provider| text.starts_with(provider.prefix()))?;
        Self::new(provider, text.strip_prefix(provider.prefix())?)
    }

    /// Who vouches.
    pub fn provider(&self) -> Provider {
        self.provider
    }

    /// What they are known by there.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl fmt::Display for Somebody {
    /// As the identity of an account.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.provider.prefix(), self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somebody_is_known_by_provider_and_id_and_reads_back() {
        for (provider, identity) in
            [(Provider::Google, "g_7"), (Provider::Discord, "d_7"), (Provider::Github, "gh_7")]
        {
            let somebody = Somebody::new(provider, "7").unwrap();
            assert_eq!(somebody.to_string(), identity);
            assert_eq!(Somebody::parse(identity), Some(somebody));
            assert_eq!(Provider::of_word(provider.word()), Some(provider));
        }
        assert_eq!(Provider::of_word("gitlab"), None);
    }

    #[test]
    fn what_is_no_id_is_nobody() {
        let (longest, too_long) = ("7".repeat(40), "7".repeat(41));
        for (id, is_one) in [
            ("123456789012345678", true),
            ("0b3c6b1e-7a40-4a5e-9f0a-2f2e6a0c9a11", true),
            (&longest, true),
            (&too_long, false),
            ("", false),
            ("7 ", false),
            ("7\n", false),
            ("<b>", false),
            ("é", false),
            ("7\0", false),
        ] {
            assert_eq!(Somebody::new(Provider::Github, id).is_some(), is_one, "{id:?}");
        }
        for text in ["", "7", "gh_", "p_7", "anon", "<wiped>#7", "0b3c6b1e-7a40-4a5e-9f0a-2f2e6a0c9a11"] {
            assert_eq!(Somebody::parse(text), None, "{text:?}");
        }
    }
}
