//! Signing in elsewhere: where people are sent, and where they come back.
//!
//! ```text
//!  /github/register ──► GitHub ──► /github/github/authorized ──► /finish_dance ──► /register
//! ```
//!
//! None of these routes is there for a provider that is not set up. What a provider sends along is not shown.
//!
//! Source: the sign-in of the v2 contract.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Router,
    extract::{Path, RawQuery, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};

use super::{
    pages::{escaped, page},
    register::{Desk, read},
};
use crate::{
    domain::sign_in::Provider,
    host::{PASS_TTL, SESSION_TTL, Unfinished, callback},
    outside::sign_in::Denial,
    rpc::rules::{Caller, Limit, LimitKey, MethodRule},
};

/// Longest state and longest code that are looked at, in bytes.
const LONGEST_STATE: usize = 100;
const LONGEST_CODE: usize = 4096;
const TITLE: &str = "Sign in";

/// How often an address signs in, or looks at the page of somebody who is signed in. Source: the limits of these
/// routes in the v2 contract.
pub(super) static VISITS: MethodRule = MethodRule {
    path: "/sign-in",
    caller: Caller::Anyone,
    late_key: false,
    optional_body: false,
    success_status: 302,
    limits: &[Limit { count: 90, seconds: 60, key: LimitKey::Address }],
    bindings: &[],
    headers: &[],
};

/// The routes; none if nobody can sign in.
pub fn router(desk: &Arc<Desk>) -> Router {
    let providers: Vec<Provider> = desk.api.sign_in.providers().collect();
    if providers.is_empty() {
        return Router::new();
    }
    let common = Router::new().route("/finish_dance", get(finish_dance)).route("/sign-out", post(sign_out));
    let routes = providers.into_iter().fold(common, |router, provider| {
        let begin = async move |State(desk), Path(target), request| begin(desk, provider, target, request);
        let finish = async move |State(desk), RawQuery(query), request: Request| {
            let (head, _) = request.into_parts();
            finish(desk, provider, query, head).await
        };
        router
            .route(&format!("/{}/{{return_to}}", provider.word()), get(begin))
            .route(&callback(provider), get(finish))
    });
    routes.with_state(desk.clone())
}

fn begin(desk: Arc<Desk>, provider: Provider, target: String, request: Request) -> Response {
    if let Err(refusal) = desk.admit(&VISITS, "/sign-in", request.headers(), request.extensions()) {
        return refusal;
    }
    match desk.api.sign_in.begin(provider, &target, desk.api.host.now()) {
        Some((url, pass)) => send_to(&url, [desk.pass.set(&pass, PASS_TTL)]),
        None => sorry(StatusCode::NOT_FOUND, "There is no such page to come back to."),
    }
}

async fn finish(
    desk: Arc<Desk>,
    provider: Provider,
    query: Option<String>,
    head: axum::http::request::Parts,
) -> Response {
    if let Err(refusal) = desk.admit(&VISITS, "/sign-in", &head.headers, &head.extensions) {
        return refusal;
    }
    let said = said(query.as_deref().unwrap_or_default());
    let outcome = come_back(&desk, provider, &said, &head.headers).await;
    let (status, text) = match outcome {
        Ok(session) => {
            return send_to("/finish_dance", [desk.pass.clear(), desk.session.set(&session, SESSION_TTL)]);
        }
        Err(refusal) => refusal,
    };
    let mut response = sorry(status, &text);
    // One go is one go.
    response.headers_mut().append(header::SET_COOKIE, desk.pass.clear());
    response
}

/// The session of somebody who comes back; or what a page says instead.
async fn come_back(
    desk: &Desk,
    provider: Provider,
    said: &HashMap<String, String>,
    headers: &HeaderMap,
) -> Result<String, (StatusCode, String)> {
    let (sign_in, now, title) = (&desk.api.sign_in, desk.api.host.now(), provider.title());
    let get = |key: &str, longest: usize| {
        said.get(key).map(String::as_str).filter(|text| text.len() <= longest).unwrap_or_default()
    };
    let (state, code) = (get("state", LONGEST_STATE), get("code", LONGEST_CODE));
    let pass = desk.pass.of(headers).unwrap_or_default();
    let stale = || {
        let text = "This was not begun with this browser, or more than ten minutes ago. Please begin again.";
        (StatusCode::BAD_REQUEST, text.to_owned())
    };
    if !sign_in.is_theirs(provider, pass, state, now) {
        return Err(stale());
    }
    if code.is_empty() {
        // Mostly they changed their mind there.
        return Err((StatusCode::FORBIDDEN, format!("{title} did not sign you in.")));
    }
    let denial = match sign_in.finish(provider, (pass, state, code), now).await {
        Ok((somebody, target)) => {
            let account = desk.api.host.user_of(&somebody).await;
            let account = account.map_err(|error| (StatusCode::SERVICE_UNAVAILABLE, error.to_string()))?;
            return Ok(sign_in.keep((&somebody, target), account.as_ref(), now));
        }
        Err(Unfinished::Stale) => return Err(stale()),
        Err(Unfinished::Denied(denial)) => denial,
    };
    Err(match denial {
        Denial::Refused => {
            (StatusCode::FORBIDDEN, format!("{title} did not confirm who you are. Please begin again."))
        }
        Denial::Busy => (
            StatusCode::SERVICE_UNAVAILABLE,
            "Too many people sign in just now. Please try again in a moment.".into(),
        ),
        Denial::Unclear | Denial::Away(_) => {
            tracing::warn!(provider = provider.word(), "nobody can sign in: {title} {denial}");
            let text = format!("{title} cannot be asked who you are just now. Please try again later.");
            (StatusCode::BAD_GATEWAY, text)
        }
    })
}

async fn finish_dance(State(desk): State<Arc<Desk>>, headers: HeaderMap) -> Response {
    let target = desk.visitor(&headers).map_or("/register", |session| session.target);
    send_to(target, [])
}

async fn sign_out(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let session = desk.visitor(request.headers());
    let form = match read(&desk, &VISITS, "/sign-in", request).await {
        Ok(form) => form,
        Err(refusal) => return refusal,
    };
    let token = form.get("token").map(String::as_str).unwrap_or_default();
    if session.is_some_and(|session| !desk.api.sign_in.is_token(&session, token)) {
        return sorry(
            StatusCode::FORBIDDEN,
            "This form is not from your session. Please load the page again.",
        );
    }
    let mut response = send_to("/register", [desk.session.clear()]);
    // Whatever the form's method was, the page is fetched.
    *response.status_mut() = StatusCode::SEE_OTHER;
    response
}

/// What a query says; of what it says twice, the first.
fn said(query: &str) -> HashMap<String, String> {
    let mut said = HashMap::new();
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        said.entry(key.into_owned()).or_insert_with(|| value.into_owned());
    }
    said
}

/// Sends a browser on. The place is ours, or the operator's.
fn send_to<const COOKIES: usize>(place: &str, cookies: [HeaderValue; COOKIES]) -> Response {
    let Ok(place) = HeaderValue::from_str(place) else {
        return sorry(StatusCode::INTERNAL_SERVER_ERROR, "There is no way on from here.");
    };
    let headers = [
        (header::LOCATION, place),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    let mut response = (StatusCode::FOUND, headers).into_response();
    for cookie in cookies {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

fn sorry(status: StatusCode, text: &str) -> Response {
    let body = format!(
        "<p class=\"bad\" role=\"alert\">{}</p>\n<p><a href=\"/register\">Back</a></p>",
        escaped(text)
    );
    page(status, TITLE, &body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::plain::cookies::Cookie;

    #[test]
    fn of_what_a_query_says_twice_the_first_counts() {
        let said = said("state=a&code=b%20c&state=d&");
        assert_eq!((said["state"].as_str(), said["code"].as_str()), ("a", "b c"));
    }

    #[test]
    fn a_browser_is_sent_on_without_a_trace() {
        let response = send_to("/register", [Cookie::pass(false).clear(), Cookie::session(false).clear()]);
        assert_eq!(
            (response.status(), &response.headers()["location"]),
            (StatusCode::FOUND, &HeaderValue::from_static("/register"))
        );
        assert_eq!(response.headers().get_all("set-cookie").iter().count(), 2);
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert_eq!(send_to("/a\nb", []).status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
}
