//! The SharedKeys service: keys that accounts lend to others.

use std::time::Duration;

use tonic::{Request, Response, Status};

use super::{
    Api,
    check::Check,
    convert::lent,
    gate::{Call, enter},
    pb::{self, shared_keys_server::SharedKeys},
    refuse,
    rules::Rule,
};
use crate::{
    domain::{Error, Result, SharedKeyId, UserId, shared_key::KeyChange, user::KeyHash},
    engine::NewSharedKey,
};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// The SharedKeys service.
pub struct SharedKeysService(pub Api);

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl SharedKeys for SharedKeysService {
    async fn create_shared_key(
        &self,
        request: Request<pb::CreateSharedKeyRequest>,
    ) -> Answer<pb::SharedKeyDetails> {
        let call = enter(&*self.0.gate, request)?;
        create(&self.0, call).await.map(Response::new).map_err(refuse)
    }

    async fn get_shared_key(
        &self,
        request: Request<pb::GetSharedKeyRequest>,
    ) -> Answer<pb::SharedKeyDetails> {
        let id = enter(&*self.0.gate, request)?.message.id;
        shown(&self.0, &id).await.map(Response::new).map_err(refuse)
    }

    async fn update_shared_key(
        &self,
        request: Request<pb::UpdateSharedKeyRequest>,
    ) -> Answer<pb::SharedKeyDetails> {
        let call = enter(&*self.0.gate, request)?;
        update(&self.0, call).await.map(Response::new).map_err(refuse)
    }

    async fn delete_shared_key(
        &self,
        request: Request<pb::DeleteSharedKeyRequest>,
    ) -> Answer<pb::DeleteSharedKeyResponse> {
        let Call { message, key, .. } = enter(&*self.0.gate, request)?;
        let known = lender::<pb::DeleteSharedKeyRequest>(&self.0, key, &message.id).await;
        let (owner, id) = known.map_err(refuse)?;
        let deleted = self.0.host.act(move |engine, step, _| engine.drop_shared_key(step, owner, id));
        deleted.await.map_err(refuse)?;
        Ok(Response::new(pb::DeleteSharedKeyResponse { message: "OK".into() }))
    }
}

async fn create(api: &Api, call: Call<pb::CreateSharedKeyRequest>) -> Result<pb::SharedKeyDetails> {
    let Call { message, key, .. } = call;
    let owner = api.authorize::<pb::CreateSharedKeyRequest>(key, None).await?;
    if message.has_nul() {
        return Err(Error::NulByte);
    }
    let bound = |value: Option<i32>| value.map_or(-1, i64::from);
    let new = NewSharedKey {
        owner,
        name: message.name,
        kudos: message.kudos.unwrap_or(-1),
        days: bound(message.expiry),
        max_image_pixels: bound(message.max_image_pixels),
        max_image_steps: bound(message.max_image_steps),
        max_text_tokens: bound(message.max_text_tokens),
        is_counted: true,
    };
    let lent = api.host.lend(new).await?;
    shown(api, &lent.id.to_string()).await
}

async fn update(api: &Api, call: Call<pb::UpdateSharedKeyRequest>) -> Result<pb::SharedKeyDetails> {
    let Call { message, key, .. } = call;
    let (owner, id) = lender::<pb::UpdateSharedKeyRequest>(api, key, &message.id).await?;
    if message.has_nul() {
        return Err(Error::NulByte);
    }
    let changed = api.host.act(move |engine, step, _| {
        let after = |days: i32| (days >= 0).then(|| step.now.plus(DAY * days.unsigned_abs()));
        let change = KeyChange { expires_at: message.expiry.map(after), ..lent::change(message) };
        let key = engine.change_shared_key(step, owner, id, change)?;
        Ok(lent::details(&key, engine.user(owner)))
    });
    changed.await
}

/// A key, as whoever knows it is shown it.
async fn shown(api: &Api, text: &str) -> Result<pb::SharedKeyDetails> {
    let (owner, id) = known(api, text).await?;
    let found = api.host.read(move |engine, _| {
        let user = engine.user(owner)?;
        user.shared_key(id).map(|key| lent::details(key, Some(user)))
    });
    found.await?.ok_or(Error::InvalidApiKey)
}

/// Who lends the key with this ID, and its ID.
async fn known(api: &Api, text: &str) -> Result<(UserId, SharedKeyId)> {
    // Its ID is a key: where there is none with it, it is an unknown key.
    let id = SharedKeyId::parse(text).ok_or(Error::InvalidApiKey)?;
    match api.host.payer_of_key(KeyHash::of(&id.to_string())).await? {
        Some((owner, Some(id))) => Ok((owner, id)),
        _ => Err(Error::InvalidApiKey),
    }
}

/// The same, if it is the caller.
async fn lender<T: Rule>(api: &Api, key: Option<KeyHash>, text: &str) -> Result<(UserId, SharedKeyId)> {
    let (owner, id) = known(api, text).await?;
    match api.authorize::<T>(key, Some(owner)).await {
        // Nobody in particular is as anybody else who does not lend it.
        Err(Error::AnonForbidden) => {
            Err(Error::Forbidden("this takes the account that lends the key".into()))
        }
        outcome => outcome.map(|_| (owner, id)),
    }
}
