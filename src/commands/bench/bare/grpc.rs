//! The bare tonic server: the broker's messages under the broker's paths, nothing behind them but
//! the core.

use std::{sync::Arc, time::Duration};

use axum::{Router, extract::Request as HttpRequest, response::Response as HttpResponse, routing::post};
use futures_util::{Stream, StreamExt, stream};
use prost::Message;
use tokio::{net::TcpListener, sync::mpsc};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Request, Response, Status,
    codec::{BufferSettings, Codec},
    server::Grpc,
    service::Routes,
};
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};
use uuid::Uuid;

use super::core::{Core, Handout, Seat};
use crate::rpc::pb::{
    Assignment, Done, JobResult, KeepAlive, Opened, PopStreamRequest, PopStreamResponse, PopTextResponse,
    SubmitTextRequest, SubmitTextResponse, SubmitTextResultRequest, SubmitTextResultResponse, TextPayload,
    WatchRequest, WatchResponse, pop_stream_response::Push, watch_response::Event,
};

/// A silent stream is told so after this.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Codec buffer of a stream, in bytes: idle streams are many, their messages small.
const BUFFER: usize = 512;
/// Bytes after which an encoder lets others run; tonic's own default.
const YIELD_AFTER: usize = 32 * 1024;

/// Serves until the process is ended.
pub async fn serve(core: Arc<Core>, listener: TcpListener) -> anyhow::Result<()> {
    let router = Router::new()
        .route("/grid.v2.Generate/SubmitText", {
            let core = core.clone();
            post(move |request| unary(request, move |message| submit(core, message)))
        })
        .route("/grid.v2.Generate/Watch", {
            let core = core.clone();
            post(move |request| streaming(request, move |message| watch(core, message)))
        })
        .route("/grid.v2.Worker/PopStream", {
            let core = core.clone();
            post(move |request| streaming(request, move |message| pop_stream(core, message)))
        })
        .route(
            "/grid.v2.Worker/SubmitTextResult",
            post(move |request| unary(request, move |message| settle(core, message))),
        );
    let connections = TcpListenerStream::new(listener).map(|connection| {
        let connection = connection?;
        connection.set_nodelay(true)?;
        std::io::Result::Ok(connection)
    });
    tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(Duration::from_secs(4)))
        .add_routes(Routes::from(router))
        .serve_with_incoming(connections)
        .await?;
    Ok(())
}

async fn unary<I, O, F>(
    request: HttpRequest,
    handler: impl FnOnce(I) -> F + Clone + Send + 'static,
) -> HttpResponse<tonic::body::Body>
where
    I: Message + Default + Send + 'static,
    O: Message + Send + 'static,
    F: Future<Output = Result<O, Status>> + Send,
{
    let handler = tower::service_fn(move |request: Request<I>| {
        let handler = handler.clone();
        async move { handler(request.into_inner()).await.map(Response::new) }
    });
    Grpc::new(ProstCodec::<O, I>::default()).unary(handler, request).await
}

async fn streaming<I, O, S, F>(
    request: HttpRequest,
    handler: impl FnOnce(I) -> F + Clone + Send + 'static,
) -> HttpResponse<tonic::body::Body>
where
    I: Message + Default + Send + 'static,
    O: Message + Send + 'static,
    S: Stream<Item = Result<O, Status>> + Send + 'static,
    F: Future<Output = Result<S, Status>> + Send,
{
    let handler = tower::service_fn(move |request: Request<I>| {
        let handler = handler.clone();
        async move { handler(request.into_inner()).await.map(Response::new) }
    });
    Grpc::new(SmallBuffer::<O, I>::default()).server_streaming(handler, request).await
}

/// A codec whose encoder begins with a small buffer.
struct SmallBuffer<O, I>(std::marker::PhantomData<(O, I)>);

impl<O, I> Default for SmallBuffer<O, I> {
    fn default() -> Self {
        Self(std::marker::PhantomData)
    }
}

impl<O, I> Codec for SmallBuffer<O, I>
where
    O: Message + Send + 'static,
    I: Message + Default + Send + 'static,
{
    type Encode = O;
    type Decode = I;
    type Encoder = ProstEncoder<O>;
    type Decoder = ProstDecoder<I>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::new(BufferSettings::new(BUFFER, YIELD_AFTER))
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstDecoder::new(BufferSettings::new(BUFFER, YIELD_AFTER))
    }
}

async fn submit(core: Arc<Core>, request: SubmitTextRequest) -> Result<SubmitTextResponse, Status> {
    let model = request.models.first().map_or("", String::as_str);
    let id = core.submit(request.prompt.unwrap_or_default(), model).await;
    Ok(SubmitTextResponse { id: Some(id.to_string()), ..Default::default() })
}

async fn settle(
    core: Arc<Core>,
    request: SubmitTextResultRequest,
) -> Result<SubmitTextResultResponse, Status> {
    let attempt = parse(request.id.as_deref().unwrap_or_default())?;
    match core.settle(attempt, request.generation.unwrap_or_default()).await {
        true => Ok(SubmitTextResultResponse { reward: 1.0 }),
        false => Err(Status::not_found("no such job")),
    }
}

/// What a client needs of the broker's events: the result, and that nothing more will come.
async fn watch(
    core: Arc<Core>,
    request: WatchRequest,
) -> Result<impl Stream<Item = Result<WatchResponse, Status>> + Send + 'static, Status> {
    let id = parse(&request.id)?;
    let text = async move { core.watch(id).await };
    Ok(stream::once(text).flat_map(|text| {
        let result = JobResult {
            job: 0,
            attempt: 1,
            worker_name: "bench".into(),
            model: "bench".into(),
            seed: "0".into(),
            state: "ok".into(),
            text: text.as_deref().map(Into::into),
            ..JobResult::default()
        };
        let done = Done { finished: 1, kudos: 1.0 };
        let event = |cursor: &str, event| Ok(WatchResponse { cursor: cursor.into(), event: Some(event) });
        stream::iter([event("1-1", Event::Result(result)), event("1-2", Event::Done(done))])
    }))
}

async fn pop_stream(
    core: Arc<Core>,
    request: PopStreamRequest,
) -> Result<impl Stream<Item = Result<PopStreamResponse, Status>> + Send + 'static, Status> {
    let credits = request.credits.unwrap_or(1);
    let (sender, inbox) = mpsc::unbounded_channel();
    for _ in 0..credits {
        core.offer(Seat::Stream(sender.clone()));
    }
    let opened = Opened { worker_id: Uuid::new_v4().to_string(), credits, kept: Vec::new() };
    let pushes = stream::unfold(inbox, |mut inbox: mpsc::UnboundedReceiver<Box<Handout>>| async move {
        let push = match tokio::time::timeout(KEEP_ALIVE, inbox.recv()).await {
            Ok(handout) => Push::Assignment(assignment(*handout?)),
            Err(_) => Push::KeepAlive(KeepAlive {}),
        };
        Some((push, inbox))
    });
    let opened = stream::iter([Push::Opened(opened)]);
    Ok(opened.chain(pushes).map(|push| Ok(PopStreamResponse { push: Some(push) })))
}

fn assignment(handout: Handout) -> Assignment {
    let id = handout.attempt.to_string();
    let payload = TextPayload {
        prompt: Some(handout.prompt),
        n: Some(1),
        max_length: 80,
        max_context_length: 2048,
        temperature: Some(0.8),
        dynatemp_exponent: 1.0,
        ..TextPayload::default()
    };
    let text = PopTextResponse {
        payload: Some(payload),
        id: Some(id.clone()),
        ids: vec![id.clone()],
        ttl: Some(150),
        model: Some("bench".into()),
        ..PopTextResponse::default()
    };
    let expire_time = Some(prost_types::Timestamp { seconds: 1, nanos: 1 });
    Assignment { ids: vec![id], expire_time, text: Some(text), ..Default::default() }
}

fn parse(id: &str) -> Result<Uuid, Status> {
    Uuid::parse_str(id).map_err(|_| Status::invalid_argument("not an ID"))
}
