//! One worker's stream: open it, take what is pushed, open it again after a cut.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{
    task::{Id, JoinSet},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, Streaming};

use super::{
    Offer, Skills,
    backoff::Backoff,
    connection::Connection,
    job::{Job, Shop},
    refusal,
    reports::Reports,
};
use crate::rpc::pb::{
    PopAlchemyRequest, PopImageRequest, PopStreamRequest, PopStreamResponse, PopTextRequest, PopVideoRequest,
    pop_stream_response::Push,
};

/// The broker says something every 10 s; a stream this quiet is dead.
const SILENCE: Duration = Duration::from_secs(35);
/// A stream that held for so long was a good one.
const GOOD: Duration = Duration::from_secs(5);
/// Most threads that the API lets a worker claim.
const MAX_THREADS: u32 = 50;
/// Most jobs of one request that the API lets a worker take at once.
const MAX_AMOUNT: u32 = 20;

/// Works for one offer until told to stop, then until the jobs it holds are done.
pub(super) async fn serve(
    offer: Offer,
    connection: Connection,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let reports = Reports::default();
    let http = reqwest::Client::builder().connect_timeout(Duration::from_secs(5)).build()?;
    let shop =
        Shop { connection: connection.clone(), http, reports: reports.clone(), model: offer.model.clone() };
    let mut post = Post { offer, shop: Arc::new(shop), stop, held: Held::default() };
    tokio::select! {
        ended = post.keep() => ended,
        never = reports.send(connection.worker()) => match never {},
    }
}

/// A worker at its post.
struct Post {
    offer: Offer,
    shop: Arc<Shop>,
    stop: CancellationToken,
    held: Held,
}

/// Why a stream is no more.
enum End {
    /// Told to stop, and all is done.
    Finished,
    /// It broke, or was refused.
    Broken(Status),
}

impl Post {
    async fn keep(&mut self) -> anyhow::Result<()> {
        let mut backoff = Backoff::default();
        loop {
            let began_at = Instant::now();
            let End::Broken(status) = self.hold_one().await else { return Ok(()) };
            let name = &self.offer.name;
            if !refusal::may_pass(&status) {
                let why = refusal::explain(self.shop.connection.server(), &status);
                anyhow::bail!("worker {name} is refused: {why}");
            }
            if began_at.elapsed() >= GOOD {
                backoff.reset();
            }
            let wait = backoff.wait(refusal::asked_wait(&status));
            let why = if status.code() == Code::Unavailable && refusal::reason(&status).is_none() {
                refusal::explain(self.shop.connection.server(), &status)
            } else {
                status.message().to_owned()
            };
            tracing::warn!(worker.name = %name, "worker {name} tries again in {:.1} s: {why}", wait.as_secs_f64());
            if self.is_over_after(wait).await {
                return Ok(());
            }
        }
    }

    /// Waits, and sees to the jobs meanwhile; true if told to stop with none left.
    async fn is_over_after(&mut self, wait: Duration) -> bool {
        let mut waited = std::pin::pin!(sleep(wait));
        loop {
            if self.stop.is_cancelled() && self.held.is_empty() {
                return true;
            }
            tokio::select! {
                () = &mut waited => return false,
                () = self.held.one_ended() => {}
                () = self.stop.cancelled(), if !self.stop.is_cancelled() => {}
            }
        }
    }

    async fn hold_one(&mut self) -> End {
        let mut client = self.shop.connection.worker();
        let request = opening(&self.offer, self.held.ids());
        let opened = tokio::select! {
            opened = client.pop_stream(request) => opened,
            // With nothing held there is nothing to open a stream for.
            () = self.stop.cancelled(), if self.held.is_empty() => return End::Finished,
        };
        match opened {
            Ok(stream) => self.follow(stream.into_inner()).await,
            Err(status) => End::Broken(status),
        }
    }

    async fn follow(&mut self, mut stream: Streaming<PopStreamResponse>) -> End {
        loop {
            if self.stop.is_cancelled() && self.held.is_empty() {
                return End::Finished;
            }
            let pushed = tokio::select! {
                pushed = timeout(SILENCE, stream.message()) => pushed,
                () = self.held.one_ended() => continue,
                () = self.stop.cancelled(), if !self.stop.is_cancelled() => continue,
            };
            match pushed {
                Ok(Ok(Some(message))) => message.push.into_iter().for_each(|push| self.take(push)),
                Ok(Ok(None)) => return End::Broken(Status::unavailable("the broker closed the stream")),
                Ok(Err(status)) => return End::Broken(status),
                Err(_) => return End::Broken(Status::unavailable("the stream has gone quiet")),
            }
        }
    }

    fn take(&mut self, push: Push) {
        let name = &self.offer.name;
        match push {
            Push::Opened(opened) => {
                tracing::info!(worker.name = %name, credits = opened.credits, "worker {name} is connected");
                self.held.keep_only(&opened.kept);
            }
            // Not reported on, so it goes back without blame when the stream is closed.
            Push::Assignment(_) if self.stop.is_cancelled() => {}
            Push::Assignment(assignment) => {
                for job in Job::all_of(assignment) {
                    self.held.start(&self.shop, job);
                }
            }
            Push::Cancel(cancel) => cancel.ids.iter().for_each(|id| self.held.stop(id)),
            Push::Drain(drain) => {
                let grace_seconds = drain.grace_seconds;
                tracing::info!(worker.name = %name, grace_seconds, "the broker goes down; worker {name} will be back");
            }
            Push::KeepAlive(_) => {}
            Push::Message(note) => {
                tracing::info!(worker.name = %name, "{} tells worker {name}: {}", note.origin, note.message);
            }
        }
    }
}

/// The jobs of one worker.
#[derive(Default)]
struct Held {
    tasks: JoinSet<()>,
    jobs: HashMap<Arc<str>, CancellationToken>,
    by_task: HashMap<Id, Arc<str>>,
}

impl Held {
    fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    fn ids(&self) -> Vec<String> {
        self.jobs.keys().map(ToString::to_string).collect()
    }

    fn start(&mut self, shop: &Arc<Shop>, job: Job) {
        if self.jobs.contains_key(&job.id) {
            return;
        }
        let (id, token, shop) = (job.id.clone(), CancellationToken::new(), shop.clone());
        let stop = token.clone();
        let task = self.tasks.spawn(async move { shop.run(job, stop).await });
        self.by_task.insert(task.id(), id.clone());
        self.jobs.insert(id, token);
    }

    fn stop(&self, id: &str) {
        if let Some(token) = self.jobs.get(id) {
            token.cancel();
        }
    }

    /// Stops what the broker gave to others. What is done already is handed in all the same: it may
    /// have been settled by a call whose answer was lost.
    fn keep_only(&self, kept: &[String]) {
        for (id, token) in &self.jobs {
            if !kept.iter().any(|kept| **kept == **id) {
                token.cancel();
            }
        }
    }

    /// Returns when one of the jobs has come to its end; never while there is none.
    async fn one_ended(&mut self) {
        let Some(ended) = self.tasks.join_next_with_id().await else {
            return std::future::pending().await;
        };
        let task = match ended {
            Ok((task, ())) => task,
            Err(error) => {
                tracing::error!("a job's task ended early: {error}");
                error.id()
            }
        };
        if let Some(id) = self.by_task.remove(&task) {
            self.jobs.remove(&id);
        }
    }
}

fn opening(offer: &Offer, held: Vec<String>) -> PopStreamRequest {
    let (name, models) = (Some(offer.name.clone()), offer.models.clone());
    let bridge_agent = Some(offer.model.bridge_agent().to_owned());
    let threads = Some(offer.slots.clamp(1, MAX_THREADS) as i32);
    let amount = Some(offer.slots.clamp(1, MAX_AMOUNT) as i32);
    let mut request =
        PopStreamRequest { credits: Some(offer.slots.max(1) as i32), held, ..Default::default() };
    match offer.skills {
        Skills::Text { max_length, max_context_length } => {
            request.text = Some(PopTextRequest {
                name,
                models,
                bridge_agent,
                threads,
                amount,
                max_length: Some(max_length),
                max_context_length: Some(max_context_length),
                nsfw: Some(true),
                ..Default::default()
            });
        }
        Skills::Alchemy { max_tiles } => {
            request.alchemy = Some(PopAlchemyRequest {
                name,
                forms: models,
                bridge_agent,
                threads,
                amount,
                max_tiles: Some(max_tiles),
                ..Default::default()
            });
        }
        Skills::Video { max_pixels } => {
            request.video = Some(PopVideoRequest {
                name,
                models,
                bridge_agent,
                threads,
                amount,
                max_pixels: Some(max_pixels),
                nsfw: Some(true),
                allow_img2img: Some(false),
                allow_painting: Some(false),
                allow_unsafe_ipaddr: Some(false),
                allow_post_processing: Some(false),
                ..Default::default()
            });
        }
        Skills::Image { max_pixels } => {
            request.image = Some(PopImageRequest {
                name,
                models,
                bridge_agent,
                threads,
                amount,
                max_pixels: Some(max_pixels),
                nsfw: Some(true),
                allow_img2img: Some(false),
                allow_painting: Some(false),
                allow_unsafe_ipaddr: Some(false),
                allow_post_processing: Some(false),
                ..Default::default()
            });
        }
    }
    request
}
