//! What operators do with keys that accounts lend.

use tonic::Status;

use crate::{
    domain::{
        Kudos, SharedKeyId, UserId,
        shared_key::SharedKey,
        user::{KeyHash, User},
    },
    engine::NewSharedKey,
    host::Host,
    rpc::{
        self,
        admin::{
            AddSharedKeyRequest, AddSharedKeyResponse, DropSharedKeyRequest, DropSharedKeyResponse,
            ListSharedKeysRequest, ListSharedKeysResponse, SharedKey as Listed,
        },
    },
};

/// What an operator is told of an ID that is no key's.
pub const NO_SUCH_KEY: &str = "no shared key with this ID";

/// Lends a key.
pub(super) async fn add(host: &Host, request: AddSharedKeyRequest) -> Result<AddSharedKeyResponse, Status> {
    let key = host.lend(new_shared_key(request)).await.map_err(|error| rpc::error::status(&error))?;
    let username = host.glance(|engine, _| engine.user(key.owner).map(User::username));
    // The ID is the key.
    tracing::info!(user.id = %key.owner, "an operator lent a key of account {}", key.owner);
    Ok(shared_key(&key, username.unwrap_or_default()))
}

/// Lists the keys that an account lends.
pub(super) async fn list(
    host: &Host,
    request: ListSharedKeysRequest,
) -> Result<ListSharedKeysResponse, Status> {
    let id = UserId(request.owner);
    host.bring_user(id).await.map_err(|error| rpc::error::status(&error))?;
    let listed = host.glance(|engine, _| engine.user(id).map(shared_keys));
    listed.ok_or_else(|| rpc::error::status(&crate::domain::Error::UserNotFound))
}

/// Lends a key no more.
pub(super) async fn drop(
    host: &Host,
    request: &DropSharedKeyRequest,
) -> Result<DropSharedKeyResponse, Status> {
    let unknown = || Status::not_found(NO_SUCH_KEY);
    let id = SharedKeyId::parse(&request.id).ok_or_else(unknown)?;
    let known = host.payer_of_key(KeyHash::of(&id.to_string())).await;
    let Some((owner, Some(id))) = known.map_err(|error| rpc::error::status(&error))? else {
        return Err(unknown());
    };
    let dropped = host.act(move |engine, step, _| engine.drop_shared_key(step, owner, id)).await;
    dropped.map_err(|error| rpc::error::status(&error))?;
    let username = host.glance(|engine, _| engine.user(owner).map(User::username)).unwrap_or_default();
    tracing::info!(user.id = %owner, "an operator dropped a key of account {owner}");
    Ok(DropSharedKeyResponse { id: id.to_string(), username })
}

/// Reads which key an operator wants to lend; the engine says whether it may be.
pub fn new_shared_key(request: AddSharedKeyRequest) -> NewSharedKey {
    let AddSharedKeyRequest {
        owner,
        name,
        kudos,
        expiry_days,
        max_image_pixels,
        max_image_steps,
        max_text_tokens,
    } = request;
    let owner = UserId(owner);
    NewSharedKey {
        owner,
        name,
        kudos,
        days: expiry_days,
        max_image_pixels,
        max_image_steps,
        max_text_tokens,
        is_counted: false,
    }
}

/// What the operator is told of a key that is lent.
pub fn shared_key(key: &SharedKey, username: String) -> AddSharedKeyResponse {
    AddSharedKeyResponse {
        id: key.id.to_string(),
        username,
        name: key.name.clone(),
        kudos: key.budget.map_or(-1, Kudos::floor),
        expiry: key.expires_at.map(rpc::rfc822),
        max_image_pixels: key.max_image_pixels.unwrap_or(-1),
        max_image_steps: key.max_image_steps.unwrap_or(-1),
        max_text_tokens: key.max_text_tokens.unwrap_or(-1),
    }
}

/// What the operator is told of all keys that an account lends, oldest first.
pub fn shared_keys(user: &User) -> ListSharedKeysResponse {
    let mut keys: Vec<_> = user.shared_keys.iter().collect();
    keys.sort_by_key(|key| (key.created_at, key.id));
    let listed = |key: &SharedKey| Listed {
        id: key.id.to_string(),
        username: user.username(),
        name: key.name.clone(),
        kudos: key.budget.map_or(-1, Kudos::floor),
        utilized: key.utilized.floor(),
        expiry: key.expires_at.map(rpc::rfc822),
        max_image_pixels: key.max_image_pixels.unwrap_or(-1),
        max_image_steps: key.max_image_steps.unwrap_or(-1),
        max_text_tokens: key.max_text_tokens.unwrap_or(-1),
    };
    ListSharedKeysResponse { keys: keys.into_iter().map(listed).collect() }
}
