//! The Stats service: what was made.

use std::collections::BTreeMap;

use tonic::{Request, Response, Status};

use super::{
    Api,
    gate::enter,
    pb::{self, stats_server::Stats},
    refuse,
};
use crate::domain::{
    Error,
    request::Kind,
    stats::{Made, Periods},
};

/// The Stats service.
pub struct StatsService(pub Api);

#[tonic::async_trait]
impl Stats for StatsService {
    async fn image_totals(
        &self,
        request: Request<pb::ImageTotalsRequest>,
    ) -> Result<Response<pb::ImageTotalsResponse>, Status> {
        enter(&*self.0.gate, request)?;
        let Periods { minute, hour, day, month, total } =
            self.0.host.stats().await.map_err(refuse)?.total(Kind::Image);
        let shown = |made: Made| Some(pb::ImageTotal { images: made.jobs, ps: made.things });
        Ok(Response::new(pb::ImageTotalsResponse {
            minute: shown(minute),
            hour: shown(hour),
            day: shown(day),
            month: shown(month),
            total: shown(total),
        }))
    }

    async fn image_models(
        &self,
        request: Request<pb::ImageModelsRequest>,
    ) -> Result<Response<pb::ImageModelsResponse>, Status> {
        let asked = enter(&*self.0.gate, request)?.message;
        let (wants_known, wants_custom) = match asked.model_state() {
            "known" => (true, false),
            "custom" => (false, true),
            "all" => (true, true),
            other => {
                return Err(refuse(Error::BadRequest(format!(
                    "model_state is {other:?}: ask for known, custom or all"
                ))));
            }
        };
        let stats = self.0.host.stats().await.map_err(refuse)?;
        // All models that ever drew are gone through without holding the engine up.
        let models = self.0.host.glance(|engine, _| engine.models());
        let is_asked = |(model, _): &(&str, &Periods)| {
            if models.knows(Kind::Image, model) { wants_known } else { wants_custom }
        };
        let [day, month, total] = by_model(stats.of(Kind::Image).filter(is_asked));
        Ok(Response::new(pb::ImageModelsResponse { day, month, total }))
    }

    async fn text_totals(
        &self,
        request: Request<pb::TextTotalsRequest>,
    ) -> Result<Response<pb::TextTotalsResponse>, Status> {
        enter(&*self.0.gate, request)?;
        let Periods { minute, hour, day, month, total } =
            self.0.host.stats().await.map_err(refuse)?.total(Kind::Text);
        let shown = |made: Made| Some(pb::TextTotal { requests: made.jobs, tokens: made.things });
        Ok(Response::new(pb::TextTotalsResponse {
            minute: shown(minute),
            hour: shown(hour),
            day: shown(day),
            month: shown(month),
            total: shown(total),
        }))
    }

    async fn text_models(
        &self,
        request: Request<pb::TextModelsRequest>,
    ) -> Result<Response<pb::TextModelsResponse>, Status> {
        enter(&*self.0.gate, request)?;
        let stats = self.0.host.stats().await.map_err(refuse)?;
        let [day, month, total] = by_model(stats.of(Kind::Text));
        Ok(Response::new(pb::TextModelsResponse { day, month, total }))
    }
}

/// Jobs by model, of the day, the month and all time.
fn by_model<'s>(models: impl Iterator<Item = (&'s str, &'s Periods)>) -> [BTreeMap<String, i64>; 3] {
    let mut maps: [BTreeMap<String, i64>; 3] = Default::default();
    for (model, periods) in models {
        let figures = [periods.day, periods.month, periods.total].map(|made| made.jobs);
        for (map, jobs) in maps.iter_mut().zip(figures) {
            map.insert(model.to_owned(), jobs);
        }
    }
    maps
}
