//! Messages to workers, for those who write them.

use std::time::Duration;

use crate::{
    domain::{Error, MessageId, Result, UserId, WorkerId, board::WorkerMessage, user::User},
    engine::NewMessage,
    rpc::{Api, check::Check, convert::people, gate::Call, pb},
};

/// Messages of a page.
const PAGE: usize = 25;
const HOUR: Duration = Duration::from_secs(3600);

/// Messages, page by page.
pub async fn list(api: &Api, call: Call<pb::ListMessagesRequest>) -> Result<pb::ListMessagesResponse> {
    let Call { message, key, .. } = call;
    let viewer = api.authorize::<pb::ListMessagesRequest>(key, None).await?;
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let author = given(&message.user_id).map(|text| text.parse().ok().map(UserId));
    let worker = given(&message.worker_id).map(|text| WorkerId::parse(&text));
    let validity = message.validity.unwrap_or_default();
    let page = usize::try_from(message.page.unwrap_or(1).max(1) - 1).unwrap_or(0);
    let found = api.host.read(move |engine, now| {
        let is_wanted = |message: &WorkerMessage| {
            author.is_none_or(|author| author == Some(message.author))
                && worker.is_none_or(|worker| worker.is_some() && worker == message.worker)
                && match validity.as_str() {
                    "all" => true,
                    "expired" => !message.is_active(now),
                    _ => message.is_active(now),
                }
        };
        let seen = engine.messages_seen_by(viewer).filter(|message| is_wanted(message));
        seen.skip(page.saturating_mul(PAGE)).take(PAGE).map(|message| people::message(message)).collect()
    });
    Ok(pb::ListMessagesResponse { messages: found.await? })
}

/// Sends a message.
pub async fn post(api: &Api, call: Call<pb::PostMessageRequest>) -> Result<pb::MessageDetails> {
    let Call { message, key, .. } = call;
    let author = api.authorize::<pb::PostMessageRequest>(key, None).await?;
    if message.has_nul() {
        return Err(Error::NulByte);
    }
    let worker = message.worker_id.filter(|text| !text.is_empty());
    let worker = worker.map(|text| WorkerId::parse(&text).ok_or(Error::WorkerNotFound(text))).transpose()?;
    let (note, origin) = (message.message.unwrap_or_default(), message.origin);
    let lasts = HOUR * message.expiry.unwrap_or(1).unsigned_abs();
    let posted = api.host.act(move |engine, step, _| {
        let own = || engine.user(author).map(User::username).unwrap_or_default();
        let origin = origin.unwrap_or_else(own);
        let posted =
            engine.send_message(step, NewMessage { worker, author, origin, message: note, lasts })?;
        Ok(people::message(&posted))
    });
    posted.await
}

/// A message.
pub async fn get(api: &Api, call: Call<pb::GetMessageRequest>) -> Result<pb::MessageDetails> {
    let text = call.message.id;
    let Some(id) = MessageId::parse(&text) else { return Err(Error::MessageNotFound(text)) };
    let found = api.host.read(move |engine, _| engine.message(id).map(|message| people::message(message)));
    found.await?.ok_or(Error::MessageNotFound(text))
}

/// Withdraws a message.
pub async fn delete(api: &Api, call: Call<pb::DeleteMessageRequest>) -> Result<pb::DeleteMessageResponse> {
    let Call { message: pb::DeleteMessageRequest { id: text }, key, .. } = call;
    let unknown = || Error::MessageNotFound(text.clone());
    let id = MessageId::parse(&text).ok_or_else(unknown)?;
    let author = api.host.read(move |engine, _| engine.message(id).map(|message| message.author)).await?;
    let author = author.ok_or_else(unknown)?;
    api.authorize::<pb::DeleteMessageRequest>(key, Some(author)).await?;
    if !api.host.act(move |engine, step, _| Ok(engine.withdraw_message(step, id))).await? {
        return Err(unknown());
    }
    Ok(pb::DeleteMessageResponse { message: "OK".into() })
}
