//! Keys that are lent.

use super::dates;
use crate::{
    domain::{
        Kudos,
        shared_key::{KeyChange, SharedKey},
        user::User,
    },
    rpc::pb,
};

/// A key, as whoever knows it is shown it.
pub fn details(key: &SharedKey, owner: Option<&User>) -> pb::SharedKeyDetails {
    pb::SharedKeyDetails {
        id: key.id.to_string(),
        username: owner.map(User::username).unwrap_or_default(),
        name: key.name.clone().unwrap_or_default(),
        kudos: key.budget.map_or(-1, Kudos::floor),
        expiry: key.expires_at.map(dates::rfc822),
        utilized: key.utilized.floor(),
        max_image_pixels: key.max_image_pixels.unwrap_or(-1),
        max_image_steps: key.max_image_steps.unwrap_or(-1),
        max_text_tokens: key.max_text_tokens.unwrap_or(-1),
    }
}

/// What is to change of a key, but for when it ends: that depends on when it is changed.
pub fn change(message: pb::UpdateSharedKeyRequest) -> KeyChange {
    let bound = |value: Option<i32>| value.map(|value| (value >= 0).then_some(i64::from(value)));
    KeyChange {
        name: message.name,
        budget: message.kudos.map(|kudos| (kudos >= 0).then(|| Kudos::whole(kudos))),
        expires_at: None,
        max_image_pixels: bound(message.max_image_pixels),
        max_image_steps: bound(message.max_image_steps),
        max_text_tokens: bound(message.max_text_tokens),
    }
}
