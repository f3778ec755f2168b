//! What is known and said of an account, besides what it may do and has done, and how that changes.
//!
//! Several brokers may change an account at the same time, each a part of it: what is written is a change,
//! not a value.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{
    Timestamp, UserId,
    user::{KeyHash, Role, User},
};

/// Most characters of a name that somebody chooses.
///
/// Source: the accounts of the v2 contract.
pub const LONGEST_ALIAS: usize = 30;

/// What a wiped account is called.
pub const WIPED: &str = "<wiped>";

/// Who an account is.
///
/// Source: the identity strings of the v2 contract.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Identity {
    /// Its operator knows. Everybody's account has this one, too.
    #[default]
    Known,
    /// Nobody knows: it was made without signing in.
    Pseudonym(Uuid),
    /// Who signed in elsewhere: where (`g_`, `d_`, `gh_`), and the ID there.
    External(String),
    /// Nobody any more.
    Wiped,
}

impl Identity {
    /// As it is stored: no two accounts have the same text.
    pub fn text(&self, id: UserId) -> Option<String> {
        match self {
            Self::Known => None,
            Self::Pseudonym(pseudonym) => Some(pseudonym.hyphenated().to_string()),
            Self::External(text) => Some(text.clone()),
            Self::Wiped => Some(format!("{WIPED}#{id}")),
        }
    }

    /// Reads [`Identity::text`].
    pub fn from_text(text: Option<&str>) -> Self {
        match text {
            None => Self::Known,
            Some(text) if text.starts_with(WIPED) => Self::Wiped,
            Some(text) => {
                Uuid::try_parse(text).map_or_else(|_| Self::External(text.to_owned()), Self::Pseudonym)
            }
        }
    }
}

/// Why an account is not changed, or not made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AccountRule {
    /// Nothing is to change.
    #[error("nothing of the account is to change: name at least one field")]
    NothingSelected,
    /// The anonymous account says nothing of itself.
    #[error("the anonymous account is everybody's: nothing is said of it")]
    AnonymousSaysNothing,
    /// The anonymous account deletes nobody.
    #[error("the anonymous account may not delete accounts: use a key of your own")]
    AnonymousDeletesNobody,
    /// Moderators stay.
    #[error("moderators are not deleted: take that role from the account first")]
    ModeratorStays,
    /// Neither the account itself nor a moderator asks.
    #[error("this takes the account itself, or a moderator")]
    NeitherSelfNorModerator,
    /// It was active within the last 30 days.
    #[error("the account is scheduled for deletion, and is wiped once it was not active for 30 days")]
    StillActive,
    /// It is not scheduled for deletion.
    #[error("the account is not scheduled for deletion")]
    NotDeleted,
    /// Services alone have passkeys.
    #[error("this takes a service account")]
    NoService,
    /// The name has a word that is not wanted.
    #[error("the name contains a word that is not wanted here: choose another one")]
    ProfaneName,
    /// The name is too long.
    #[error("a name has at most {LONGEST_ALIAS} characters")]
    LongName,
    /// The contact has a word that is not wanted.
    #[error("the contact contains a word that is not wanted here: choose other words")]
    ProfaneContact,
    /// The comment has a word that is not wanted.
    #[error("the comment contains a word that is not wanted here: choose other words")]
    ProfaneComment,
    /// No accounts are made at present.
    #[error("no accounts are made without signing in while this server is under attack: try again later")]
    RegistrationClosed,
    /// Who registers has to show that they are a person.
    #[error("who wants an account here has to show that they are a person: use the page /register")]
    CaptchaNeeded,
}

/// What is known and said of an account.
#[derive(Clone, PartialEq, Debug)]
pub struct About {
    /// Who it is.
    pub identity: Identity,
    /// How it can be reached, in its owner's words.
    pub contact: Option<String>,
    /// What moderators say of it among themselves.
    pub admin_comment: Option<String>,
    /// Everybody may see whose its workers are.
    pub public_workers: bool,
    /// Scales what it used in its records; its kudos stay as they are.
    pub usage_multiplier: f64,
    /// With this, a service says for whom it calls.
    pub proxy_passkey: Option<String>,
    /// When it last asked for something or offered to work, give or take an hour.
    pub active_at: Timestamp,
}

impl Default for About {
    fn default() -> Self {
        Self {
            identity: Identity::Known,
            contact: None,
            admin_comment: None,
            public_workers: false,
            usage_multiplier: 1.0,
            proxy_passkey: None,
            active_at: Timestamp::default(),
        }
    }
}

/// A change of an account; `None`: it stays.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Amendment {
    /// Another name.
    pub alias: Option<String>,
    /// Another key; the one before stops at once.
    pub key: Option<KeyHash>,
    /// The key that it takes the place of: nothing of this is done once the account has another one.
    pub replaces: Option<KeyHash>,
    /// Who it is.
    pub identity: Option<Identity>,
    /// How it can be reached; empty: that is not said.
    pub contact: Option<String>,
    /// What moderators say of it; empty: nothing.
    pub admin_comment: Option<String>,
    /// Everybody may see whose its workers are, or not.
    pub public_workers: Option<bool>,
    /// Scales what it used.
    pub usage_multiplier: Option<f64>,
    /// Another passkey; empty: none.
    pub proxy_passkey: Option<String>,
    /// Jobs of one kind that may wait at a time.
    pub concurrency: Option<usize>,
    /// Workers allowed beyond the common limit.
    pub worker_invites: Option<usize>,
    /// Roles that it gets, and those that it loses.
    pub roles: BTreeMap<Role, bool>,
    /// All suspicion before is forgotten.
    pub clears_suspicion: bool,
    /// It lends no key any more.
    pub drops_shared_keys: bool,
    /// It was active.
    pub active_at: Option<Timestamp>,
}

impl Amendment {
    /// Adds a later change: of what both say its word counts.
    pub fn then(&mut self, later: &Self) {
        let later = later.clone();
        self.alias = later.alias.or(self.alias.take());
        self.replaces = self.replaces.or(later.replaces);
        self.key = later.key.or(self.key);
        self.identity = later.identity.or(self.identity.take());
        self.contact = later.contact.or(self.contact.take());
        self.admin_comment = later.admin_comment.or(self.admin_comment.take());
        self.public_workers = later.public_workers.or(self.public_workers);
        self.usage_multiplier = later.usage_multiplier.or(self.usage_multiplier);
        self.proxy_passkey = later.proxy_passkey.or(self.proxy_passkey.take());
        self.concurrency = later.concurrency.or(self.concurrency);
        self.worker_invites = later.worker_invites.or(self.worker_invites);
        self.roles.extend(later.roles);
        self.clears_suspicion |= later.clears_suspicion;
        self.drops_shared_keys |= later.drops_shared_keys;
        self.active_at = self.active_at.max(later.active_at);
    }

    /// Changes an account.
    pub fn apply(&self, user: &mut User) {
        let change = self.clone();
        user.alias = change.alias.unwrap_or(std::mem::take(&mut user.alias));
        user.key = change.key.unwrap_or(user.key);
        user.concurrency = change.concurrency.unwrap_or(user.concurrency);
        user.worker_invites = change.worker_invites.unwrap_or(user.worker_invites);
        for (role, has) in change.roles {
            user.roles.retain(|held| *held != role);
            if has {
                user.roles.push(role);
            }
        }
        if change.clears_suspicion {
            user.stats.suspicion = 0;
        }
        if change.drops_shared_keys {
            user.shared_keys.clear();
        }
        let about = &mut user.about;
        for (said, now) in [
            (change.contact, &mut about.contact),
            (change.admin_comment, &mut about.admin_comment),
            (change.proxy_passkey, &mut about.proxy_passkey),
        ] {
            if let Some(said) = said {
                *now = (!said.is_empty()).then_some(said);
            }
        }
        about.identity = change.identity.unwrap_or(std::mem::take(&mut about.identity));
        about.public_workers = change.public_workers.unwrap_or(about.public_workers);
        about.usage_multiplier = change.usage_multiplier.unwrap_or(about.usage_multiplier);
        about.active_at = about.active_at.max(change.active_at.unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_reads_back_as_it_is_stored_and_no_two_are_alike() {
        let pseudonym = Identity::Pseudonym(Uuid::from_u128(7));
        for identity in [Identity::Known, pseudonym, Identity::External("g_1".into()), Identity::Wiped] {
            assert_eq!(Identity::from_text(identity.text(UserId(7)).as_deref()), identity);
        }
        assert_ne!(Identity::Wiped.text(UserId(7)), Identity::Wiped.text(UserId(8)));
    }

    #[test]
    fn two_changes_after_each_other_are_as_one() {
        let first = Amendment {
            alias: Some("first".into()),
            contact: Some("here".into()),
            roles: [(Role::Trusted, true), (Role::Vpn, true)].into(),
            concurrency: Some(7),
            active_at: Some(Timestamp(9)),
            ..Amendment::default()
        };
        let second = Amendment {
            contact: Some(String::new()),
            roles: [(Role::Trusted, false), (Role::Flagged, true)].into(),
            clears_suspicion: true,
            key: Some(KeyHash::of("new")),
            active_at: Some(Timestamp(3)),
            ..Amendment::default()
        };
        let (mut one, mut other) = (User::anonymous(), User::anonymous());
        one.stats.suspicion = 4;
        other.stats.suspicion = 4;
        first.apply(&mut one);
        second.apply(&mut one);
        let mut both = first;
        both.then(&second);
        both.apply(&mut other);
        one.roles.sort_unstable();
        other.roles.sort_unstable();
        assert_eq!(one, other);
        assert_eq!(other.roles, [Role::Flagged, Role::Vpn]);
        assert_eq!((other.about.contact, other.about.active_at), (None, Timestamp(9)));
        assert_eq!((other.alias.as_str(), other.concurrency, other.stats.suspicion), ("first", 7, 0));
    }
}
