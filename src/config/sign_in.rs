//! Signing in elsewhere, and the question whether somebody is a person.

use reqwest::Url;

use super::{Complaints, Secret, Server};
use crate::domain::sign_in::Provider;

/// Providers that people may sign in at, and the captcha of the page at which they register.
#[derive(Clone, PartialEq, Debug)]
pub struct SignIn {
    /// What Google calls this service; `None`: nobody signs in there, as for the providers that follow.
    pub google_client_id: Option<String>,
    /// The secret of that; set if and only if `google_client_id` is.
    pub google_client_secret: Option<Secret>,
    /// Where people are sent.
    pub google_authorize_url: String,
    /// Where a code becomes a token.
    pub google_token_url: String,
    /// Where it is said who somebody is: JSON with their ID as `sub`.
    pub google_user_url: String,
    /// What Discord calls this service.
    pub discord_client_id: Option<String>,
    /// The secret of that; set if and only if `discord_client_id` is.
    pub discord_client_secret: Option<Secret>,
    /// Where people are sent.
    pub discord_authorize_url: String,
    /// Where a code becomes a token.
    pub discord_token_url: String,
    /// Where it is said who somebody is: JSON with their ID as `id`.
    pub discord_user_url: String,
    /// What GitHub calls this service.
    pub github_client_id: Option<String>,
    /// The secret of that; set if and only if `github_client_id` is.
    pub github_client_secret: Option<Secret>,
    /// Where people are sent.
    pub github_authorize_url: String,
    /// Where a code becomes a token.
    pub github_token_url: String,
    /// Where it is said who somebody is: JSON with their ID as `id`.
    pub github_user_url: String,
    /// The public key of reCAPTCHA; `None`: nobody is asked whether they are a person.
    pub recaptcha_site_key: Option<String>,
    /// The secret of that; set if and only if `recaptcha_site_key` is.
    pub recaptcha_secret_key: Option<Secret>,
    /// Where an answer is checked.
    pub recaptcha_verify_url: String,
}

impl Default for SignIn {
    fn default() -> Self {
        Self {
            google_client_id: None,
            google_client_secret: None,
            google_authorize_url: "https://accounts.google.com/o/oauth2/v2/auth".into(),
            google_token_url: "https://oauth2.googleapis.com/token".into(),
            google_user_url: "https://openidconnect.googleapis.com/v1/userinfo".into(),
            discord_client_id: None,
            discord_client_secret: None,
            discord_authorize_url: "https://discord.com/oauth2/authorize".into(),
            discord_token_url: "https://discord.com/api/oauth2/token".into(),
            discord_user_url: "https://discord.com/api/users/@me".into(),
            github_client_id: None,
            github_client_secret: None,
            github_authorize_url: "https://github.com/login/oauth/authorize".into(),
            github_token_url: "https://github.com/login/oauth/access_token".into(),
            github_user_url: "https://api.github.com/user".into(),
            recaptcha_site_key: None,
            recaptcha_secret_key: None,
            recaptcha_verify_url: "https://www.google.com/recaptcha/api/siteverify".into(),
        }
    }
}

/// How a provider is reached, and what it calls this service.
#[derive(Clone, PartialEq, Debug)]
pub struct Registered {
    /// What it calls this service.
    pub client_id: String,
    /// The secret of that.
    pub client_secret: Secret,
    /// Where people are sent.
    pub authorize_url: String,
    /// Where a code becomes a token.
    pub token_url: String,
    /// Where it is said who somebody is.
    pub user_url: String,
}

impl SignIn {
    /// What is set up of a provider; `None`: nobody signs in there.
    pub fn at(&self, provider: Provider) -> Option<Registered> {
        let (id, secret) = self.client(provider);
        let [authorize_url, token_url, user_url] = self.urls(provider).map(|(_, url)| url.clone());
        Some(Registered {
            client_id: id.clone()?,
            client_secret: secret.clone()?,
            authorize_url,
            token_url,
            user_url,
        })
    }

    /// Both keys of reCAPTCHA; `None`: it is off.
    pub fn recaptcha(&self) -> Option<(&str, &Secret)> {
        Some((self.recaptcha_site_key.as_deref()?, self.recaptcha_secret_key.as_ref()?))
    }

    fn client(&self, provider: Provider) -> (&Option<String>, &Option<Secret>) {
        match provider {
            Provider::Google => (&self.google_client_id, &self.google_client_secret),
            Provider::Discord => (&self.discord_client_id, &self.discord_client_secret),
            Provider::Github => (&self.github_client_id, &self.github_client_secret),
        }
    }

    fn urls(&self, provider: Provider) -> [(&'static str, &String); 3] {
        match provider {
            Provider::Google => [
                ("google_authorize_url", &self.google_authorize_url),
                ("google_token_url", &self.google_token_url),
                ("google_user_url", &self.google_user_url),
            ],
            Provider::Discord => [
                ("discord_authorize_url", &self.discord_authorize_url),
                ("discord_token_url", &self.discord_token_url),
                ("discord_user_url", &self.discord_user_url),
            ],
            Provider::Github => [
                ("github_authorize_url", &self.github_authorize_url),
                ("github_token_url", &self.github_token_url),
                ("github_user_url", &self.github_user_url),
            ],
        }
    }

    /// The key of the first provider that is offered.
    fn first_provider(&self) -> Option<&'static str> {
        let offered = Provider::ALL.into_iter().find(|provider| self.at(*provider).is_some());
        offered.map(|provider| client_keys(provider)[0])
    }

    /// Checks whether people get to those pages: providers send them back below `public_url`, and links, forms and
    /// cookies begin at the root of its host.
    pub(super) fn check_place(&self, server: &Server, complaints: &mut Complaints) {
        let provider = self.first_provider();
        let Some(key) = provider.or(self.recaptcha().map(|_| "recaptcha_site_key")) else { return };
        match &server.public_url {
            None if provider.is_some() && !server.listen.ip().is_loopback() => complaints.about(
                "public_url",
                format!(
                    "is needed, as {key} is set; write the address that people have in their browsers, such as \
                     https://grid.example.org"
                ),
            ),
            Some(url) if Url::parse(url).is_ok_and(|url| url.path() != "/") => complaints.about(
                "public_url",
                format!(
                    "must have no path, as {key} is set: forms and cookies are at the root of a host; give the \
                     broker a host of its own, such as https://grid.example.org"
                ),
            ),
            _ => {}
        }
    }

    /// What an operator may want to know of that.
    pub(super) fn remark(&self, server: &Server) -> Option<String> {
        let key = self.first_provider().filter(|_| server.public_url.is_none())?;
        Some(format!(
            "{key} without public_url: people can sign in on this machine alone, at the address of listen; behind a proxy, set public_url"
        ))
    }

    pub(super) fn check(&self, complaints: &mut Complaints) {
        for provider in Provider::ALL {
            let [id_key, secret_key] = client_keys(provider);
            let (id, secret) = self.client(provider);
            check_pair((id_key, id), (secret_key, secret), complaints);
            for (key, url) in self.urls(provider) {
                check_url(key, url, complaints);
            }
        }
        let site = ("recaptcha_site_key", &self.recaptcha_site_key);
        check_pair(site, ("recaptcha_secret_key", &self.recaptcha_secret_key), complaints);
        check_url("recaptcha_verify_url", &self.recaptcha_verify_url, complaints);
    }
}

/// The keys of what a provider calls this service, and of the secret of that.
fn client_keys(provider: Provider) -> [&'static str; 2] {
    match provider {
        Provider::Google => ["google_client_id", "google_client_secret"],
        Provider::Discord => ["discord_client_id", "discord_client_secret"],
        Provider::Github => ["github_client_id", "github_client_secret"],
    }
}

/// A name and its secret are set both, or neither of them.
fn check_pair(
    (name_key, name): (&'static str, &Option<String>),
    (secret_key, secret): (&'static str, &Option<Secret>),
    complaints: &mut Complaints,
) {
    let has_secret = secret.as_ref().is_some_and(|secret| !secret.expose().is_empty());
    match (name, has_secret) {
        (Some(_), false) => {
            complaints.about(name_key, format!("set without {secret_key}; set both, or none"));
        }
        (None, true) => complaints.about(secret_key, format!("set without {name_key}; set both, or none")),
        _ => {}
    }
    // It stands on pages, and in URLs.
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if name.as_ref().is_some_and(|name| !name.chars().all(is_plain)) {
        complaints.about(name_key, "must be letters, digits, dots, dashes and underscores");
    }
}

/// Secrets go there: in the clear within this machine alone.
fn check_url(key: &'static str, url: &str, complaints: &mut Complaints) {
    let Ok(url) = url.parse::<Url>() else {
        return complaints.about(key, "is no URL; write it as https://host/path");
    };
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    let is_local = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    if !(url.scheme() == "https" || url.scheme() == "http" && is_local) || host.is_empty() {
        complaints.about(key, "must begin with https://, or with http:// on this machine");
    } else if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        complaints.about(key, "must not hold a user name, a password or a #");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(change: impl Fn(&mut SignIn)) -> String {
        let mut sign_in = SignIn {
            github_client_id: Some("Iv1.0123456789abcdef".into()),
            github_client_secret: Some(Secret::new("s3cret")),
            recaptcha_site_key: Some("6Lc_a-b".into()),
            recaptcha_secret_key: Some(Secret::new("s3cret")),
            ..SignIn::default()
        };
        change(&mut sign_in);
        assert!(!format!("{sign_in:?} {:?}", sign_in.at(Provider::Github)).contains("s3cret"));
        let mut complaints = Complaints::default();
        sign_in.check(&mut complaints);
        complaints.0.iter().map(|(key, message)| format!("{key}: {message}\n")).collect()
    }

    #[test]
    fn a_provider_is_set_up_whole_or_not_at_all() {
        assert_eq!(complaints(|_| ()), "");
        assert!(Provider::ALL.into_iter().all(|provider| SignIn::default().at(provider).is_none()));
        assert_eq!(SignIn::default().recaptcha(), None);
        for (told, about) in [
            (
                complaints(|s| s.github_client_secret = None),
                "github_client_id: set without github_client_secret",
            ),
            (complaints(|s| s.github_client_secret = Some(Secret::new(""))), "github_client_id: set without"),
            (complaints(|s| s.github_client_id = None), "github_client_secret: set without github_client_id"),
            (complaints(|s| s.recaptcha_secret_key = None), "recaptcha_site_key: set without"),
            (
                complaints(|s| s.recaptcha_site_key = Some("\"><script>".into())),
                "recaptcha_site_key: must be",
            ),
            (complaints(|s| s.discord_token_url = "nowhere".into()), "discord_token_url: is no URL"),
        ] {
            assert!(told.starts_with(about), "{about} / {told}");
        }
    }

    #[test]
    fn secrets_go_over_tls_or_stay_on_this_machine() {
        for (url, is_fine) in [
            ("https://github.example.org/login?x=y", true),
            ("http://127.0.0.1:8080/token", true),
            ("http://[::1]:8080/token", true),
            ("http://localhost/token", true),
            ("http://10.0.0.7/token", false),
            ("http://github.example.org/token", false),
            ("http://127.0.0.1.example.org/", false),
            ("ftp://127.0.0.1/", false),
            ("https://a:b@example.org/", false),
            ("https://example.org/#a", false),
        ] {
            let told = complaints(|s| s.github_token_url = url.into());
            assert_eq!(told.is_empty(), is_fine, "{url}: {told}");
        }
    }
}
