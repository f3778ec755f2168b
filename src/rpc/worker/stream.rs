//! Pop streams: an offer with credits, and what is pushed down to it.

use std::time::Duration;

use async_stream::try_stream;
use futures_util::Stream;
use tokio::time::Instant;
use tonic::Status;

use crate::{
    domain::{AttemptId, OfferId, Timestamp, request::Kind},
    engine::{Adoption, Grant, Push},
    host::{Host, Parcel},
    rpc::{
        Api,
        check::violation,
        convert::{self, count, grant, offer, people},
        error,
        gate::Call,
        pb::{self, pop_stream_response::Push as Told},
        refuse,
    },
};

/// A stream on which nothing was sent for so long gets a keep-alive.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// What a worker is told that it has, once the broker goes down.
const DRAIN_GRACE_SECONDS: i32 = 10;

/// A stream that is open.
pub struct Open<S> {
    /// The offer that it holds.
    pub offer: OfferId,
    /// Jobs that may be outstanding.
    pub credits: usize,
    /// What it is sent.
    pub pushes: S,
}

/// Opens a stream; its first message is `opened`.
pub async fn open(
    api: &Api,
    call: Call<pb::PopStreamRequest>,
) -> Result<Open<impl Stream<Item = Result<pb::PopStreamResponse, Status>> + Send + use<>>, Status> {
    let Call { message, key, address, .. } = call;
    let caller = api.caller(key).await.map_err(refuse)?;
    let offer = match (message.image, message.text, message.video, message.alchemy) {
        (Some(image), None, None, None) => offer::image(image).map_err(refuse)?,
        (None, Some(text), None, None) => offer::text(text).map_err(refuse)?,
        (None, None, Some(video), None) => offer::video(video).map_err(refuse)?,
        (None, None, None, Some(forms)) => convert::alchemy::offer(forms).map_err(refuse)?,
        (None, None, None, None) => {
            let message = "set image, text, video or alchemy: what does the worker offer?";
            return Err(violation("image", message));
        }
        _ => return Err(violation("text", "set one of image, text, video and alchemy, not several")),
    };
    let fetches = offer.profile.bridge.fetches(api.objects.are_links_https());
    let wanted = message.credits.map_or(offer.profile.threads, |credits| credits.unsigned_abs());
    let credits = wanted.max(1) as usize;
    let held: Vec<_> = message.held.iter().filter_map(|id| AttemptId::parse(id)).collect();
    for id in &held {
        api.host.bring(*id, Adoption::GoesOn, Some(caller)).await.map_err(refuse)?;
    }
    api.porter.receive(caller, &offer.name, address).await.map_err(refuse)?;
    let mut tries = 0;
    let (opened, mut ticket, notes) = loop {
        let (host, offer, held) = (api.host.clone(), offer.clone(), held.clone());
        let opening = api.host.act(move |engine, step, desk| {
            let (arrival, profile) = (offer.arrival(address), offer.profile.clone());
            let opened = engine.open_stream(step, caller, arrival, profile, credits, &held)?;
            let ticket = desk.hold_stream(&host, opened.offer, credits);
            let notes = engine.messages_for(opened.worker, step.now);
            Ok((opened, ticket, notes))
        });
        match opening.await {
            // Another broker made the worker at the same moment; it is known here by now.
            Err(crate::domain::Error::Overtaken) if tries < super::pop::MORE_TRIES => tries += 1,
            outcome => break outcome.map_err(refuse)?,
        }
    };
    api.host.tell_stream_opened(opened.worker);

    let (host, objects, offer) = (api.host.clone(), api.objects.clone(), opened.offer);
    let pushes = try_stream! {
        yield told(Told::Opened(pb::Opened {
            worker_id: opened.worker.to_string(),
            credits: count(credits),
            kept: opened.kept.iter().map(AttemptId::to_string).collect(),
        }));
        for note in &notes {
            yield told(Told::Message(people::note(note)));
        }
        // Only now may jobs come: the first message is out.
        start(&host, opened.offer).await.map_err(refuse)?;
        let mut quiet_until = Instant::now() + KEEP_ALIVE;
        loop {
            let parcel = tokio::select! {
                biased;
                parcel = ticket.inbox.recv() => parcel,
                () = host.stopping().cancelled() => None,
                () = tokio::time::sleep_until(quiet_until) => {
                    quiet_until = Instant::now() + KEEP_ALIVE;
                    yield told(Told::KeepAlive(pb::KeepAlive {}));
                    continue;
                }
            };
            let Some(parcel) = parcel else {
                yield told(Told::Drain(pb::Drain { grace_seconds: DRAIN_GRACE_SECONDS }));
                Err(refuse(crate::domain::Error::Draining { retry_after: crate::host::RETRY_AFTER }))?;
                return;
            };
            if let Some(message) = push(*parcel, &objects, fetches).await? {
                quiet_until = Instant::now() + KEEP_ALIVE;
                yield message;
            }
        }
    };
    Ok(Open { offer, credits, pushes })
}

async fn start(host: &Host, offer: OfferId) -> crate::domain::Result<()> {
    host.act(move |engine, step, _| {
        engine.start_stream(step, offer);
        Ok(())
    })
    .await
}

fn told(push: Told) -> pb::PopStreamResponse {
    pb::PopStreamResponse { push: Some(push) }
}

/// What a worker is sent. Jobs whose message cannot be made go back.
async fn push(
    parcel: Parcel,
    objects: &crate::host::Objects,
    fetches: bool,
) -> Result<Option<pb::PopStreamResponse>, Status> {
    let message = match parcel.peek() {
        Push::Grant(job) => Some(Told::Assignment(assignment(job, objects, fetches).await?)),
        Push::Cancel { attempts, reason } => Some(Told::Cancel(pb::Cancel {
            ids: attempts.iter().map(AttemptId::to_string).collect(),
            reason: reason.clone(),
        })),
        Push::Replaced => return Err(replaced()),
        Push::Dismissed => {
            return Err(refuse(crate::domain::Error::WorkerNotFound("this one, any more".into())));
        }
        Push::Note(note) => Some(Told::Message(people::note(note))),
        Push::Empty { .. } => None,
    };
    parcel.open();
    Ok(message.map(told))
}

async fn assignment(
    job: &Grant,
    objects: &crate::host::Objects,
    fetches: bool,
) -> Result<pb::Assignment, Status> {
    let expires_at = job.attempts.first().map(|attempt| attempt.expires_at);
    let kind = job.spec.kind();
    let alchemy = (kind == Kind::Alchemy).then(|| convert::alchemy::popped([job], objects));
    let (image, text) = match kind {
        Kind::Image | Kind::Video => (Some(grant::image(job, objects, fetches).await.map_err(refuse)?), None),
        Kind::Text => (None, Some(grant::text(job))),
        Kind::Alchemy => (None, None),
    };
    Ok(pb::Assignment {
        ids: job.attempts.iter().map(|attempt| attempt.id.to_string()).collect(),
        expire_time: expires_at.map(timestamp),
        image,
        text,
        alchemy,
    })
}

fn timestamp(at: Timestamp) -> prost_types::Timestamp {
    let nanos = i32::try_from(at.0.rem_euclid(1000)).unwrap_or(0) * 1_000_000;
    prost_types::Timestamp { seconds: at.0.div_euclid(1000), nanos }
}

/// The newest stream of a worker wins.
fn replaced() -> Status {
    error::with_reason(
        tonic::Code::Aborted,
        pb::Reason::StreamReplaced,
        "another stream was opened under this worker's name; this one ends",
        std::collections::HashMap::new(),
        None,
    )
}
