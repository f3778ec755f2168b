//! Pops that are held open until a job fits, or their time is over.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use crate::{
    domain::{Result, Timestamp},
    engine::{Grant, Push},
    host::Parcel,
    rpc::{
        Api,
        convert::{self, grant, offer, people},
        gate::Call,
        pb,
    },
};

/// Holds an image pop.
pub async fn image(api: &Api, call: Call<pb::PopImageRequest>) -> Result<pb::PopImageResponse> {
    let Call { message, key, wait_seconds, address, .. } = call;
    let caller = api.caller(key).await?;
    drawing(api, caller, offer::image(message)?, address, wait_seconds).await
}

/// Holds a pop of videos alone.
pub async fn video(api: &Api, call: Call<pb::PopVideoRequest>) -> Result<pb::PopImageResponse> {
    let Call { message, key, wait_seconds, address, .. } = call;
    let caller = api.caller(key).await?;
    drawing(api, caller, offer::video(message)?, address, wait_seconds).await
}

async fn drawing(
    api: &Api,
    caller: crate::domain::UserId,
    offer: offer::Offer,
    address: Option<IpAddr>,
    wait_seconds: Option<u64>,
) -> Result<pb::PopImageResponse> {
    let name = offer.name.clone();
    let fetches = offer.profile.bridge.fetches(api.objects.are_links_https());
    let answer = match held(api, caller, offer, address, wait_seconds).await? {
        Held::Job(parcel) => {
            let answer = match parcel.peek() {
                Push::Grant(job) => grant::image(job, &api.objects, fetches).await?,
                _ => grant::no_image(BTreeMap::new()),
            };
            // Until here a failure, or a client that hung up, would have given the jobs back.
            parcel.open();
            answer
        }
        Held::Nothing(skipped) => grant::no_image(skipped),
    };
    Ok(pb::PopImageResponse { messages: messages(api, &name), ..answer })
}

/// What a worker is told besides.
fn messages(api: &Api, name: &str) -> Vec<pb::WorkerMessage> {
    let messages = api.host.glance(|engine, now| {
        engine.worker_by_name(name).map(|worker| engine.messages_for(worker.id, now)).unwrap_or_default()
    });
    messages.iter().map(|message| people::note(message)).collect()
}

/// Holds a text pop.
pub async fn text(api: &Api, call: Call<pb::PopTextRequest>) -> Result<pb::PopTextResponse> {
    let Call { message, key, wait_seconds, address, .. } = call;
    let caller = api.caller(key).await?;
    let offer = offer::text(message)?;
    let name = offer.name.clone();
    let answer = match held(api, caller, offer, address, wait_seconds).await? {
        Held::Job(parcel) => match parcel.open() {
            Push::Grant(job) => grant::text(&job),
            _ => grant::no_text(BTreeMap::new()),
        },
        Held::Nothing(skipped) => grant::no_text(skipped),
    };
    Ok(pb::PopTextResponse { messages: messages(api, &name), ..answer })
}

/// Holds a pop for forms. They come request by request, and are answered all at once.
pub async fn alchemy(api: &Api, call: Call<pb::PopAlchemyRequest>) -> Result<pb::PopAlchemyResponse> {
    let Call { message, key, wait_seconds, address, .. } = call;
    let caller = api.caller(key).await?;
    let offer = convert::alchemy::offer(message)?;
    let until = until(api, wait_seconds);
    api.porter.receive(caller, &offer.name, address).await?;
    let mut tries = 0;
    let mut ticket = loop {
        let (host, offer) = (api.host.clone(), offer.clone());
        let amount = offer.profile.amount as usize;
        let pop = api.host.act(move |engine, step, desk| {
            let held = engine.pop(step, caller, offer.arrival(address), offer.profile.clone(), until)?;
            Ok(desk.hold_stream(&host, held.offer, amount))
        });
        match pop.await {
            // Another broker made the worker at the same moment; it is known here by now.
            Err(crate::domain::Error::Overtaken) if tries < MORE_TRIES => tries += 1,
            ticket => break ticket?,
        }
    };
    let mut parcels = Vec::new();
    // It ends with a push that has no jobs, or with the broker.
    let mut skipped = BTreeMap::new();
    while let Some(parcel) = ticket.inbox.recv().await {
        match parcel.peek() {
            Push::Grant(_) => parcels.push(*parcel),
            _ => {
                if let Push::Empty { skipped: counts } = parcel.open() {
                    skipped = counts;
                }
                break;
            }
        }
    }
    let grants = parcels.iter().filter_map(|parcel| match parcel.peek() {
        Push::Grant(grant) => Some(grant),
        _ => None,
    });
    let answer = match parcels.is_empty() {
        true => convert::alchemy::nothing(skipped),
        false => convert::alchemy::popped(grants, &api.objects),
    };
    // Until here a client that hung up would have given the jobs back.
    for parcel in parcels {
        parcel.open();
    }
    Ok(answer)
}

/// Until when a pop is held.
fn until(api: &Api, wait_seconds: Option<u64>) -> Timestamp {
    let longest = wait_seconds.map_or(api.long_poll, |wait| Duration::from_secs(wait).min(api.long_poll));
    api.host.now().plus(longest)
}

/// How often a worker is tried to be made while other brokers make it too.
pub(super) const MORE_TRIES: usize = 5;

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
    address: Option<IpAddr>,
    wait_seconds: Option<u64>,
) -> Result<Held> {
    let until = until(api, wait_seconds);
    api.porter.receive(caller, &offer.name, address).await?;
    let mut tries = 0;
    let parcel = loop {
        let (host, offer) = (api.host.clone(), offer.clone());
        let pop = api.host.act(move |engine, step, desk| {
            let held = engine.pop(step, caller, offer.arrival(address), offer.profile.clone(), until)?;
            Ok(desk.hold_pop(&host, held.offer))
        });
        let mut ticket = match pop.await {
            // Another broker made the worker at the same moment; it is known here by now.
            Err(crate::domain::Error::Overtaken) if tries < MORE_TRIES => {
                tries += 1;
                continue;
            }
            ticket => ticket?,
        };
        match (&mut ticket.inbox).await {
            Ok(parcel) => break parcel,
            // The broker stops: the worker asks again, of whoever answers then.
            Err(_) if api.host.stopping().is_cancelled() => return Ok(Held::Nothing(BTreeMap::new())),
            // What it was about to get is another broker's.
            Err(_) => {}
        }
    };
    match parcel.peek() {
        Push::Grant(Grant { .. }) => Ok(Held::Job(parcel)),
        _ => match parcel.open() {
            Push::Empty { skipped } => Ok(Held::Nothing(skipped)),
            _ => Ok(Held::Nothing(BTreeMap::new())),
        },
    }
}
