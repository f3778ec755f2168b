//! The Status service: how the whole broker is doing.

mod live;
mod shared;

use std::pin::Pin;

use futures_util::Stream;
use tonic::{Request, Response, Status};

use self::live::Live;
use super::{
    Api,
    convert::count,
    gate::{Call, enter},
    pb::{self, status_server},
    refuse,
};
use crate::{
    domain::{Error, UserId, bulletin::Piece, request::Kind},
    engine::{Engine, ModelLine, ModesUpdate},
};

/// The Status service.
pub struct StatusService(Api, Live);

impl StatusService {
    /// The service of a broker.
    pub fn new(api: Api) -> Self {
        Self(api, live::live())
    }
}

#[tonic::async_trait]
impl status_server::Status for StatusService {
    type WatchStatusStream = Pin<Box<dyn Stream<Item = Result<pb::WatchStatusResponse, Status>> + Send>>;

    async fn heartbeat(
        &self,
        request: Request<pb::HeartbeatRequest>,
    ) -> Result<Response<pb::HeartbeatResponse>, Status> {
        enter(&*self.0.gate, request)?;
        Ok(Response::new(heartbeat_of(&self.0).await))
    }

    async fn performance(
        &self,
        request: Request<pb::PerformanceRequest>,
    ) -> Result<Response<pb::PerformanceResponse>, Status> {
        enter(&*self.0.gate, request)?;
        // The contract has no figures of videos: they are counted with images, in the same unit.
        let look = |engine: &Engine, now| {
            let drawing = engine.drawing_performance(now);
            let [text, alchemy] = [Kind::Text, Kind::Alchemy].map(|kind| engine.performance(kind, now));
            (drawing, text, alchemy, engine.queued_forms())
        };
        let (image, text, alchemy, queued_forms) = self.0.host.read(look).await.map_err(refuse)?;
        Ok(Response::new(pb::PerformanceResponse {
            queued_requests: image.queued_jobs as i64,
            queued_text_requests: text.queued_jobs as i64,
            worker_count: count(image.workers),
            text_worker_count: count(text.workers),
            thread_count: threads(image.threads),
            text_thread_count: threads(text.threads),
            queued_megapixelsteps: millions(image.queued_things),
            past_minute_megapixelsteps: millions(image.past_minute_things),
            queued_forms: queued_forms as f64,
            interrogator_count: count(alchemy.workers),
            interrogator_thread_count: threads(alchemy.threads),
            queued_tokens: text.queued_things,
            past_minute_tokens: text.past_minute_things,
        }))
    }

    async fn list_models(
        &self,
        request: Request<pb::ListModelsRequest>,
    ) -> Result<Response<pb::ListModelsResponse>, Status> {
        let asked = enter(&*self.0.gate, request)?.message;
        let (wants_known, wants_custom) = match asked.model_state() {
            "all" => (true, true),
            "known" => (true, false),
            "custom" => (false, true),
            other => {
                return Err(refuse(Error::BadRequest(format!(
                    "model_state is {other:?}: ask for all, known or custom"
                ))));
            }
        };
        // Forms are no models.
        let kinds = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Alchemy);
        let Some(kind) = { kinds }.find(|kind| kind.word() == asked.r#type()) else {
            return Ok(Response::new(pb::ListModelsResponse::default()));
        };
        let lines = self.0.host.read(move |engine, now| engine.model_lines(kind, now)).await;
        let is_wanted = |line: &ModelLine| {
            let threads = i64::try_from(line.threads).unwrap_or(i64::MAX);
            let is_state = if line.is_known { wants_known } else { wants_custom };
            !line.is_special()
                && is_state
                && asked.min_count.is_none_or(|least| threads >= least.into())
                && asked.max_count.is_none_or(|most| threads <= most.into())
        };
        let lines = lines.map_err(refuse)?;
        let models = lines.iter().filter(|line| is_wanted(line)).map(|line| model(line, kind)).collect();
        Ok(Response::new(pb::ListModelsResponse { models }))
    }

    async fn get_model(
        &self,
        request: Request<pb::GetModelRequest>,
    ) -> Result<Response<pb::GetModelResponse>, Status> {
        let name = enter(&*self.0.gate, request)?.message.name;
        let found = self.0.host.read(move |engine, now| {
            Kind::ALL.into_iter().filter(|kind| *kind != Kind::Alchemy).find_map(|kind| {
                let line = engine.model_lines(kind, now).into_iter().find(|line| line.name == name)?;
                // Of one model all work is told, not one job of each request.
                Some(pb::ActiveModel { queued: line.queued_things_of_all, ..model(&line, kind) })
            })
        });
        Ok(Response::new(pb::GetModelResponse { models: found.await.map_err(refuse)?.into_iter().collect() }))
    }

    async fn get_modes(
        &self,
        request: Request<pb::GetModesRequest>,
    ) -> Result<Response<pb::GetModesResponse>, Status> {
        let key = enter(&*self.0.gate, request)?.key;
        let viewer = match key {
            Some(key) => Some(self.0.caller(Some(key)).await.map_err(refuse)?),
            None => None,
        };
        let viewer = viewer.filter(|viewer| *viewer != UserId::ANONYMOUS);
        let modes = self.0.host.read(move |engine, _| {
            viewer.map(|viewer| engine.demand_moderator(viewer)).transpose()?;
            Ok::<_, Error>(engine.modes())
        });
        let modes = modes.await.and_then(|modes| modes).map_err(refuse)?;
        Ok(Response::new(pb::GetModesResponse {
            maintenance_mode: modes.maintenance,
            invite_only_mode: modes.invite_only,
            raid_mode: viewer.is_some().then_some(modes.raid),
        }))
    }

    async fn update_modes(
        &self,
        request: Request<pb::UpdateModesRequest>,
    ) -> Result<Response<pb::UpdateModesResponse>, Status> {
        let Call { message, key, .. } = enter(&*self.0.gate, request)?;
        let caller = self.0.caller(key).await.map_err(refuse)?;
        let update = ModesUpdate {
            maintenance: message.maintenance_mode,
            invite_only: message.invite_only_mode,
            raid: message.raid_mode,
        };
        let updated = self.0.host.act(move |engine, step, _| engine.update_modes(step, caller, update));
        let updated = updated.await.map_err(refuse)?;
        Ok(Response::new(pb::UpdateModesResponse {
            maintenance_mode: updated.maintenance,
            invite_only_mode: updated.invite_only,
            raid_mode: updated.raid,
        }))
    }

    async fn get_news(
        &self,
        request: Request<pb::GetNewsRequest>,
    ) -> Result<Response<pb::GetNewsResponse>, Status> {
        enter(&*self.0.gate, request)?;
        let piece = |piece: &Piece| pb::NewsPiece {
            date_published: piece.date_published.clone(),
            newspiece: piece.newspiece.clone(),
            importance: piece.importance.clone(),
            tags: piece.tags.clone(),
            title: piece.title.clone(),
            more_info_urls: piece.more_info_urls.clone(),
        };
        let news = self.0.bulletin.pieces().await.iter().map(piece).collect();
        Ok(Response::new(pb::GetNewsResponse { news }))
    }

    async fn watch_status(
        &self,
        request: Request<pb::WatchStatusRequest>,
    ) -> Result<Response<Self::WatchStatusStream>, Status> {
        enter(&*self.0.gate, request)?;
        Ok(Response::new(Box::pin(live::watch(&self.1, &self.0))))
    }
}

async fn heartbeat_of(api: &Api) -> pb::HeartbeatResponse {
    let is_healthy = api.host.is_healthy().await;
    let (waiting, most) = api.host.backlog();
    let open = api.host.glance(|engine, _| engine.open_offers());
    pb::HeartbeatResponse {
        message: heartbeat(is_healthy, waiting, most).into(),
        version: env!("CARGO_PKG_VERSION").into(),
        queue: count(waiting),
        threads: count(api.server_threads),
        active_count: count(open),
        db_connection: is_healthy,
    }
}

/// How a broker is doing whose store answers or not, with so many calls waiting of as many as may.
fn heartbeat(is_healthy: bool, waiting: usize, most: usize) -> &'static str {
    match (is_healthy, waiting > most / 4) {
        (false, _) => "DOWN",
        (true, true) => "OVERLOADED",
        (true, false) => "OK",
    }
}

fn threads(threads: u64) -> i32 {
    i32::try_from(threads).unwrap_or(i32::MAX)
}

/// Pixel-steps in millions, to two decimals.
fn millions(things: f64) -> f64 {
    (things / 1e4).round() / 100.0
}

fn model(line: &ModelLine, kind: Kind) -> pb::ActiveModel {
    pb::ActiveModel {
        name: line.name.clone(),
        count: threads(line.threads),
        r#type: kind.word().into(),
        performance: (line.speed * 10.0).round() / 10.0,
        queued: line.queued_things,
        jobs: line.jobs as f64,
        eta: line.eta_seconds(),
    }
}
