//! Step 4 of the contract's order: the style that a request asks for; and who pays because of it.

use std::net::IpAddr;

use crate::{
    domain::{Result, SharedKeyId, UserId, request::Kind, user::KeyHash},
    engine::Styled,
    host::Picked,
    rpc::Api,
};

/// On whose behalf a request is made.
pub(super) struct Paid {
    /// The account.
    pub owner: UserId,
    /// The key that it lends, to who asks or to the style.
    pub shared_key: Option<SharedKeyId>,
    /// That key pays for styles alone, and none of them is asked for.
    pub key_is_for_styles: bool,
    /// The style.
    pub styled: Option<Styled>,
}

/// The style of that ID or name, or one of the collection.
pub(super) async fn pick(api: &Api, text: Option<&str>, kind: Kind) -> Result<Option<Picked>> {
    match text {
        Some(text) => api.host.pick_style(text, kind).await.map(Some),
        None => Ok(None),
    }
}

/// Who asks, and who pays: a key that the style has comes before the one that was sent.
pub(super) async fn payer(
    api: &Api,
    key: Option<KeyHash>,
    address: Option<IpAddr>,
    picked: Option<Picked>,
) -> Result<Paid> {
    let (asker, borrowed) = api.payer(key).await?;
    // Whoever borrowed a key is not beyond doubt because its owner is.
    if borrowed.is_none() {
        api.welcome(asker, address);
    }
    let lender = picked.as_ref().and_then(|picked| picked.lender);
    let styled = picked.map(|Picked { style, collection, .. }| Styled {
        style: style.id,
        kind: style.kind,
        collection,
        author: style.owner,
        asker,
        lends: lender.is_some(),
    });
    if let Some((owner, lent)) = lender {
        return Ok(Paid { owner, shared_key: Some(lent), key_is_for_styles: false, styled });
    }
    let key_is_for_styles = match borrowed {
        Some(key) => api.host.is_for_styles(key).await?,
        None => false,
    };
    Ok(Paid { owner: asker, shared_key: borrowed, key_is_for_styles, styled })
}
