//! The page at which people get an account without signing in, and another key for one that they have.
//!
//! Source: `/register` of the v2 contract, whose `code` element holds the key. There is nothing to steal by
//! a form of somebody else's, as no cookie says who sends it; what comes from other pages is refused all
//! the same, so that none makes its visitors use up their address's limit.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use axum::{
    Router,
    body::Bytes,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    response::Response,
    routing::get,
};
use reqwest::Url;

use super::pages::{escaped, is_from_elsewhere, page};
use crate::{
    config::Config,
    domain::{Error, account::AccountRule},
    rpc::{Api, gate::ClientAddress, pb::RegisterRequest, rules::Rule},
    transcode,
};

/// Largest form, in bytes.
const MAX_FORM: usize = 16 * 1024;
/// Longest name that is read, in characters.
const LONGEST_SENT: usize = 255;
const TITLE: &str = "Register";

const FORMS: &str = r#"<p>An account has an API key. With it you ask for images and texts, and run workers; what your
workers earn, your requests can spend. No e-mail address is needed, and nobody can give a lost key back to you.</p>
<section>
<h2>A new account</h2>
<form method="post" action="/register">
<label for="username">Name</label>
<input id="username" name="username" required maxlength="30" autocomplete="username" aria-describedby="name-hint">
<p class="hint" id="name-hint">1 to 30 characters, none of them #. Everybody can see it.</p>
<button type="submit">Make an account</button>
</form>
</section>
<section>
<h2>Another key for your account</h2>
<form method="post" action="/register/key">
<label for="apikey">Your present API key</label>
<input id="apikey" name="apikey" type="password" required maxlength="256" autocomplete="current-password" aria-describedby="key-hint">
<p class="hint" id="key-hint">It stops at once, wherever it is used.</p>
<button type="submit">Get another key</button>
</form>
</section>"#;

struct Desk {
    api: Api,
    /// Where the broker is reached, if it says so.
    public: Option<String>,
}

/// The routes.
pub fn router(config: &Config, api: &Api, address: SocketAddr) -> Router {
    let public = Url::parse(&config.public_url(address)).ok().map(|url| url.origin().ascii_serialization());
    let desk = Arc::new(Desk { api: api.clone(), public });
    Router::new()
        .route("/register", get(async || page(StatusCode::OK, TITLE, FORMS)).post(register))
        .route("/register/key", axum::routing::post(rotate))
        .with_state(desk)
}

async fn register(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let address = request.extensions().get::<ClientAddress>().map(|address| address.0);
    let form = match read(&desk, request).await {
        Ok(form) => form,
        Err(refusal) => return refusal,
    };
    let name: String = form.get("username").map(|name| name.trim()).unwrap_or_default().into();
    if name.is_empty() || name.contains('\0') || name.chars().count() > LONGEST_SENT {
        return sorry(StatusCode::BAD_REQUEST, "Enter a name of 1 to 30 characters.");
    }
    match desk.api.host.register(name, address).await {
        Ok((user, key)) => done("Your account is made", &user.username(), &key),
        Err(error) => refused(&error),
    }
}

async fn rotate(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let form = match read(&desk, request).await {
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

/// Reads a form of one of our pages, within its limit.
async fn read(desk: &Desk, request: Request) -> Result<HashMap<String, String>, Response> {
    let (parts, body) = request.into_parts();
    let host = parts.uri.authority().map(|authority| authority.as_str());
    if is_from_elsewhere(&parts.headers, host, desk.public.as_deref()) {
        return Err(sorry(StatusCode::FORBIDDEN, "This form is taken from this server's own page alone."));
    }
    let admitted =
        desk.api.gate.admit(RegisterRequest::METHOD, "/register", &parts.headers, &parts.extensions);
    if let Err(refusal) = admitted {
        let mut response = sorry(
            StatusCode::TOO_MANY_REQUESTS,
            &format!("Too many accounts were asked for from your address ({}).", refusal.0.message()),
        );
        response.headers_mut().extend(refusal.1);
        return Err(response);
    }
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

fn done(title: &str, username: &str, key: &str) -> Response {
    let body = format!(
        "<section>\n<p>You are <strong>{}</strong>. Your API key is</p>\n\
         <code class=\"ah-api-key\">{}</code>\n\
         <p><strong>Keep it: it is shown this once</strong>, and is not stored here. Whoever has it can use your \
         account.</p>\n</section>\n<p><a href=\"/\">To the start page</a></p>",
        // It is safe as it is kept; who wants markup in a name does not get it here.
        escaped(username),
        escaped(key)
    );
    page(StatusCode::OK, title, &body)
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

fn sorry(status: StatusCode, text: &str) -> Response {
    let body = format!(
        "<p class=\"bad\" role=\"alert\">{}</p>\n<p><a href=\"/register\">Back</a></p>",
        escaped(text)
    );
    page(status, TITLE, &body)
}
