//! Routes that are not the API: health, metrics, signed objects, accounts for tests.

mod objects;
mod test_users;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::{
    Router,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use parking_lot::Mutex;
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::{config::Config, rpc::Api, telemetry};

/// Whether the broker takes work: the lanes are loaded, and it is not going down.
#[derive(Clone, Default)]
pub struct Readiness {
    is_ready: Arc<AtomicBool>,
    /// Told of each change.
    health: Arc<Mutex<Option<HealthReporter>>>,
}

impl Readiness {
    /// Names the gRPC health service that follows it.
    pub fn reports_to(&self, health: HealthReporter) {
        *self.health.lock() = Some(health);
    }

    /// Says how it is from now on.
    pub fn set(&self, is_ready: bool) {
        self.is_ready.store(is_ready, Ordering::Relaxed);
        let Some(health) = self.health.lock().clone() else { return };
        let status = if is_ready { ServingStatus::Serving } else { ServingStatus::NotServing };
        tokio::spawn(async move {
            let services = ["", "grid.v2.Generate", "grid.v2.Worker", "grid.v2.Status", "grid.v2.Users"];
            for service in services {
                health.set_service_status(service, status).await;
            }
        });
    }

    fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Relaxed)
    }
}

/// All plain routes.
pub fn router(config: &Config, api: &Api, is_ready: Readiness) -> Router {
    let host = api.host.clone();
    let ready = move || {
        let (host, is_ready) = (host.clone(), is_ready.clone());
        async move {
            match is_ready.is_ready() && host.is_healthy().await {
                true => said(StatusCode::OK, "ready"),
                false => said(StatusCode::SERVICE_UNAVAILABLE, "not ready"),
            }
        }
    };
    let router = Router::new()
        .route("/health", get(async || said(StatusCode::OK, "ok")))
        .route("/livez", get(async || said(StatusCode::OK, "alive")))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .merge(objects::router(api.objects.clone(), config.limits.max_body_bytes));
    match config.api.test_users {
        true => router.merge(test_users::router(api)),
        false => router,
    }
}

fn said(status: StatusCode, word: &str) -> Response {
    let body = format!("{{\"status\": \"{word}\"}}\n");
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

async fn metrics() -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], telemetry::metrics()).into_response()
}
