//! The page at which people get an account, signed in or not, and another key for one that they have.
//!
//! Who is not signed in has nothing that somebody else's form could steal: no cookie says who sends it. What comes
//! from other pages is refused all the same, so that none makes its visitors use up their address's limit. Who is
//! signed in sends forms with a token that only this page knows, and is so until their account gets a key elsewhere.
//!
//! Source: `/register` of the v2 contract, whose `code` element holds the key.

mod markup;

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    Router,
    body::Bytes,
    extract::{Request, State},
    http::{Extensions, HeaderMap, StatusCode, header},
    response::Response,
    routing::get,
};
use reqwest::Url;

use self::markup::{Forms, TITLE, done, sorry};
use super::{
    cookies::Cookie,
    pages::{is_from_elsewhere, page, with_captcha},
    sign_in::VISITS,
};
use crate::{
    config::Config,
    domain::{Error, account::AccountRule},
    host::Session,
    outside::captcha::{self, Captcha},
    rpc::{
        Api,
        gate::ClientAddress,
        pb::RegisterRequest,
        rules::{MethodRule, Rule},
    },
    transcode,
};

/// Largest form, in bytes.
const MAX_FORM: usize = 16 * 1024;
/// Longest name that is read, in characters.
const LONGEST_SENT: usize = 255;
const PATH: &str = "/register";
/// What is said to whoever was signed in.
const OVER: &str = "You are no longer signed in. Please sign in again.";

/// What the pages for accounts share.
pub struct Desk {
    /// The broker.
    pub api: Api,
    /// Where the broker is reached, if it says so.
    public: Option<String>,
    /// What somebody has on their way to a provider.
    pub pass: Cookie,
    /// Who is signed in.
    pub session: Cookie,
}

impl Desk {
    /// The desk of a broker that listens at an address.
    pub fn of(config: &Config, api: &Api, address: SocketAddr) -> Arc<Self> {
        let public = Url::parse(&config.public_url(address)).ok();
        let is_secure = public.as_ref().is_some_and(|url| url.scheme() == "https");
        let public = public.map(|url| url.origin().ascii_serialization());
        let (pass, session) = (Cookie::pass(is_secure), Cookie::session(is_secure));
        Arc::new(Self { api: api.clone(), public, pass, session })
    }

    /// Who sends a request, if they are signed in. A new key may have ended that since, which
    /// [`SignIn::holds`](crate::host::SignIn::holds) tells of their account: nothing of it is shown or changed before.
    pub fn visitor(&self, headers: &HeaderMap) -> Option<Session> {
        self.api.sign_in.session(self.session.of(headers)?, self.api.host.now())
    }

    /// Counts a request against its limits.
    ///
    /// # Errors
    /// A page that says how long to wait.
    pub fn admit(
        &self,
        rule: &'static MethodRule,
        path: &str,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> Result<(), Response> {
        let Err(refusal) = self.api.gate.admit(rule, path, headers, extensions) else { return Ok(()) };
        let text = format!("Too much was asked for from your address ({}).", refusal.0.message());
        let mut response = sorry(StatusCode::TOO_MANY_REQUESTS, &text);
        response.headers_mut().extend(refusal.1);
        Err(response)
    }
}

/// The routes.
pub fn router(desk: &Arc<Desk>) -> Router {
    Router::new()
        .route(PATH, get(show).post(register))
        .route("/register/key", axum::routing::post(rotate))
        .with_state(desk.clone())
}

async fn show(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let (head, _) = request.into_parts();
    let sign_in = &desk.api.sign_in;
    let session = desk.visitor(&head.headers);
    // Their account is read from the records.
    if session.is_some()
        && let Err(refusal) = desk.admit(&VISITS, "/sign-in", &head.headers, &head.extensions)
    {
        return refusal;
    }
    let account = match &session {
        Some(session) => match desk.api.host.user_of(&session.somebody).await {
            Ok(account) => account,
            Err(error) => return refused(&error),
        },
        None => None,
    };
    let is_over = session.as_ref().is_some_and(|session| !sign_in.holds(session, account.as_ref()));
    let (session, account) = if is_over { (None, None) } else { (session, account) };
    let forms = Forms {
        visitor: session.as_ref().map(|session| (session, sign_in.token(session))),
        account: account.as_ref(),
        providers: sign_in.providers().collect(),
        site_key: sign_in.captcha().map(Captcha::site_key),
    };
    let mut shown = page(StatusCode::OK, TITLE, &forms.markup());
    if is_over {
        shown.headers_mut().append(header::SET_COOKIE, desk.session.clear());
    }
    if forms.site_key.is_some() { with_captcha(shown) } else { shown }
}

async fn register(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let address = request.extensions().get::<ClientAddress>().map(|address| address.0);
    let session = desk.visitor(request.headers());
    let form = match read(&desk, RegisterRequest::METHOD, PATH, request).await {
        Ok(form) => form,
        Err(refusal) => return refusal,
    };
    let token = form.get("token").map(String::as_str).unwrap_or_default();
    match &session {
        Some(session) if !desk.api.sign_in.is_token(session, token) => {
            return sorry(
                StatusCode::FORBIDDEN,
                "This form is not from your session. Please load the page again.",
            );
        }
        // Nobody wants to be somebody else than they were when they loaded the page.
        None if !token.is_empty() => {
            return sorry(StatusCode::FORBIDDEN, OVER);
        }
        _ => {}
    }
    let name: String = form.get("username").map(|name| name.trim()).unwrap_or_default().into();
    // Who has an account may keep its name.
    let may_be_empty = session.is_some();
    if name.is_empty() && !may_be_empty || name.contains('\0') || name.chars().count() > LONGEST_SENT {
        return sorry(StatusCode::BAD_REQUEST, "Enter a name of 1 to 30 characters.");
    }
    if let Some(captcha) = desk.api.sign_in.captcha()
        && let Err(refusal) = passes(captcha, &form).await
    {
        return refusal;
    }
    let Some(session) = session else {
        return match desk.api.host.register(name, address).await {
            Ok((user, key)) => done("Your account is made", &user.username(), &key),
            Err(error) => refused(&error),
        };
    };
    let name = (!name.is_empty()).then_some(name);
    register_as(&desk, &session, name, address).await.unwrap_or_else(|error| refused(&error))
}

/// Gives whoever is signed in a key. It ends all of their sessions; this browser gets one in place of its own.
async fn register_as(
    desk: &Desk,
    session: &Session,
    name: Option<String>,
    address: Option<IpAddr>,
) -> Result<Response, Error> {
    let (host, sign_in) = (&desk.api.host, &desk.api.sign_in);
    let account = host.user_of(&session.somebody).await?;
    if !sign_in.holds(session, account.as_ref()) {
        return Ok(sorry(StatusCode::FORBIDDEN, OVER));
    }
    let (user, key) = host.register_as(session.somebody.clone(), name, address).await?;
    let (renewed, lasts) = sign_in.renew(session, &user, host.now());
    let mut shown = done("You have a new key", &user.username(), &key);
    shown.headers_mut().append(header::SET_COOKIE, desk.session.set(&renewed, lasts));
    Ok(shown)
}

/// Whether somebody has shown that they are a person.
async fn passes(captcha: &Captcha, form: &HashMap<String, String>) -> Result<(), Response> {
    let answer = form.get(captcha::FIELD).map(String::as_str).unwrap_or_default();
    match captcha.is_passed(answer).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(sorry(
            StatusCode::FORBIDDEN,
            "It did not show that you are a person. Please tick the box and try again.",
        )),
        Err(trouble) => {
            tracing::warn!("nobody can register: reCAPTCHA {trouble}");
            let text = "Whether you are a person cannot be checked just now. Please try again later.";
            Err(sorry(StatusCode::SERVICE_UNAVAILABLE, text))
        }
    }
}

async fn rotate(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let form = match read(&desk, RegisterRequest::METHOD, PATH, request).await {
        Ok(form) => form,
        Err(refusal) => return refusal,
    };
    let key =
        desk.api.host.recognise(form.get("apikey").map(|key| key.trim()).unwrap_or_default().as_bytes());
    let rotated = async {
        let id = desk.api.host.user_of_key(key).await?.ok_or(Error::InvalidApiKey)?;
        desk.api.host.rotate_key(id).await
    };
    match rotated.await {
        Ok((user, key)) => done("You have another key", &user.username(), &key),
        Err(error) => refused(&error),
    }
}

/// Reads a form of one of our pages, within its limits.
///
/// # Errors
/// A page that says what is wrong.
pub async fn read(
    desk: &Desk,
    rule: &'static MethodRule,
    path: &str,
    request: Request,
) -> Result<HashMap<String, String>, Response> {
    let (parts, body) = request.into_parts();
    let host = parts.uri.authority().map(|authority| authority.as_str());
    if is_from_elsewhere(&parts.headers, host, desk.public.as_deref()) {
        return Err(sorry(StatusCode::FORBIDDEN, "This form is taken from this server's own page alone."));
    }
    desk.admit(rule, path, &parts.headers, &parts.extensions)?;
    if !is_form(&parts.headers) {
        return Err(sorry(StatusCode::UNSUPPORTED_MEDIA_TYPE, "This takes a form."));
    }
    let body: Bytes = transcode::collect(body, MAX_FORM).await?;
    Ok(form_urlencoded::parse(&body).into_owned().collect())
}

fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"))
}

/// What a page says of a refusal. A name that is not wanted is no error of HTTP.
fn refused(error: &Error) -> Response {
    let status = match error {
        Error::Account(AccountRule::ProfaneName) => StatusCode::OK,
        Error::Account(AccountRule::RegistrationClosed) | Error::TimeoutIp { .. } | Error::AnonForbidden => {
            StatusCode::FORBIDDEN
        }
        Error::InvalidApiKey => StatusCode::UNAUTHORIZED,
        Error::BadRequest(_) => StatusCode::BAD_REQUEST,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    sorry(status, &error.to_string())
}
