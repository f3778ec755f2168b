//! People who sign in elsewhere: what their browsers keep meanwhile, and afterwards.
//!
//! ```text
//!  begin ──► a pass (ten minutes: provider, target, state) ──► provider
//!        ──► finish, keep ──► a session (an hour: who, target, mark of a key)
//! ```
//!
//! Both are sealed texts that a browser keeps, so that any broker goes on with what another one began, and nothing
//! is kept here. What proves to the provider that it is we who began follows from the state and a secret of all
//! brokers: it never leaves them.
//!
//! Invariant: a session holds as long as the account of whoever it tells has the key that it had then, or as long as
//! they have none. So each new key ends every session before it, at all brokers and wherever a copy of one is; the
//! browser that got the key is handed the session anew, for no longer than it had.

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

use super::{keys::new_key, seals::Seals};
use crate::{
    config::SignIn as Settings,
    domain::{
        Timestamp,
        sign_in::{Provider, Somebody},
        user::{KeyHash, User},
    },
    outside::{
        Guarded,
        captcha::Captcha,
        sign_in::{Denial, Issuer},
    },
};

/// How long somebody may take at a provider.
pub const PASS_TTL: Duration = Duration::from_secs(10 * 60);
/// How long somebody stays signed in: it takes a minute to register.
pub const SESSION_TTL: Duration = Duration::from_secs(60 * 60);

/// What seals and derived texts are for.
const PASS: &str = "pass";
const SESSION: &str = "session";
const VERIFIER: &str = "verifier";
const FORM: &str = "form";
const KEY: &str = "key";

/// Where people go once they are signed in: a word in paths, and the path.
///
/// Source: the return targets of the v2 contract. There is no page for transfers here: who comes from one is shown
/// who they are.
const TARGETS: [(&str, &str); 2] = [("register", "/register"), ("transfer", "/register")];

/// Why somebody is not signed in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unfinished {
    /// It was not begun with this browser, or too long ago.
    Stale,
    /// The provider vouches for nobody.
    Denied(Denial),
}

/// Somebody who is signed in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Session {
    /// Who it is.
    pub somebody: Somebody,
    /// The path that they want to go to.
    pub target: &'static str,
    /// What is sealed of it beside the mark. No two that were begun have the same.
    text: String,
    /// What follows from the key that their account had when it was sealed.
    mark: String,
    /// When it is over.
    ends_at: Timestamp,
}

/// Providers, captcha, and what browsers keep.
pub struct SignIn {
    seals: Seals,
    issuers: Vec<Issuer>,
    captcha: Option<Captcha>,
}

impl SignIn {
    /// Signs people in as the settings say, who come back below a public URL. All brokers have the same secret.
    ///
    /// # Errors
    /// A URL of the settings cannot be used; for the operator.
    pub fn new(
        settings: &Settings,
        public_url: &str,
        guarded: &Guarded,
        secret: [u8; 32],
    ) -> Result<Self, String> {
        let mut issuers = Vec::new();
        for provider in Provider::ALL {
            if let Some(registered) = settings.at(provider) {
                let callback = format!("{public_url}{}", callback(provider));
                issuers.push(Issuer::new(provider, registered, callback, guarded)?);
            }
        }
        Ok(Self { seals: Seals::new(secret), issuers, captcha: Captcha::new(settings, guarded)? })
    }

    /// Providers that people can sign in at.
    pub fn providers(&self) -> impl Iterator<Item = Provider> {
        self.issuers.iter().map(Issuer::provider)
    }

    /// The captcha, if there is one.
    pub fn captcha(&self) -> Option<&Captcha> {
        self.captcha.as_ref()
    }

    /// Begins: where somebody is sent, and the pass that their browser keeps. `None`: there is no such target, or
    /// nobody signs in there.
    pub fn begin(&self, provider: Provider, target: &str, now: Timestamp) -> Option<(String, String)> {
        let (word, _) = TARGETS.iter().find(|(word, _)| *word == target)?;
        let issuer = self.issuer(provider)?;
        let state = new_key();
        let pass = format!("{} {word} {state}", provider.word());
        let pass = self.seals.seal(PASS, &pass, now.plus(PASS_TTL));
        let verifier = self.seals.derive(VERIFIER, &state);
        Some((issuer.authorize_url(state, verifier), pass))
    }

    /// The word of the target of a pass for this provider and state.
    fn target_of(&self, provider: Provider, pass: &str, state: &str, now: Timestamp) -> Option<&'static str> {
        let (pass, _) = self.seals.open(PASS, pass, now)?;
        let [word, target, own] = pass.split(' ').collect::<Vec<_>>()[..] else { return None };
        // Hashes are compared: how long that takes tells nothing.
        let is_theirs = word == provider.word() && KeyHash::of(own) == KeyHash::of(state);
        TARGETS.iter().find(|(word, _)| is_theirs && *word == target).map(|(word, _)| *word)
    }

    /// Whether somebody may come back from this provider with this pass and state.
    pub fn is_theirs(&self, provider: Provider, pass: &str, state: &str, now: Timestamp) -> bool {
        self.target_of(provider, pass, state, now).is_some()
    }

    /// Ends what was begun: who it is, and the word of their target, for [`SignIn::keep`].
    ///
    /// # Errors
    /// Any [`Unfinished`].
    pub async fn finish(
        &self,
        provider: Provider,
        (pass, state, code): (&str, &str, &str),
        now: Timestamp,
    ) -> Result<(Somebody, &'static str), Unfinished> {
        let target = self.target_of(provider, pass, state, now).ok_or(Unfinished::Stale)?;
        let issuer = self.issuer(provider).ok_or(Unfinished::Stale)?;
        let verifier = self.seals.derive(VERIFIER, state);
        let somebody = issuer.vouch(code.to_owned(), verifier).await.map_err(Unfinished::Denied)?;
        Ok((somebody, target))
    }

    /// The session that a browser keeps of somebody with a target, whose account is this, if they have one.
    pub fn keep(
        &self,
        (somebody, target): (&Somebody, &str),
        account: Option<&User>,
        now: Timestamp,
    ) -> String {
        let text = format!("{somebody} {target} {}", new_key());
        self.sealed(&text, account, now.plus(SESSION_TTL))
    }

    /// A session for the browser in which their account got another key, and how long it still lasts: as long as
    /// the one that the key has ended. Forms for that one are good for it as well.
    pub fn renew(&self, session: &Session, account: &User, now: Timestamp) -> (String, Duration) {
        (self.sealed(&session.text, Some(account), session.ends_at), session.ends_at.since(now))
    }

    fn sealed(&self, text: &str, account: Option<&User>, ends_at: Timestamp) -> String {
        self.seals.seal(SESSION, &format!("{text} {}", self.mark(account)), ends_at)
    }

    /// What follows from the key of an account, or from there being none. A part of the key's hash would do, but
    /// whoever finds a session could try keys against that.
    fn mark(&self, account: Option<&User>) -> String {
        let key = account.map(|account| BASE64_URL_SAFE_NO_PAD.encode(account.key.0));
        self.seals.derive(KEY, &key.unwrap_or_default())
    }

    /// Whether a session holds for somebody whose account is this by now, if they have one: there was no new key
    /// since.
    pub fn holds(&self, session: &Session, account: Option<&User>) -> bool {
        session.mark == self.mark(account)
    }

    /// Who is signed in by what a browser keeps, at a provider that is still believed; if it holds, which
    /// [`SignIn::holds`] tells.
    pub fn session(&self, sealed: &str, now: Timestamp) -> Option<Session> {
        let (text, ends_at) = self.seals.open(SESSION, sealed, now)?;
        let (text, mark) = text.rsplit_once(' ')?;
        let [somebody, target, _] = text.split(' ').collect::<Vec<_>>()[..] else { return None };
        let somebody = Somebody::parse(somebody)?;
        self.issuer(somebody.provider())?;
        let (_, target) = TARGETS.iter().find(|(word, _)| *word == target)?;
        Some(Session { somebody, target, text: text.to_owned(), mark: mark.to_owned(), ends_at })
    }

    /// What forms for a session hold: nobody else's page knows it.
    pub fn token(&self, session: &Session) -> String {
        self.seals.derive(FORM, &session.text)
    }

    /// Whether a form was made for a session.
    pub fn is_token(&self, session: &Session, token: &str) -> bool {
        self.seals.is_derived(FORM, &session.text, token)
    }

    fn issuer(&self, provider: Provider) -> Option<&Issuer> {
        self.issuers.iter().find(|issuer| issuer.provider() == provider)
    }
}

/// The path at which people come back from a provider. Source: the callbacks of the v2 contract.
pub fn callback(provider: Provider) -> String {
    format!("/{0}/{0}/authorized", provider.word())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Api, Secret};

    fn sign_in(secret: [u8; 32]) -> SignIn {
        let settings = Settings {
            google_client_id: Some("ours".into()),
            google_client_secret: Some(Secret::new("s3cret")),
            github_client_id: Some("ours".into()),
            github_client_secret: Some(Secret::new("s3cret")),
            ..Settings::default()
        };
        let guarded = Guarded::new(&Api::default()).unwrap();
        SignIn::new(&settings, "https://grid.example", &guarded, secret).unwrap()
    }

    fn state_of(url: &str) -> String {
        let url: reqwest::Url = url.parse().unwrap();
        url.query_pairs().find(|(key, _)| key == "state").unwrap().1.into_owned()
    }

    #[test]
    fn a_pass_is_for_one_provider_one_state_and_ten_minutes_at_any_broker() {
        let (here, there) = (sign_in([7; 32]), sign_in([7; 32]));
        let now = Timestamp(1_000);
        let (url, pass) = here.begin(Provider::Github, "register", now).unwrap();
        let (state, last) = (state_of(&url), Timestamp(now.plus(PASS_TTL).0 - 1));
        let (_, other) = here.begin(Provider::Github, "register", now).unwrap();
        for (provider, pass, state, at, is_theirs, rule) in [
            (Provider::Github, &pass, state.as_str(), last, true, "as it was begun"),
            (Provider::Github, &pass, &state, now.plus(PASS_TTL), false, "too late"),
            (Provider::Google, &pass, &state, now, false, "from another provider"),
            (Provider::Github, &pass, "another-state", now, false, "with another state"),
            (Provider::Github, &pass, "", now, false, "with none"),
            (Provider::Github, &other, &state, now, false, "of another browser"),
        ] {
            assert_eq!(there.is_theirs(provider, pass, state, at), is_theirs, "{rule}");
        }
        assert!(!sign_in([8; 32]).is_theirs(Provider::Github, &pass, &state, now), "of other brokers");
        // A session is no pass, and a pass no session.
        assert_eq!(here.session(&pass, now), None);
    }

    #[test]
    fn only_known_targets_and_providers_are_begun_with() {
        let sign_in = sign_in([7; 32]);
        let begins = |provider, target| sign_in.begin(provider, target, Timestamp(1)).is_some();
        for (target, is_one) in [
            ("register", true),
            ("transfer", true),
            ("", false),
            ("Register", false),
            ("//evil.example", false),
            ("https://evil.example", false),
            ("../register", false),
            ("register ", false),
        ] {
            assert_eq!(begins(Provider::Github, target), is_one, "{target:?}");
        }
        assert!(!begins(Provider::Discord, "register"), "nobody signs in there");
        assert!(TARGETS.iter().all(|(_, path)| path.starts_with('/') && !path.starts_with("//")));
    }

    #[test]
    fn a_session_says_who_it_is_for_an_hour_and_has_forms_of_its_own() {
        let sign_in = sign_in([7; 32]);
        let now = Timestamp(1_000);
        let seal = |text: &str| sign_in.seals.seal(SESSION, text, now.plus(SESSION_TTL));
        let sealed = seal("gh_7 register one mark");
        let session = sign_in.session(&sealed, now).unwrap();
        assert_eq!((session.somebody.to_string().as_str(), session.target), ("gh_7", "/register"));
        assert_eq!(sign_in.session(&sealed, now.plus(SESSION_TTL)), None, "it is over");
        for text in [
            "d_7 register one mark",
            "gh_7 elsewhere one mark",
            "gh_7 register one",
            "gh_7 register",
            "p_7 register one mark",
            "",
        ] {
            assert_eq!(sign_in.session(&seal(text), now), None, "{text:?}");
        }
        let token = sign_in.token(&session);
        let again = sign_in.session(&seal("gh_7 register two mark"), now).unwrap();
        assert!(sign_in.is_token(&session, &token));
        assert!(!sign_in.is_token(&again, &token), "signed in again, the forms before are of no use");
        assert!(!sign_in.is_token(&session, ""));
    }

    #[test]
    fn each_new_key_ends_the_sessions_before_it_but_for_the_one_that_is_renewed() {
        let (here, there) = (sign_in([7; 32]), sign_in([7; 32]));
        let now = Timestamp(1_000);
        let later = now.plus(Duration::from_secs(600));
        let somebody = Somebody::new(Provider::Github, "7").unwrap();
        let with = |key: &str| User { key: KeyHash::of(key), ..User::anonymous() };
        let (first, second) = (with("first"), with("second"));
        let keep = |account: Option<&User>| {
            let sealed = here.keep((&somebody, "register"), account, now);
            there.session(&sealed, now).unwrap()
        };
        let (stranger, known) = (keep(None), keep(Some(&first)));
        let (renewed, lasts) = here.renew(&known, &second, later);
        assert_eq!(lasts, SESSION_TTL - Duration::from_secs(600), "no longer than before");
        assert_eq!(there.session(&renewed, now.plus(SESSION_TTL)), None);
        let renewed = there.session(&renewed, later).unwrap();
        for (session, account, holds, rule) in [
            (&stranger, None, true, "who has no account"),
            (&stranger, Some(&first), false, "and gets one, in whichever browser"),
            (&known, Some(&first), true, "who has one"),
            (&known, Some(&second), false, "whose key was replaced"),
            (&known, None, false, "who has none any more"),
            (&renewed, Some(&second), true, "who got the key"),
            (&renewed, Some(&first), false, "which is not the one before"),
        ] {
            assert_eq!(there.holds(session, account), holds, "{rule}");
        }
        assert!(there.is_token(&renewed, &here.token(&known)), "forms that are open can still be sent");
    }
}
