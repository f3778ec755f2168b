//! A provider of OAuth 2.0, at which whoever comes is signed in as the test says; it checks all that a strict one
//! checks. Beside it, who tells people from programs.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use gridbroker::config::{Config, Secret};
use parking_lot::Mutex;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::{net::TcpListener, task::JoinHandle};
use uuid::Uuid;

/// What it calls the broker.
pub const CLIENT_ID: &str = "the-client";
/// The secret of that.
pub const CLIENT_SECRET: &str = "the-secret-of-the-client";
/// What a person answers to the captcha.
pub const A_PERSON: &str = "i-am-a-person";
/// The site key of the captcha.
pub const SITE_KEY: &str = "the-site-key";
const CAPTCHA_SECRET: &str = "the-secret-of-the-captcha";

/// The provider. It ends with this value.
pub struct Provider {
    address: SocketAddr,
    desk: Arc<Mutex<Desk>>,
    serving: JoinHandle<()>,
}

/// What it knows.
#[derive(Default)]
struct Desk {
    /// What is said of whoever comes.
    person: String,
    /// Codes that were given out and not used, with challenge and way back.
    codes: HashMap<String, (String, String)>,
    /// Tokens, and what they tell.
    tokens: HashMap<String, String>,
    /// Codes and states that it gave out, and verifiers that it was shown.
    told: Vec<String>,
    /// What is answered in place of a token.
    in_place_of_a_token: Option<Answer>,
    /// What is answered in place of a person.
    in_place_of_a_person: Option<Answer>,
    /// What is answered in place of a verdict.
    in_place_of_a_verdict: Option<Answer>,
    /// Paths that were called.
    calls: Vec<String>,
}

/// Status and body; a redirection leads to the body.
type Answer = (u16, String);

impl Provider {
    /// A provider on a free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("there is a free port");
        let address = listener.local_addr().expect("it is bound");
        let desk = Arc::new(Mutex::new(Desk::default()));
        let router = Router::new().fallback(answer).with_state(desk.clone());
        let serving = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Self { address, desk, serving }
    }

    /// One of its URLs.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Has a broker offer it in the place of these.
    pub fn stand_in(&self, config: &mut Config, words: &[&str]) {
        config.api.fetch_allow = vec!["127.0.0.0/8".parse().expect("it is a network")];
        let (id, secret) = (Some(CLIENT_ID.to_owned()), Some(Secret::new(CLIENT_SECRET)));
        let urls = || ["/authorize", "/token", "/user"].map(|path| self.url(path));
        let settings = &mut config.sign_in;
        for word in words {
            let [authorize, token, user] = urls();
            match *word {
                "google" => {
                    (settings.google_client_id, settings.google_client_secret) = (id.clone(), secret.clone());
                    settings.google_authorize_url = authorize;
                    (settings.google_token_url, settings.google_user_url) = (token, user);
                }
                "discord" => {
                    (settings.discord_client_id, settings.discord_client_secret) =
                        (id.clone(), secret.clone());
                    settings.discord_authorize_url = authorize;
                    (settings.discord_token_url, settings.discord_user_url) = (token, user);
                }
                "github" => {
                    (settings.github_client_id, settings.github_client_secret) = (id.clone(), secret.clone());
                    settings.github_authorize_url = authorize;
                    (settings.github_token_url, settings.github_user_url) = (token, user);
                }
                other => panic!("there is no {other}"),
            }
        }
    }

    /// The same for GitHub, as flags.
    pub fn flags(&self) -> Vec<String> {
        let [authorize, token, user] = ["/authorize", "/token", "/user"].map(|path| self.url(path));
        [
            ("--fetch-allow", "127.0.0.0/8"),
            ("--github-client-id", CLIENT_ID),
            ("--github-client-secret", CLIENT_SECRET),
            ("--github-authorize-url", &authorize),
            ("--github-token-url", &token),
            ("--github-user-url", &user),
        ]
        .into_iter()
        .flat_map(|(flag, value)| [flag.to_owned(), value.to_owned()])
        .collect()
    }

    /// Has a broker ask whoever registers.
    pub fn asks(&self, config: &mut Config) {
        config.api.fetch_allow = vec!["127.0.0.0/8".parse().expect("it is a network")];
        config.sign_in.recaptcha_site_key = Some(SITE_KEY.into());
        config.sign_in.recaptcha_secret_key = Some(Secret::new(CAPTCHA_SECRET));
        config.sign_in.recaptcha_verify_url = self.url("/siteverify");
    }

    /// Whoever comes now is this one.
    pub fn knows(&self, person: Value) {
        self.desk.lock().person = person.to_string();
    }

    /// What is answered in place of a token.
    pub fn in_place_of_a_token(&self, answer: Option<(u16, &str)>) {
        self.desk.lock().in_place_of_a_token = answer.map(|(status, body)| (status, body.to_owned()));
    }

    /// What is answered in place of a person.
    pub fn in_place_of_a_person(&self, answer: Option<(u16, &str)>) {
        self.desk.lock().in_place_of_a_person = answer.map(|(status, body)| (status, body.to_owned()));
    }

    /// What is answered in place of a verdict.
    pub fn in_place_of_a_verdict(&self, answer: Option<(u16, &str)>) {
        self.desk.lock().in_place_of_a_verdict = answer.map(|(status, body)| (status, body.to_owned()));
    }

    /// How often a path was called.
    pub fn calls(&self, path: &str) -> usize {
        self.desk.lock().calls.iter().filter(|called| *called == path).count()
    }

    /// All that it gave out or was shown and that nobody else should see: tokens, codes, states, verifiers, and the
    /// secret of the broker.
    pub fn secrets(&self) -> Vec<String> {
        let desk = self.desk.lock();
        desk.tokens.keys().chain(&desk.told).cloned().chain([CLIENT_SECRET.to_owned()]).collect()
    }

    /// It is gone, and its port is closed.
    pub async fn falls(&mut self) {
        self.serving.abort();
        // The listener goes with the task.
        let _ = (&mut self.serving).await;
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answer(
    State(desk): State<Arc<Mutex<Desk>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut desk = desk.lock();
    desk.calls.push(uri.path().to_owned());
    let fields =
        |text: &[u8]| -> HashMap<String, String> { form_urlencoded::parse(text).into_owned().collect() };
    match (method, uri.path()) {
        (Method::GET, "/authorize") => {
            let asked = fields(uri.query().unwrap_or_default().as_bytes());
            desk.authorize(&asked).map_or_else(
                || StatusCode::BAD_REQUEST.into_response(),
                |place| (StatusCode::FOUND, [(header::LOCATION, place)]).into_response(),
            )
        }
        (Method::POST, "/token") => match desk.in_place_of_a_token.clone() {
            Some(answer) => told(answer),
            None => told(desk.token(&fields(&body))),
        },
        (Method::GET, "/user") => match desk.in_place_of_a_person.clone() {
            Some(answer) => told(answer),
            None => {
                let sent = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
                let token = sent.and_then(|value| value.strip_prefix("Bearer "));
                let person = token.and_then(|token| desk.tokens.get(token)).cloned();
                told(person.map_or((401, "{}".into()), |person| (200, person)))
            }
        },
        (Method::POST, "/siteverify") => match desk.in_place_of_a_verdict.clone() {
            Some(answer) => told(answer),
            None => {
                let sent = fields(&body);
                let is_person = sent.get("response").is_some_and(|answer| answer == A_PERSON);
                let is_ours = sent.get("secret").is_some_and(|secret| secret == CAPTCHA_SECRET);
                told((200, json!({"success": is_person && is_ours, "hostname": "grid.example"}).to_string()))
            }
        },
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

fn told((status, body): Answer) -> Response {
    let status = StatusCode::from_u16(status).expect("it is a status");
    if status.is_redirection() {
        return (status, [(header::LOCATION, body)]).into_response();
    }
    (status, [(header::CONTENT_TYPE, "application/json; charset=utf-8")], body).into_response()
}

impl Desk {
    /// Where somebody is sent back to, with a code.
    fn authorize(&mut self, asked: &HashMap<String, String>) -> Option<String> {
        let get = |key: &str| asked.get(key).cloned();
        let (challenge, back, state) = (get("code_challenge")?, get("redirect_uri")?, get("state")?);
        let is_right = get("response_type")? == "code"
            && get("client_id")? == CLIENT_ID
            && get("code_challenge_method")? == "S256"
            && challenge.len() == 43
            && state.len() >= 20;
        let code = format!("code-{}", Uuid::new_v4());
        self.codes.insert(code.clone(), (challenge, back.clone()));
        self.told.extend([code.clone(), state.clone()]);
        is_right.then(|| format!("{back}?code={code}&state={state}"))
    }

    /// A token for a code, once.
    fn token(&mut self, sent: &HashMap<String, String>) -> Answer {
        let get = |key: &str| sent.get(key).map(String::as_str).unwrap_or_default();
        let refused = |why: &str| (400, json!({"error": why}).to_string());
        if (get("client_id"), get("client_secret")) != (CLIENT_ID, CLIENT_SECRET) {
            return refused("invalid_client");
        }
        let Some((challenge, back)) = self.codes.remove(get("code")) else { return refused("invalid_grant") };
        let verifier = get("code_verifier");
        self.told.push(verifier.to_owned());
        let proof = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(verifier));
        let is_right = get("grant_type") == "authorization_code"
            && get("redirect_uri") == back
            && (43..=128).contains(&verifier.len())
            && proof == challenge;
        if !is_right {
            return refused("invalid_grant");
        }
        let token = format!("token-{}", Uuid::new_v4());
        self.tokens.insert(token.clone(), self.person.clone());
        (200, json!({"access_token": token, "token_type": "bearer", "scope": ""}).to_string())
    }
}
