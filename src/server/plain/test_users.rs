//! Accounts for tests of other programs: made or refreshed by one call, from this machine only.
//!
//! Source: the test bootstrap of the v2 contract. Off unless `test_users` is on.

use axum::{
    Router,
    body::Bytes,
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use serde::Deserialize;
use serde_json::json;

use crate::{
    domain::{
        Error, Kudos,
        user::{KeyHash, Role, User},
    },
    engine::NewUser,
    rpc::{self, Api},
    server::listen::Peer,
    transcode,
};

/// Largest body, in bytes.
const MAX_BODY: usize = 16_384;
/// Most kudos that are granted.
const MAX_KUDOS: i64 = 1_000_000_000_000;

/// What a caller may say; everything has a default.
#[derive(Deserialize)]
#[serde(default)]
struct Wish {
    username: String,
    oauth_id: String,
    moderator: bool,
    trusted: bool,
    kudos: Option<i64>,
}

impl Default for Wish {
    fn default() -> Self {
        Self {
            username: "test_user".into(),
            oauth_id: "ci_test_user".into(),
            moderator: true,
            trusted: true,
            kudos: Some(10_000),
        }
    }
}

/// The route.
pub fn router(api: &Api) -> Router {
    Router::new().route("/api/v2/dev/test-user", post(bootstrap)).with_state(api.clone())
}

async fn bootstrap(State(api): State<Api>, request: Request) -> Response {
    // The other end of the connection itself, whatever headers say.
    let is_local =
        request.extensions().get::<Peer>().is_some_and(|peer| peer.0.ip().to_canonical().is_loopback());
    if !is_local {
        return transcode::message(StatusCode::FORBIDDEN, "only this machine may make accounts for tests");
    }
    let body = match transcode::collect(request.into_body(), MAX_BODY).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    let wish = match read(&body) {
        Ok(wish) => wish,
        Err(text) => return transcode::message(StatusCode::BAD_REQUEST, &text),
    };
    match ensure(&api, wish).await {
        Ok((answer, status)) => {
            let body = rpc::json::to_vec(&answer);
            (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
        }
        Err(error) => transcode::error_response(&rpc::error::status(&error)),
    }
}

fn read(body: &Bytes) -> Result<Wish, String> {
    if body.is_empty() {
        return Ok(Wish::default());
    }
    let mut reader = serde_json::Deserializer::from_slice(body);
    let wish: Wish = rpc::json::object(&mut reader).map_err(|error| error.to_string())?;
    reader.end().map_err(|error| error.to_string())?;
    match wish.kudos {
        Some(kudos) if !(0..=MAX_KUDOS).contains(&kudos) => {
            Err(format!("kudos must be from 0 to {MAX_KUDOS}"))
        }
        _ => Ok(wish),
    }
}

async fn ensure(api: &Api, wish: Wish) -> Result<(serde_json::Value, StatusCode), Error> {
    // The same oauth_id gets the same key, so that it need not be stored.
    let key = api.objects.links().derive_key(&wish.oauth_id);
    let hash = KeyHash::of(&key);
    let kudos = Kudos::whole(wish.kudos.unwrap_or(0));
    let (user, created) = match api.host.user_of_key(hash).await? {
        Some(id) => {
            let refresh = api.host.act(move |engine, step, _| {
                engine.top_up(step, id, kudos);
                engine.user(id).cloned().ok_or(Error::UserNotFound)
            });
            (refresh.await?, false)
        }
        None => (make(api, &wish, hash, kudos).await?, true),
    };
    let answer = json!({
        "api_key": key,
        "user_id": user.id.to_string(),
        "username": user.alias,
        "alias": user.username(),
        "kudos": user.balance.as_f64(),
        "trusted": user.is(Role::Trusted),
        "moderator": user.is(Role::Moderator),
        "created": created,
    });
    Ok((answer, if created { StatusCode::CREATED } else { StatusCode::OK }))
}

async fn make(api: &Api, wish: &Wish, key: KeyHash, kudos: Kudos) -> Result<User, Error> {
    let roles = [(Role::Moderator, wish.moderator), (Role::Trusted, wish.trusted)];
    let new = NewUser {
        alias: wish.username.clone(),
        key,
        kudos,
        roles: roles.into_iter().filter_map(|(role, has)| has.then_some(role)).collect(),
        concurrency: User::CONCURRENCY,
        worker_invites: 0,
    };
    api.host.add_user(new).await
}
