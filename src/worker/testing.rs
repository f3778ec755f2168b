//! The far side of a worker: a broker that does as the test says, over real gRPC.

use std::{collections::VecDeque, net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{TcpListenerStream, UnboundedReceiverStream};
use tonic::{Request, Response, Status, Streaming};

use crate::rpc::pb::{self, pop_stream_response::Push, worker_server};

/// What the worker said.
#[derive(Debug)]
pub enum Said {
    Opens(Box<pb::PopStreamRequest>, Stream),
    Reports(pb::ReportRequest),
    Writes(pb::SubmitTextResultRequest),
    Draws(pb::SubmitImageResultRequest),
    Transmutes(pb::SubmitAlchemyResultRequest),
}

/// A stream that the worker holds; it is cut when this is dropped.
#[derive(Debug)]
pub struct Stream(mpsc::UnboundedSender<Result<pb::PopStreamResponse, Status>>);

impl Stream {
    pub fn push(&self, push: Push) {
        self.0.send(Ok(pb::PopStreamResponse { push: Some(push) })).unwrap();
    }

    pub fn breaks(self, status: Status) {
        self.0.send(Err(status)).unwrap();
    }

    pub fn opened(self, kept: &[&str]) -> Self {
        let kept = kept.iter().map(ToString::to_string).collect();
        self.push(Push::Opened(pb::Opened { kept, credits: 1, ..Default::default() }));
        self
    }

    pub fn assign_text(&self, id: &str, prompt: &str) {
        let payload = pb::TextPayload { prompt: Some(prompt.into()), max_length: 24, ..Default::default() };
        let text = pb::PopTextResponse { payload: Some(payload), ..Default::default() };
        let ids = vec![id.to_owned()];
        self.push(Push::Assignment(pb::Assignment { ids, text: Some(text), ..Default::default() }));
    }

    pub fn assign_forms(&self, forms: Vec<pb::PoppedForm>) {
        let ids = forms.iter().map(|form| form.id.clone()).collect();
        let alchemy = pb::PopAlchemyResponse { forms, ..Default::default() };
        self.push(Push::Assignment(pb::Assignment { ids, alchemy: Some(alchemy), ..Default::default() }));
    }

    pub fn assign_images(&self, ids: &[&str], prompt: &str) {
        let payload = pb::ImagePayload {
            prompt: Some(prompt.into()),
            seed: Some("40".into()),
            ddim_steps: 3,
            width: 64,
            height: 64,
            ..Default::default()
        };
        let image = pb::PopImageResponse { payload: Some(payload), ..Default::default() };
        let ids = ids.iter().map(ToString::to_string).collect();
        self.push(Push::Assignment(pb::Assignment { ids, image: Some(image), ..Default::default() }));
    }
}

/// The test's end of the broker.
pub struct Broker {
    pub address: SocketAddr,
    said: mpsc::UnboundedReceiver<Said>,
    desk: Arc<Desk>,
}

impl Broker {
    pub async fn start() -> Self {
        let (tell, said) = mpsc::unbounded_channel();
        let desk = Arc::new(Desk { tell, refusals: Mutex::default(), break_after: Mutex::default() });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = worker_server::WorkerServer::from_arc(desk.clone());
        let router = tonic::transport::Server::builder().add_service(service);
        tokio::spawn(router.serve_with_incoming(TcpListenerStream::new(listener)));
        Self { address, said, desk }
    }

    /// The next calls that open a stream or hand in a result are refused so.
    pub fn refuses(&self, statuses: impl IntoIterator<Item = Status>) {
        self.desk.refusals.lock().extend(statuses);
    }

    /// The next report stream breaks after so many reports.
    pub fn breaks_reports_after(&self, reports: usize) {
        *self.desk.break_after.lock() = Some(reports);
    }

    pub async fn hears(&mut self) -> Said {
        let said = tokio::time::timeout(Duration::from_secs(20), self.said.recv()).await;
        said.expect("the worker says something in time").unwrap()
    }

    /// Reports aside.
    pub async fn hears_call(&mut self) -> Said {
        loop {
            match self.hears().await {
                Said::Reports(_) => {}
                call => return call,
            }
        }
    }

    /// Nothing but reports has been said since.
    pub fn said_nothing_more(&mut self) -> bool {
        std::iter::from_fn(|| self.said.try_recv().ok()).all(|said| matches!(said, Said::Reports(_)))
    }

    pub async fn accepts_stream(&mut self) -> (Box<pb::PopStreamRequest>, Stream) {
        match self.hears_call().await {
            Said::Opens(request, stream) => (request, stream),
            other => panic!("expected a stream, got {other:?}"),
        }
    }

    pub async fn receives_text(&mut self) -> pb::SubmitTextResultRequest {
        match self.hears_call().await {
            Said::Writes(result) => result,
            other => panic!("expected a text, got {other:?}"),
        }
    }

    pub async fn receives_form(&mut self) -> pb::SubmitAlchemyResultRequest {
        match self.hears_call().await {
            Said::Transmutes(result) => result,
            other => panic!("expected a form, got {other:?}"),
        }
    }

    pub async fn receives_image(&mut self) -> pb::SubmitImageResultRequest {
        match self.hears_call().await {
            Said::Draws(result) => result,
            other => panic!("expected an image, got {other:?}"),
        }
    }
}

struct Desk {
    tell: mpsc::UnboundedSender<Said>,
    refusals: Mutex<VecDeque<Status>>,
    break_after: Mutex<Option<usize>>,
}

impl Desk {
    fn answer<T>(&self, said: Said, answer: T) -> Result<Response<T>, Status> {
        let refusal = self.refusals.lock().pop_front();
        // The test may be over.
        let _ = self.tell.send(said);
        refusal.map_or(Ok(Response::new(answer)), Err)
    }
}

#[async_trait]
impl worker_server::Worker for Desk {
    type PopStreamStream = UnboundedReceiverStream<Result<pb::PopStreamResponse, Status>>;

    async fn pop_stream(
        &self,
        request: Request<pb::PopStreamRequest>,
    ) -> Result<Response<Self::PopStreamStream>, Status> {
        let (pushes, stream) = mpsc::unbounded_channel();
        self.answer(
            Said::Opens(Box::new(request.into_inner()), Stream(pushes)),
            UnboundedReceiverStream::new(stream),
        )
    }

    async fn submit_image_result(
        &self,
        request: Request<pb::SubmitImageResultRequest>,
    ) -> Result<Response<pb::SubmitImageResultResponse>, Status> {
        self.answer(Said::Draws(request.into_inner()), pb::SubmitImageResultResponse { reward: 1.0 })
    }

    async fn submit_text_result(
        &self,
        request: Request<pb::SubmitTextResultRequest>,
    ) -> Result<Response<pb::SubmitTextResultResponse>, Status> {
        self.answer(Said::Writes(request.into_inner()), pb::SubmitTextResultResponse { reward: 1.0 })
    }

    async fn report(
        &self,
        request: Request<Streaming<pb::ReportRequest>>,
    ) -> Result<Response<pb::ReportResponse>, Status> {
        let mut reports = request.into_inner();
        let mut left = self.break_after.lock().take();
        while let Some(report) = reports.message().await? {
            let _ = self.tell.send(Said::Reports(report));
            left = left.map(|left| left - 1);
            if left == Some(0) {
                return Err(Status::unavailable("broken by the test"));
            }
        }
        Ok(Response::new(pb::ReportResponse::default()))
    }

    type WorkStream = UnboundedReceiverStream<Result<pb::WorkResponse, Status>>;

    async fn work(
        &self,
        _: Request<Streaming<pb::WorkRequest>>,
    ) -> Result<Response<Self::WorkStream>, Status> {
        Err(Status::unimplemented("the worker holds a stream"))
    }

    async fn submit_alchemy_result(
        &self,
        request: Request<pb::SubmitAlchemyResultRequest>,
    ) -> Result<Response<pb::SubmitAlchemyResultResponse>, Status> {
        self.answer(Said::Transmutes(request.into_inner()), pb::SubmitAlchemyResultResponse { reward: 1.0 })
    }

    async fn pop_alchemy(
        &self,
        _: Request<pb::PopAlchemyRequest>,
    ) -> Result<Response<pb::PopAlchemyResponse>, Status> {
        Err(Status::unimplemented("the worker holds a stream"))
    }

    async fn pop_image(
        &self,
        _: Request<pb::PopImageRequest>,
    ) -> Result<Response<pb::PopImageResponse>, Status> {
        Err(Status::unimplemented("the worker holds a stream"))
    }

    async fn pop_text(
        &self,
        _: Request<pb::PopTextRequest>,
    ) -> Result<Response<pb::PopTextResponse>, Status> {
        Err(Status::unimplemented("the worker holds a stream"))
    }

    async fn report_progress(
        &self,
        _: Request<pb::ReportProgressRequest>,
    ) -> Result<Response<pb::ReportProgressResponse>, Status> {
        Err(Status::unimplemented("the worker reports over a stream"))
    }

    async fn list_workers(
        &self,
        _: Request<pb::ListWorkersRequest>,
    ) -> Result<Response<pb::ListWorkersResponse>, Status> {
        Err(Status::unimplemented("not for workers"))
    }

    async fn get_worker(
        &self,
        _: Request<pb::GetWorkerRequest>,
    ) -> Result<Response<pb::WorkerDetails>, Status> {
        Err(Status::unimplemented("not for workers"))
    }

    async fn get_worker_by_name(
        &self,
        _: Request<pb::GetWorkerByNameRequest>,
    ) -> Result<Response<pb::WorkerDetails>, Status> {
        Err(Status::unimplemented("not for workers"))
    }

    async fn update_worker(
        &self,
        _: Request<pb::UpdateWorkerRequest>,
    ) -> Result<Response<pb::UpdateWorkerResponse>, Status> {
        Err(Status::unimplemented("not for workers"))
    }

    async fn delete_worker(
        &self,
        _: Request<pb::DeleteWorkerRequest>,
    ) -> Result<Response<pb::DeleteWorkerResponse>, Status> {
        Err(Status::unimplemented("not for workers"))
    }

    async fn explain_worker(
        &self,
        _: Request<pb::ExplainWorkerRequest>,
    ) -> Result<Response<pb::ExplainWorkerResponse>, Status> {
        Err(Status::unimplemented("not for workers"))
    }

    async fn list_messages(
        &self,
        _: Request<pb::ListMessagesRequest>,
    ) -> Result<Response<pb::ListMessagesResponse>, Status> {
        Err(Status::unimplemented("not for workers"))
    }

    async fn post_message(
        &self,
        _: Request<pb::PostMessageRequest>,
    ) -> Result<Response<pb::MessageDetails>, Status> {
        Err(Status::unimplemented("not for workers"))
    }

    async fn get_message(
        &self,
        _: Request<pb::GetMessageRequest>,
    ) -> Result<Response<pb::MessageDetails>, Status> {
        Err(Status::unimplemented("not for workers"))
    }

    async fn delete_message(
        &self,
        _: Request<pb::DeleteMessageRequest>,
    ) -> Result<Response<pb::DeleteMessageResponse>, Status> {
        Err(Status::unimplemented("not for workers"))
    }

    async fn pop_video(
        &self,
        _: Request<pb::PopVideoRequest>,
    ) -> Result<Response<pb::PopImageResponse>, Status> {
        Err(Status::unimplemented("the worker holds a stream"))
    }

    async fn submit_video_result(
        &self,
        _: Request<pb::SubmitVideoResultRequest>,
    ) -> Result<Response<pb::SubmitImageResultResponse>, Status> {
        Err(Status::unimplemented("the worker hands videos in as images"))
    }

    async fn report_preview(
        &self,
        _: Request<pb::ReportPreviewRequest>,
    ) -> Result<Response<pb::ReportPreviewResponse>, Status> {
        Err(Status::unimplemented("the worker reports over a stream"))
    }

    async fn auto_worker_type(
        &self,
        _: Request<pb::AutoWorkerTypeRequest>,
    ) -> Result<Response<pb::AutoWorkerTypeResponse>, Status> {
        Err(Status::unimplemented("not for workers"))
    }
}
