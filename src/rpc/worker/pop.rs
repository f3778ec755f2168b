//! Pops that are held open until a job fits, or their time is over.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    domain::Result,
    engine::{Grant, Push},
    host::Parcel,
    rpc::{
        Api,
        convert::{grant, offer},
        gate::Call,
        pb,
    },
};

/// Holds an image pop.
pub async fn image(api: &Api, call: Call<pb::PopImageRequest>) -> Result<pb::PopImageResponse> {
    let Call { message, key, wait_seconds } = call;
    let caller = api.caller(key).await?;
    let offer = offer::image(message)?;
    let fetches = offer.profile.bridge.can("r2_source");
    match held(api, caller, offer, wait_seconds).await? {
        Held::Job(parcel) => {
            let answer = match parcel.peek() {
                Push::Grant(job) => grant::image(job, &api.objects, fetches).await?,
                _ => grant::no_image(BTreeMap::new()),
            };
            // Until here a failure, or a client that hung up, would have given the jobs back.
            parcel.open();
            Ok(answer)
        }
        Held::Nothing(skipped) => Ok(grant::no_image(skipped)),
    }
}

/// Holds a text pop.
pub async fn text(api: &Api, call: Call<pb::PopTextRequest>) -> Result<pb::PopTextResponse> {
    let Call { message, key, wait_seconds } = call;
    let caller = api.caller(key).await?;
    let offer = offer::text(message)?;
    match held(api, caller, offer, wait_seconds).await? {
        Held::Job(parcel) => match parcel.open() {
            Push::Grant(job) => Ok(grant::text(&job)),
            _ => Ok(grant::no_text(BTreeMap::new())),
        },
        Held::Nothing(skipped) => Ok(grant::no_text(skipped)),
    }
}

/// How a held pop ended.
enum Held {
    /// With a [`Grant`], not taken out yet.
    Job(Parcel),
    /// Without: why requests were passed over.
    Nothing(BTreeMap<&'static str, usize>),
}

async fn held(
    api: &Api,
    caller: crate::domain::UserId,
    offer: offer::Offer,
    wait_seconds: Option<u64>,
) -> Result<Held> {
    let longest = wait_seconds.map_or(api.long_poll, |wait| Duration::from_secs(wait).min(api.long_poll));
    let host = api.host.clone();
    let mut ticket = api
        .host
        .act(move |engine, step, desk| {
            let until = step.now.plus(longest);
            let held = engine.pop(step, caller, &offer.name, offer.profile, until)?;
            Ok(desk.hold_pop(&host, held.offer))
        })
        .await?;
    let Ok(parcel) = (&mut ticket.inbox).await else {
        // The broker stops: the worker asks again, of whoever answers then.
        return Ok(Held::Nothing(BTreeMap::new()));
    };
    match parcel.peek() {
        Push::Grant(Grant { .. }) => Ok(Held::Job(parcel)),
        _ => match parcel.open() {
            Push::Empty { skipped } => Ok(Held::Nothing(skipped)),
            _ => Ok(Held::Nothing(BTreeMap::new())),
        },
    }
}
