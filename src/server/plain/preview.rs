//! Pictures of how far jobs are, as legacy bridges send them: the bytes alone, which are no JSON, so
//! that no `google.api.http` option can say it. They become a call of `Worker.ReportPreview`.

use axum::{
    Router,
    extract::{Path, Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use tonic::metadata::MetadataMap;

use crate::{
    host::MAX_PREVIEW,
    rpc::{Api, WorkerService, pb, pb::worker_server::Worker},
    transcode,
};

/// The route.
pub fn router(api: &Api) -> Router {
    let options = async || ([(header::ALLOW, "POST")], StatusCode::OK);
    let routes = post(take).options(options);
    Router::new().route("/api/v2/generate/preview/{id}", routes).with_state(api.clone())
}

async fn take(State(api): State<Api>, Path(id): Path<String>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let image = match transcode::collect(body, MAX_PREVIEW).await {
        Ok(image) => image.to_vec(),
        Err(refusal) => return refusal,
    };
    let message = pb::ReportPreviewRequest { id, image, step: step(&parts.headers) };
    let metadata = MetadataMap::from_headers(parts.headers);
    let call = tonic::Request::from_parts(metadata, parts.extensions, message);
    match WorkerService(api).report_preview(call).await {
        Ok(_) => StatusCode::OK.into_response(),
        Err(status) => transcode::error_response(&status),
    }
}

/// Steps done; what is no number of them is left aside.
fn step(headers: &HeaderMap) -> Option<i32> {
    headers.get("x-step")?.to_str().ok()?.trim().parse().ok().filter(|step| *step >= 0)
}
