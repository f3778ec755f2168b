//! The Status service: how the whole broker is doing.

use tonic::{Request, Response, Status};

use super::{
    Api,
    convert::count,
    gate::enter,
    pb::{self, status_server},
    refuse,
};
use crate::{
    domain::request::Kind,
    engine::{Engine, ModelLine},
};

/// The Status service.
pub struct StatusService(pub Api);

#[tonic::async_trait]
impl status_server::Status for StatusService {
    async fn heartbeat(
        &self,
        request: Request<pb::HeartbeatRequest>,
    ) -> Result<Response<pb::HeartbeatResponse>, Status> {
        enter(&*self.0.gate, request)?;
        let is_healthy = self.0.host.is_healthy().await;
        let open = self.0.host.glance(|engine, _| engine.open_offers());
        Ok(Response::new(pb::HeartbeatResponse {
            message: if is_healthy { "OK" } else { "DOWN" }.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            queue: 0,
            threads: count(self.0.server_threads),
            active_count: count(open),
            db_connection: is_healthy,
        }))
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
        let threads = |n: u64| i32::try_from(n).unwrap_or(i32::MAX);
        let millions = |things: f64| (things / 1e4).round() / 100.0;
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
        // Forms are no models.
        let kinds = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Alchemy);
        let Some(kind) = kinds.into_iter().find(|kind| kind.word() == asked.r#type()) else {
            return Ok(Response::new(pb::ListModelsResponse::default()));
        };
        let lines = self.0.host.read(move |engine, now| engine.model_lines(kind, now)).await;
        let is_wanted = |line: &ModelLine| {
            let threads = i64::try_from(line.threads).unwrap_or(i64::MAX);
            asked.min_count.is_none_or(|least| threads >= least.into())
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
                Some(model(&line, kind))
            })
        });
        Ok(Response::new(pb::GetModelResponse { models: found.await.map_err(refuse)?.into_iter().collect() }))
    }
}

fn model(line: &ModelLine, kind: Kind) -> pb::ActiveModel {
    pb::ActiveModel {
        name: line.name.clone(),
        count: i32::try_from(line.threads).unwrap_or(i32::MAX),
        r#type: kind.word().into(),
        performance: (line.speed * 10.0).round() / 10.0,
        queued: line.queued_things,
        jobs: line.jobs as f64,
        eta: line.eta_seconds(),
    }
}
