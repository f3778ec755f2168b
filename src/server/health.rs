//! gRPC health, per service, and whether the broker takes work at all.
//!
//! A watcher is told that the broker goes down, and then its stream ends: it must not hold up the stop.

use std::{pin::Pin, sync::Arc};

use async_stream::try_stream;
use futures_util::Stream;
use tokio::sync::watch;
use tonic::{Request, Response, Status};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus, health_server::Health,
};

use crate::{domain::Error, host::RETRY_AFTER, rpc};

/// What can be asked after; the empty name is the broker as a whole.
const SERVICES: [&str; 15] = [
    "",
    "grid.v2.Generate",
    "grid.v2.Worker",
    "grid.v2.Status",
    "grid.v2.Users",
    "grid.v2.Styles",
    "grid.v2.Collections",
    "grid.v2.Filters",
    "grid.v2.Stats",
    "grid.v2.Documents",
    "grid.v2.SharedKeys",
    "grid.v2.Teams",
    "grid.v2.Operations",
    "grid.v2.Kudos",
    "grpc.health.v1.Health",
];

/// Whether the broker takes work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Not yet: the lanes are being loaded.
    Starting,
    /// Yes.
    Ready,
    /// No more.
    Stopping,
}

/// The broker's state, for everybody who asks.
#[derive(Clone)]
pub struct Readiness(Arc<watch::Sender<State>>);

impl Default for Readiness {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(State::Starting)))
    }
}

impl Readiness {
    /// Says how it is from now on.
    pub fn set(&self, state: State) {
        self.0.send_replace(state);
    }

    /// Whether it takes work now.
    pub fn is_ready(&self) -> bool {
        *self.0.borrow() == State::Ready
    }
}

/// The health service.
pub struct HealthService(pub Readiness);

fn answer(state: State) -> HealthCheckResponse {
    let status = match state {
        State::Ready => ServingStatus::Serving,
        State::Starting | State::Stopping => ServingStatus::NotServing,
    };
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl Health for HealthService {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if !SERVICES.contains(&request.get_ref().service.as_str()) {
            return Err(Status::not_found("there is no service of this name"));
        }
        Ok(Response::new(answer(*self.0.0.borrow())))
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let is_known = SERVICES.contains(&request.get_ref().service.as_str());
        let mut states = self.0.0.subscribe();
        let told = try_stream! {
            let unknown = HealthCheckResponse { status: ServingStatus::ServiceUnknown.into() };
            loop {
                let state = *states.borrow_and_update();
                yield if is_known { answer(state) } else { unknown };
                if state == State::Stopping {
                    Err(rpc::error::status(&Error::Draining { retry_after: RETRY_AFTER }))?;
                }
                if states.changed().await.is_err() {
                    return;
                }
            }
        };
        Ok(Response::new(Box::pin(told)))
    }
}
