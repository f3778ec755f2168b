//! The stack: gRPC, gRPC-Web and JSON over the same services.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{StatusCode, header},
    middleware::{from_fn_with_state, map_response},
    response::{IntoResponse, Response},
};
use tonic::{codec::CompressionEncoding, service::Routes};
use tonic_health::pb::health_server::HealthServer;
use tonic_web::GrpcWebLayer;
use tower::Layer;
use tower_http::catch_panic::CatchPanicLayer;

use super::{
    front::FrontLayer,
    health::{HealthService, Readiness},
    legacy::{self, Legacy},
    plain,
};
use crate::{
    config::Config,
    domain::Error,
    host::{Host, RETRY_AFTER},
    rpc::{
        self, Api, CollectionsService, DocumentsService, FiltersService, GenerateService, KudosService,
        OperationsService, SharedKeysService, StatsService, StatusService, StylesService, TeamsService,
        UsersService, WorkerService,
        pb::{
            collections_server::CollectionsServer, documents_server::DocumentsServer,
            filters_server::FiltersServer, generate_server::GenerateServer, kudos_server::KudosServer,
            operations_server::OperationsServer, shared_keys_server::SharedKeysServer,
            stats_server::StatsServer, status_server::StatusServer, styles_server::StylesServer,
            teams_server::TeamsServer, users_server::UsersServer, worker_server::WorkerServer,
        },
    },
    transcode::{self, Door, Services},
};

/// The largest message that a worker or a client may be sent, in bytes: a batch of base64 images.
const MAX_SENT: usize = 256 << 20;

/// Puts everything together, from the outside in: front (address, CORS), panics, what the old server
/// answers, routes.
pub fn assemble(
    config: &Config,
    api: Api,
    is_ready: Readiness,
    address: SocketAddr,
    legacy: Option<Legacy>,
) -> Router {
    let services = Services {
        generate: Arc::new(GenerateService(api.clone())),
        worker: Arc::new(WorkerService(api.clone())),
        status: Arc::new(StatusService::new(api.clone())),
        users: Arc::new(UsersService(api.clone())),
        styles: Arc::new(StylesService(api.clone())),
        collections: Arc::new(CollectionsService(api.clone())),
        filters: Arc::new(FiltersService(api.clone())),
        stats: Arc::new(StatsService(api.clone())),
        documents: Arc::new(DocumentsService(api.clone())),
        shared_keys: Arc::new(SharedKeysService(api.clone())),
        teams: Arc::new(TeamsService(api.clone())),
        operations: Arc::new(OperationsService(api.clone())),
        kudos: Arc::new(KudosService(api.clone())),
    };
    let grpc = grpc(config, &services, &is_ready);
    let door = Door { gate: api.gate.clone(), max_body_bytes: config.limits.max_body_bytes };
    let host = api.host.clone();
    let plain = plain::router(config, &api, is_ready, address);
    let routes = transcode::router(services, door).merge(grpc).merge(plain);
    let routes = match legacy {
        None => routes.fallback(nothing_here),
        Some(legacy) => {
            let unknown = legacy.clone();
            let pass = async move |request: Request| match legacy::is_ours(&request) {
                true => nothing_here(request).await,
                false => unknown.pass(request, legacy::UNKNOWN).await,
            };
            routes.fallback(pass).layer(from_fn_with_state(legacy, legacy::look))
        }
    };
    routes.layer(CatchPanicLayer::custom(panicked)).layer(front(config, address, Some(host)))
}

/// What answers while there is no store: health, and a wait for everybody else.
pub fn waiting(config: &Config, is_ready: Readiness, address: SocketAddr) -> Router {
    let health = GrpcWebLayer::new().layer(HealthServer::new(HealthService(is_ready)));
    let health = Routes::new(health).prepare().into_axum_router().reset_fallback();
    plain::waiting(config, address).merge(health).fallback(not_yet).layer(front(config, address, None))
}

fn front(config: &Config, address: SocketAddr, host: Option<Host>) -> FrontLayer {
    let node = format!("{address}:{}", env!("CARGO_PKG_VERSION"));
    FrontLayer::new(&config.api.cors_origins, &config.api.api_key_header, &node, host)
}

/// What serves each service.
type Served = Services<
    GenerateService,
    WorkerService,
    StatusService,
    UsersService,
    StylesService,
    CollectionsService,
    FiltersService,
    StatsService,
    DocumentsService,
    SharedKeysService,
    TeamsService,
    OperationsService,
    KudosService,
>;

/// The gRPC services, each also as gRPC-Web.
fn grpc(config: &Config, services: &Served, is_ready: &Readiness) -> Router {
    let largest = config.limits.max_message_bytes;
    // grpc-web over HTTP/1.1 would refuse everything that is not gRPC-Web: only these services get it.
    let web = GrpcWebLayer::new();
    macro_rules! serve {
        ($server:ident, $service:expr) => {
            web.layer(
                $server::from_arc($service.clone())
                    .accept_compressed(CompressionEncoding::Gzip)
                    .max_decoding_message_size(largest)
                    .max_encoding_message_size(MAX_SENT),
            )
        };
    }
    let mut routes = Routes::default()
        .add_service(serve!(GenerateServer, services.generate))
        .add_service(serve!(WorkerServer, services.worker))
        .add_service(serve!(StatusServer, services.status))
        .add_service(serve!(UsersServer, services.users))
        .add_service(serve!(StylesServer, services.styles))
        .add_service(serve!(CollectionsServer, services.collections))
        .add_service(serve!(FiltersServer, services.filters))
        .add_service(serve!(StatsServer, services.stats))
        .add_service(serve!(DocumentsServer, services.documents))
        .add_service(serve!(SharedKeysServer, services.shared_keys))
        .add_service(serve!(TeamsServer, services.teams))
        .add_service(serve!(OperationsServer, services.operations))
        .add_service(serve!(KudosServer, services.kudos))
        .add_service(web.layer(HealthServer::new(HealthService(is_ready.clone()))));
    // A descriptor set that came through build.rs is one that reflection can read.
    let reflection = || {
        let builder = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(rpc::DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
        let names = [
            "Generate",
            "Worker",
            "Status",
            "Users",
            "Styles",
            "Collections",
            "Filters",
            "Stats",
            "Documents",
            "SharedKeys",
            "Teams",
            "Operations",
            "Kudos",
        ];
        names
            .iter()
            .fold(builder, |builder, name| builder.with_service_name(format!("grid.v2.{name}")))
            .with_service_name("grpc.health.v1.Health")
    };
    if let Ok(v1) = reflection().build_v1() {
        routes = routes.add_service(v1);
    }
    if let Ok(v1alpha) = reflection().build_v1alpha() {
        routes = routes.add_service(v1alpha);
    }
    routes.prepare().into_axum_router().reset_fallback().layer(map_response(
        async |mut response: Response| {
            rpc::retell::headers(response.headers_mut());
            response
        },
    ))
}

/// What is said of a path that nothing answers for, in the caller's protocol.
async fn nothing_here(request: Request) -> Response {
    if is_grpc(&request) {
        let status = tonic::Status::unimplemented(format!("there is no method {}", request.uri().path()));
        return status.into_http::<Body>();
    }
    let text = format!("there is nothing at {}; the API is under /api/v2", request.uri().path());
    transcode::message(StatusCode::NOT_FOUND, &text)
}

/// What is said while the store is not open, in the caller's protocol.
async fn not_yet(request: Request) -> Response {
    let status = rpc::error::status(&Error::StoreUnavailable { retry_after: RETRY_AFTER });
    if !is_grpc(&request) {
        return transcode::error_response(&status);
    }
    let mut response = status.into_http::<Body>();
    // gRPC-Web has a type of its own; a status alone stands in the headers there too.
    if let Some(kind) = request.headers().get(header::CONTENT_TYPE) {
        response.headers_mut().insert(header::CONTENT_TYPE, kind.clone());
    }
    response
}

/// Whether a call is gRPC or gRPC-Web.
pub(super) fn is_grpc(request: &Request) -> bool {
    let content_type = request.headers().get(header::CONTENT_TYPE);
    content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// A bug must not tear down a connection that others use.
fn panicked(cause: Box<dyn std::any::Any + Send>) -> Response {
    let text = cause.downcast_ref::<String>().map(String::as_str).or(cause.downcast_ref::<&str>().copied());
    tracing::error!(panic = text.unwrap_or("of unknown kind"), "a handler panicked");
    transcode::message(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error").into_response()
}
