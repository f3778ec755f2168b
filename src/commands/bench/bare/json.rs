//! The bare axum server: one handler a path, serde on the way in and out.

use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::{get, post},
    serve::ListenerExt,
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{net::TcpListener, sync::oneshot};
use uuid::Uuid;

use super::{
    bodies::{
        Accepted, Check, Generation, ImageRequest, Payload, Popped, Reward, Skipped, TextPop, TextRequest,
        TextResult, TextStatus,
    },
    core::{Core, Seat},
};

/// Serves until the process is ended.
pub async fn serve(core: Arc<Core>, listener: TcpListener) -> anyhow::Result<()> {
    let router = Router::new()
        .route("/api/v2/generate/async", post(submit_image))
        .route("/api/v2/generate/check/{id}", get(check_image))
        .route("/api/v2/generate/text/async", post(submit_text))
        .route("/api/v2/generate/text/pop", post(pop_text))
        .route("/api/v2/generate/text/submit", post(settle_text))
        .route("/api/v2/generate/text/status/{id}", get(text_status))
        .with_state(core);
    let listener = listener.tap_io(|connection| {
        // Without it replies are only later.
        let _ = connection.set_nodelay(true);
    });
    axum::serve(listener, router).await?;
    Ok(())
}

type Refusal = (StatusCode, String);

fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))
}

fn parse(id: &str) -> Result<Uuid, Refusal> {
    Uuid::parse_str(id).map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))
}

fn write<T: Serialize>(status: StatusCode, body: &T) -> Response {
    let body = serde_json::to_vec(body).expect("plain structs can be written");
    (status, [(CONTENT_TYPE, "application/json")], body).into_response()
}

/// The one rule that stands for those of a real request, lest the body be read in vain.
async fn submit_image(body: Bytes) -> Result<Response, Refusal> {
    let request: ImageRequest = read(&body)?;
    if request.prompt.is_empty() {
        return Err((StatusCode::BAD_REQUEST, "the prompt is empty".into()));
    }
    let steps = f64::from(request.params.steps.unwrap_or(30));
    let (id, status) = match request.dry_run {
        true => (None, StatusCode::OK),
        false => (Some(Uuid::new_v4().to_string()), StatusCode::ACCEPTED),
    };
    Ok(write(status, &Accepted { id, kudos: 0.1232 * steps }))
}

fn check(done: bool) -> Check {
    Check {
        finished: i32::from(done),
        processing: 0,
        restarted: 0,
        waiting: i32::from(!done),
        done,
        faulted: false,
        wait_time: 0,
        queue_position: i32::from(!done),
        kudos: 1.0,
        is_possible: true,
    }
}

async fn check_image(Path(id): Path<String>) -> Result<Response, Refusal> {
    parse(&id)?;
    Ok(write(StatusCode::OK, &check(false)))
}

async fn submit_text(State(core): State<Arc<Core>>, body: Bytes) -> Result<Response, Refusal> {
    let request: TextRequest = read(&body)?;
    let model = request.models.first().map_or("", String::as_str);
    let id = core.submit(request.prompt, model).await;
    Ok(write(StatusCode::ACCEPTED, &Accepted { id: Some(id.to_string()), kudos: 0.0 }))
}

async fn pop_text(State(core): State<Arc<Core>>, body: Bytes) -> Result<Response, Refusal> {
    let pop: TextPop = read(&body)?;
    let (sender, inbox) = oneshot::channel();
    core.offer(Seat::Pop(sender));
    let handout = inbox.await.map_err(|_| (StatusCode::SERVICE_UNAVAILABLE, "going down".to_owned()))?;
    let payload = Payload {
        prompt: handout.prompt,
        n: 1,
        max_length: pop.max_length.unwrap_or(80),
        max_context_length: pop.max_context_length.unwrap_or(2048),
        temperature: 0.8,
        min_p: 0.0,
        smoothing_factor: 0.0,
        dynatemp_range: 0.0,
        dynatemp_exponent: 1.0,
    };
    let id = handout.attempt.to_string();
    let popped = Popped {
        payload,
        ids: [id.clone()],
        id,
        messages: [],
        ttl: 150,
        extra_source_images: None,
        skipped: Skipped {},
        softprompt: None,
        model: "bench",
    };
    Ok(write(StatusCode::OK, &popped))
}

async fn settle_text(State(core): State<Arc<Core>>, body: Bytes) -> Result<Response, Refusal> {
    let result: TextResult = read(&body)?;
    match core.settle(parse(&result.id)?, result.generation).await {
        true => Ok(write(StatusCode::OK, &Reward { reward: 1.0 })),
        false => Err((StatusCode::NOT_FOUND, "no such job".into())),
    }
}

async fn text_status(State(core): State<Arc<Core>>, Path(id): Path<String>) -> Result<Response, Refusal> {
    let text = core.status(parse(&id)?);
    let generations = text.as_deref().map(|text| Generation {
        text,
        seed: 0,
        gen_metadata: [],
        worker_id: "33333333-3333-4333-8333-333333333333",
        worker_name: "bench",
        model: "bench",
        state: "ok",
    });
    let generations = Vec::from_iter(generations);
    let check = check(!generations.is_empty());
    Ok(write(StatusCode::OK, &TextStatus { generations, check }))
}
