//! Asks a provider who somebody is: OAuth 2.0 with an authorization code and PKCE.
//!
//! ```text
//!  browser ──authorize_url(state, challenge)──► provider ──callback(state, code)──► broker
//!                                                  ▲  token(code, secret, verifier) ───┤
//!                                                  └────────── who is that? (token) ───┘
//! ```
//!
//! Nothing but an ID is read, and the token is forgotten at once. What a provider says goes neither into logs nor
//! onto pages.
//!
//! Source: RFC 6749, RFC 7636; the scopes and identities of the v2 contract, less what an ID does not take.

use std::time::Duration;

use futures_util::future::BoxFuture;
use oauth2::{
    AsyncHttpClient, AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken, EndpointNotSet,
    EndpointSet, HttpRequest, HttpResponse, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl,
    RequestTokenError, Scope, TokenResponse, TokenUrl,
    basic::{BasicClient, BasicErrorResponse},
};
use reqwest::{
    Method, StatusCode,
    header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue},
};
use serde_json::Value;
use tokio::sync::Semaphore;

use super::{Guarded, Schemes, Target, Trouble};
use crate::{
    config::Registered,
    domain::sign_in::{Provider, Somebody},
};

/// How long each of both calls may take.
const DEADLINE: Duration = Duration::from_secs(5);
/// Largest answer, in bytes.
const MAX_ANSWER: usize = 64 * 1024;
/// People that are asked for at a time.
const TURNS: usize = 16;

/// Why nobody is vouched for. The texts go on after the provider's name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Denial {
    /// The provider says no: the code was used before, is too old, or is not ours.
    #[error("does not confirm it")]
    Refused,
    /// It says what cannot be understood.
    #[error("gives an answer that cannot be read")]
    Unclear,
    /// It cannot be asked.
    #[error(transparent)]
    Away(#[from] Trouble),
    /// Too many are asked for.
    #[error("is asked for too many people just now")]
    Busy,
}

type Client = BasicClient<EndpointSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointSet>;

/// A provider, as this service is known there.
pub struct Issuer {
    provider: Provider,
    client: Client,
    carrier: Carrier,
    user_url: Target,
    turns: Semaphore,
}

impl Issuer {
    /// A provider that sends people back to this URL.
    ///
    /// # Errors
    /// One of its URLs cannot be used; for the operator.
    pub fn new(
        provider: Provider,
        registered: Registered,
        callback: String,
        guarded: &Guarded,
    ) -> Result<Self, String> {
        let word = provider.word();
        let target = |key: &str, url: &str| {
            let target = guarded.target(url, Schemes::HttpOrHttps);
            target.map_err(|problem| format!("{word}_{key}: the URL {problem}; is it in fetch_allow?"))
        };
        let token_url = target("token_url", &registered.token_url)?;
        let user_url = target("user_url", &registered.user_url)?;
        let unreadable = |key| move |_| format!("{word}_{key}: the URL cannot be read");
        let client = BasicClient::new(ClientId::new(registered.client_id))
            .set_client_secret(ClientSecret::new(registered.client_secret.expose().to_owned()))
            // All three take it there, and not all of them in a header.
            .set_auth_type(AuthType::RequestBody)
            .set_auth_uri(AuthUrl::new(registered.authorize_url).map_err(unreadable("authorize_url"))?)
            .set_token_uri(TokenUrl::new(registered.token_url).map_err(unreadable("token_url"))?)
            .set_redirect_uri(RedirectUrl::new(callback).map_err(|_| {
                format!(
                    "public_url: nobody can come back from {} to below it; is it a URL?",
                    provider.title()
                )
            })?);
        let carrier = Carrier { guarded: guarded.clone(), token_url };
        Ok(Self { provider, client, carrier, user_url, turns: Semaphore::new(TURNS) })
    }

    /// Who it is.
    pub fn provider(&self) -> Provider {
        self.provider
    }

    /// Where somebody is sent to sign in. The state comes back with them; the verifier has 43 to 128 letters,
    /// digits, dashes and underscores, and is needed again in [`Issuer::vouch`].
    pub fn authorize_url(&self, state: String, verifier: String) -> String {
        let challenge = PkceCodeChallenge::from_code_verifier_sha256(&PkceCodeVerifier::new(verifier));
        let request = self.client.authorize_url(|| CsrfToken::new(state)).set_pkce_challenge(challenge);
        // The least that tells an ID. GitHub tells it without any.
        let request = match self.provider {
            Provider::Google => request.add_scope(Scope::new("openid".into())),
            Provider::Discord => request.add_scope(Scope::new("identify".into())),
            Provider::Github => request,
        };
        request.url().0.into()
    }

    /// Who it is that came back with a code.
    ///
    /// # Errors
    /// Any [`Denial`].
    pub async fn vouch(&self, code: String, verifier: String) -> Result<Somebody, Denial> {
        let _turn = self.turns.try_acquire().map_err(|_| Denial::Busy)?;
        let token = self
            .client
            .exchange_code(AuthorizationCode::new(code))
            .set_pkce_verifier(PkceCodeVerifier::new(verifier))
            .request_async(&self.carrier)
            .await
            .map_err(denial)?;
        let bearer = HeaderValue::from_str(&format!("Bearer {}", token.access_token().secret()));
        let mut bearer = bearer.map_err(|_| Denial::Unclear)?;
        bearer.set_sensitive(true);
        let json = HeaderValue::from_static("application/json");
        let headers = HeaderMap::from_iter([(AUTHORIZATION, bearer), (ACCEPT, json)]);
        let request = (Method::GET, headers, Vec::new());
        let answer = self.carrier.guarded.ask(&self.user_url, request, MAX_ANSWER, DEADLINE).await?;
        if answer.status != StatusCode::OK {
            return Err(Denial::Unclear);
        }
        let id = id_of(self.provider, &answer.body).ok_or(Denial::Unclear)?;
        Somebody::new(self.provider, &id).ok_or(Denial::Unclear)
    }
}

/// Carries requests for tokens; the library knows no other URL.
struct Carrier {
    guarded: Guarded,
    token_url: Target,
}

impl<'c> AsyncHttpClient<'c> for Carrier {
    type Error = Trouble;
    type Future = BoxFuture<'c, Result<HttpResponse, Trouble>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let request = (head.method, head.headers, body);
            let answer = self.guarded.ask(&self.token_url, request, MAX_ANSWER, DEADLINE).await?;
            let mut response = HttpResponse::new(answer.body.to_vec());
            *response.status_mut() = answer.status;
            *response.headers_mut() = answer.headers;
            Ok(response)
        })
    }
}

fn denial(error: RequestTokenError<Trouble, BasicErrorResponse>) -> Denial {
    match error {
        RequestTokenError::ServerResponse(_) => Denial::Refused,
        RequestTokenError::Request(trouble) => Denial::Away(trouble),
        // GitHub says no with a status that says yes.
        RequestTokenError::Parse(_, body) => match serde_json::from_slice::<Value>(&body) {
            Ok(said) if said.get("error").is_some_and(Value::is_string) => Denial::Refused,
            _ => Denial::Unclear,
        },
        RequestTokenError::Other(_) => Denial::Unclear,
    }
}

/// The ID in what a provider says of somebody: a text, or a whole number from 1.
fn id_of(provider: Provider, said: &[u8]) -> Option<String> {
    let key = match provider {
        Provider::Google => "sub",
        Provider::Discord | Provider::Github => "id",
    };
    match serde_json::from_slice::<Value>(said).ok()?.get(key)? {
        Value::String(id) => Some(id.clone()),
        Value::Number(id) => id.as_u64().filter(|id| *id > 0).map(|id| id.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Api, Secret, SignIn};

    fn issuer(provider: Provider, token_url: &str) -> Result<Issuer, String> {
        let registered = Registered {
            client_id: "ours".into(),
            client_secret: Secret::new("s3cret"),
            token_url: token_url.into(),
            ..registered(provider)
        };
        let callback = format!("https://grid.example/{0}/{0}/authorized", provider.word());
        Issuer::new(provider, registered, callback, &Guarded::new(&Api::default()).unwrap())
    }

    fn registered(provider: Provider) -> Registered {
        let (id, secret) = (Some("ours".to_owned()), Some(Secret::new("s3cret")));
        let sign_in = SignIn {
            google_client_id: id.clone(),
            google_client_secret: secret.clone(),
            discord_client_id: id.clone(),
            discord_client_secret: secret.clone(),
            github_client_id: id,
            github_client_secret: secret,
            ..SignIn::default()
        };
        sign_in.at(provider).unwrap()
    }

    #[test]
    fn people_are_sent_with_a_challenge_and_asked_for_no_more_than_an_id() {
        for (provider, begin, scope) in [
            (Provider::Google, "https://accounts.google.com/o/oauth2/v2/auth?", Some("openid")),
            (Provider::Discord, "https://discord.com/oauth2/authorize?", Some("identify")),
            (Provider::Github, "https://github.com/login/oauth/authorize?", None),
        ] {
            let issuer = issuer(provider, "https://example.org/token").unwrap();
            let url = issuer.authorize_url("the-state".into(), "v".repeat(43));
            assert!(url.starts_with(begin), "{url}");
            let url: reqwest::Url = url.parse().unwrap();
            let shown: std::collections::HashMap<_, _> = url.query_pairs().into_owned().collect();
            let get = |key: &str| shown.get(key).map(String::as_str);
            assert_eq!(get("response_type"), Some("code"));
            assert_eq!(
                (get("client_id"), get("state"), get("scope")),
                (Some("ours"), Some("the-state"), scope)
            );
            let callback = format!("https://grid.example/{0}/{0}/authorized", provider.word());
            assert_eq!(get("redirect_uri"), Some(callback.as_str()));
            assert_eq!(get("code_challenge_method"), Some("S256"));
            // SHA-256 of the verifier, as RFC 7636 spells it.
            assert_eq!(get("code_challenge"), Some("7w_YNF9DSfIdPf_pRjSq646_kPr-2-o9NAl16JGghdM"));
            assert!(!url.as_str().contains("s3cret") && !url.as_str().contains("vvvvvvvv"), "{url}");
        }
    }

    #[test]
    fn a_provider_within_the_network_has_to_be_allowed() {
        let problem = issuer(Provider::Github, "http://127.0.0.1:9/token").err().unwrap();
        assert!(problem.starts_with("github_token_url: ") && problem.contains("fetch_allow"), "{problem}");
    }

    #[test]
    fn people_cannot_come_back_to_what_is_no_url() {
        let callback = "https://grid.example:99999/github/github/authorized".to_owned();
        let guarded = Guarded::new(&Api::default()).unwrap();
        let registered = registered(Provider::Github);
        let problem = Issuer::new(Provider::Github, registered, callback, &guarded).err().unwrap();
        assert!(problem.starts_with("public_url: ") && problem.contains("GitHub"), "{problem}");
    }

    #[test]
    fn an_id_is_a_text_or_a_number_and_nothing_else() {
        use Provider::{Discord, Github, Google};
        for (provider, said, id) in [
            (Google, r#"{"sub": "117", "id": "8"}"#, Some("117")),
            (Google, r#"{"id": "117"}"#, None),
            (Discord, r#"{"id": "80351110224678912", "username": "nelly"}"#, Some("80351110224678912")),
            (Github, r#"{"login": "octocat", "id": 583231}"#, Some("583231")),
            (Github, r#"{"id": 18446744073709551615}"#, Some("18446744073709551615")),
            (Github, r#"{"id": 0}"#, None),
            (Github, r#"{"id": -1}"#, None),
            (Github, r#"{"id": 1.5}"#, None),
            (Github, r#"{"id": 1e300}"#, None),
            (Github, r#"{"id": null}"#, None),
            (Github, r#"{"id": ["7"]}"#, None),
            (Github, r#"["id"]"#, None),
            (Github, "7", None),
            (Github, "<html>", None),
            (Github, "", None),
        ] {
            assert_eq!(id_of(provider, said.as_bytes()).as_deref(), id, "{said}");
        }
    }
}
