//! The broker's status as it changes: one look a second, whoever watches.

use std::{cmp::Reverse, sync::Arc, time::Duration};

use async_stream::try_stream;
use futures_util::Stream;
use tokio::time::Instant;
use tonic::Status;

use super::{heartbeat_of, model, shared::Shared, threads};
use crate::{
    domain::{Error, Timestamp, request::Kind, user::Role, worker::Worker},
    engine::Engine,
    host::RETRY_AFTER,
    rpc::{
        Api,
        convert::{count, people},
        pb::{self, watch_status_response::Event},
        refuse,
    },
};

/// Between two looks.
const BEAT: Duration = Duration::from_secs(1);
/// A stream on which nothing was sent for so long gets a keep-alive.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Workers that are told of by name.
const MOST_WORKERS: usize = 200;
/// Models that are told of by name.
const MOST_MODELS: usize = 300;

/// The picture that all watchers share.
pub type Live = Arc<Shared<pb::BrokerStatus>>;

/// A picture that nobody watches yet.
pub fn live() -> Live {
    Shared::new(BEAT)
}

/// The stream of one watcher.
pub fn watch(
    live: &Live,
    api: &Api,
) -> impl Stream<Item = Result<pb::WatchStatusResponse, Status>> + Send + use<> {
    let (looker, host) = (api.clone(), api.host.clone());
    let mut pictures = live.watch(move |last| {
        let api = looker.clone();
        async move { picture(&api, last.as_deref()).await }
    });
    try_stream! {
        let mut quiet_until = Instant::now() + KEEP_ALIVE;
        loop {
            let is_changed = tokio::select! {
                biased;
                () = host.stopping().cancelled() => false,
                changed = pictures.changed() => changed.is_ok(),
                () = tokio::time::sleep_until(quiet_until) => {
                    quiet_until = Instant::now() + KEEP_ALIVE;
                    yield told(Event::KeepAlive(pb::KeepAlive {}));
                    continue;
                }
            };
            if !is_changed {
                Err(refuse(Error::Draining { retry_after: RETRY_AFTER }))?;
            }
            let picture = pictures.borrow_and_update().clone();
            if let Some(picture) = picture {
                quiet_until = Instant::now() + KEEP_ALIVE;
                yield told(Event::Status(picture.as_ref().clone()));
            }
        }
    }
}

fn told(event: Event) -> pb::WatchStatusResponse {
    pb::WatchStatusResponse { event: Some(event) }
}

/// How the broker is doing; what cannot be read is as it was.
async fn picture(api: &Api, last: Option<&pb::BrokerStatus>) -> pb::BrokerStatus {
    let heartbeat = Some(heartbeat_of(api).await);
    match api.host.read(figures).await {
        Ok(figures) => pb::BrokerStatus { heartbeat, ..figures },
        Err(_) => pb::BrokerStatus { heartbeat, ..last.cloned().unwrap_or_default() },
    }
}

fn figures(engine: &Engine, now: Timestamp) -> pb::BrokerStatus {
    let (models, model_count) = models(engine, now);
    let (workers, worker_count) = workers(engine, now);
    pb::BrokerStatus {
        heartbeat: None,
        kinds: Kind::ALL.into_iter().map(|kind| figures_of(engine, kind, now)).collect(),
        models,
        model_count,
        workers,
        worker_count,
    }
}

fn figures_of(engine: &Engine, kind: Kind, now: Timestamp) -> pb::KindStatus {
    let figures = engine.performance(kind, now);
    let work = |things: f64| match kind {
        Kind::Image | Kind::Video => super::millions(things),
        Kind::Text | Kind::Alchemy => things,
    };
    // A form is a job of its own, and all that a job of alchemy is measured by.
    let forms = (kind == Kind::Alchemy).then(|| engine.queued_forms());
    pb::KindStatus {
        r#type: kind.word().into(),
        queued_jobs: forms.unwrap_or(figures.queued_jobs) as i64,
        queued_work: forms.map_or_else(|| work(figures.queued_things), |forms| forms as f64),
        workers: count(figures.workers),
        threads: threads(figures.threads),
        past_minute_work: work(figures.past_minute_things),
    }
}

/// The models that matter most, and how many there are.
fn models(engine: &Engine, now: Timestamp) -> (Vec<pb::ActiveModel>, i32) {
    // Forms are no models.
    let kinds = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Alchemy);
    let lines =
        kinds.flat_map(|kind| engine.model_lines(kind, now).into_iter().map(move |line| (kind, line)));
    let mut lines: Vec<_> = lines.filter(|(_, line)| !line.is_special()).collect();
    let all = count(lines.len());
    // Stable: those alike stay in the order of kinds and names.
    lines.sort_by_key(|(_, line)| Reverse((line.threads, line.jobs)));
    lines.truncate(MOST_MODELS);
    (lines.iter().map(|(kind, line)| model(line, *kind)).collect(), all)
}

/// The workers that have been here longest, and how many are online.
fn workers(engine: &Engine, now: Timestamp) -> (Vec<pb::WorkerBrief>, i32) {
    let mut online: Vec<&Worker> = engine.workers().filter(|worker| engine.is_online(worker, now)).collect();
    let all = count(online.len());
    online.sort_unstable_by_key(|worker| (worker.created_at, worker.id));
    online.truncate(MOST_WORKERS);
    let is_trusted = |worker: &Worker| engine.user(worker.owner).is_some_and(|owner| owner.is(Role::Trusted));
    (online.into_iter().map(|worker| people::brief(worker, is_trusted(worker))).collect(), all)
}
