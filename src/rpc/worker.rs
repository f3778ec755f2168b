//! The Worker service: take jobs, say how they go, hand in results; and who works here.

mod deliver;
mod directory;
mod messages;
mod pop;
mod report;
mod stream;
mod work;

use std::pin::Pin;

use futures_util::Stream;
use tonic::{Request, Response, Status, Streaming};

use super::{
    Api, convert,
    gate::{enter, enter_stream},
    pb::{self, worker_server::Worker},
    refuse,
};

/// The Worker service.
pub struct WorkerService(pub Api);

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl Worker for WorkerService {
    type PopStreamStream = Pin<Box<dyn Stream<Item = Result<pb::PopStreamResponse, Status>> + Send>>;

    async fn pop_stream(&self, request: Request<pb::PopStreamRequest>) -> Answer<Self::PopStreamStream> {
        let call = enter(&*self.0.gate, request)?;
        Ok(Response::new(Box::pin(stream::open(&self.0, call).await?.pushes)))
    }

    type WorkStream = Pin<Box<dyn Stream<Item = Result<pb::WorkResponse, Status>> + Send>>;

    async fn work(&self, request: Request<Streaming<pb::WorkRequest>>) -> Answer<Self::WorkStream> {
        let call = enter_stream::<pb::WorkRequest, _>(&*self.0.gate, request)?;
        Ok(Response::new(Box::pin(work::open(&self.0, call).await?)))
    }

    async fn pop_image(&self, request: Request<pb::PopImageRequest>) -> Answer<pb::PopImageResponse> {
        let call = enter(&*self.0.gate, request)?;
        pop::image(&self.0, call).await.map(Response::new).map_err(refuse)
    }

    async fn pop_video(&self, request: Request<pb::PopVideoRequest>) -> Answer<pb::PopImageResponse> {
        let call = enter(&*self.0.gate, request)?;
        pop::video(&self.0, call).await.map(Response::new).map_err(refuse)
    }

    async fn pop_text(&self, request: Request<pb::PopTextRequest>) -> Answer<pb::PopTextResponse> {
        let call = enter(&*self.0.gate, request)?;
        pop::text(&self.0, call).await.map(Response::new).map_err(refuse)
    }

    async fn submit_image_result(
        &self,
        request: Request<pb::SubmitImageResultRequest>,
    ) -> Answer<pb::SubmitImageResultResponse> {
        let call = enter(&*self.0.gate, request)?;
        let reward = deliver::image(&self.0, call, deliver::IMAGES).await.map_err(refuse)?.as_f64();
        Ok(Response::new(pb::SubmitImageResultResponse { reward }))
    }

    async fn submit_video_result(
        &self,
        request: Request<pb::SubmitVideoResultRequest>,
    ) -> Answer<pb::SubmitImageResultResponse> {
        let call = enter(&*self.0.gate, request)?.map(convert::video::result);
        let reward = deliver::image(&self.0, call, deliver::VIDEO).await.map_err(refuse)?.as_f64();
        Ok(Response::new(pb::SubmitImageResultResponse { reward }))
    }

    async fn submit_text_result(
        &self,
        request: Request<pb::SubmitTextResultRequest>,
    ) -> Answer<pb::SubmitTextResultResponse> {
        let call = enter(&*self.0.gate, request)?;
        let reward = deliver::text(&self.0, call).await.map_err(refuse)?.as_f64();
        Ok(Response::new(pb::SubmitTextResultResponse { reward }))
    }

    async fn pop_alchemy(&self, request: Request<pb::PopAlchemyRequest>) -> Answer<pb::PopAlchemyResponse> {
        let call = enter(&*self.0.gate, request)?;
        pop::alchemy(&self.0, call).await.map(Response::new).map_err(refuse)
    }

    async fn submit_alchemy_result(
        &self,
        request: Request<pb::SubmitAlchemyResultRequest>,
    ) -> Answer<pb::SubmitAlchemyResultResponse> {
        let call = enter(&*self.0.gate, request)?;
        let reward = deliver::alchemy(&self.0, call).await.map_err(refuse)?.as_f64();
        Ok(Response::new(pb::SubmitAlchemyResultResponse { reward }))
    }

    async fn report(&self, request: Request<Streaming<pb::ReportRequest>>) -> Answer<pb::ReportResponse> {
        let call = enter_stream::<pb::ReportRequest, _>(&*self.0.gate, request)?;
        report::stream(&self.0, call.key, call.message).await.map(Response::new)
    }

    async fn report_progress(
        &self,
        request: Request<pb::ReportProgressRequest>,
    ) -> Answer<pb::ReportProgressResponse> {
        let call = enter(&*self.0.gate, request)?;
        report::progress(&self.0, call).await.map(Response::new).map_err(refuse)
    }

    async fn report_preview(
        &self,
        request: Request<pb::ReportPreviewRequest>,
    ) -> Answer<pb::ReportPreviewResponse> {
        let call = enter(&*self.0.gate, request)?;
        report::preview(&self.0, call).await.map(Response::new).map_err(refuse)
    }

    async fn auto_worker_type(
        &self,
        request: Request<pb::AutoWorkerTypeRequest>,
    ) -> Answer<pb::AutoWorkerTypeResponse> {
        let call = enter(&*self.0.gate, request)?;
        directory::scarcer(&self.0, call).await.map(Response::new).map_err(refuse)
    }

    async fn list_workers(
        &self,
        request: Request<pb::ListWorkersRequest>,
    ) -> Answer<pb::ListWorkersResponse> {
        let call = enter(&*self.0.gate, request)?;
        directory::list(&self.0, call).await.map(Response::new).map_err(refuse)
    }

    async fn get_worker(&self, request: Request<pb::GetWorkerRequest>) -> Answer<pb::WorkerDetails> {
        let call = enter(&*self.0.gate, request)?;
        directory::by_id(&self.0, call).await.map(Response::new).map_err(refuse)
    }

    async fn get_worker_by_name(
        &self,
        request: Request<pb::GetWorkerByNameRequest>,
    ) -> Answer<pb::WorkerDetails> {
        let call = enter(&*self.0.gate, request)?;
        directory::by_name(&self.0, call).await.map(Response::new).map_err(refuse)
    }

    async fn update_worker(
        &self,
        request: Request<pb::UpdateWorkerRequest>,
    ) -> Answer<pb::UpdateWorkerResponse> {
        let call = enter(&*self.0.gate, request)?;
        directory::update(&self.0, call).await.map(Response::new)
    }

    async fn explain_worker(
        &self,
        request: Request<pb::ExplainWorkerRequest>,
    ) -> Answer<pb::ExplainWorkerResponse> {
        let call = enter(&*self.0.gate, request)?;
        directory::explain(&self.0, call).await.map(Response::new)
    }

    async fn delete_worker(
        &self,
        request: Request<pb::DeleteWorkerRequest>,
    ) -> Answer<pb::DeleteWorkerResponse> {
        let call = enter(&*self.0.gate, request)?;
        directory::delete(&self.0, call).await.map(Response::new)
    }

    async fn list_messages(
        &self,
        request: Request<pb::ListMessagesRequest>,
    ) -> Answer<pb::ListMessagesResponse> {
        let call = enter(&*self.0.gate, request)?;
        messages::list(&self.0, call).await.map(Response::new).map_err(refuse)
    }

    async fn post_message(&self, request: Request<pb::PostMessageRequest>) -> Answer<pb::MessageDetails> {
        let call = enter(&*self.0.gate, request)?;
        messages::post(&self.0, call).await.map(Response::new).map_err(refuse)
    }

    async fn get_message(&self, request: Request<pb::GetMessageRequest>) -> Answer<pb::MessageDetails> {
        let call = enter(&*self.0.gate, request)?;
        messages::get(&self.0, call).await.map(Response::new).map_err(refuse)
    }

    async fn delete_message(
        &self,
        request: Request<pb::DeleteMessageRequest>,
    ) -> Answer<pb::DeleteMessageResponse> {
        let call = enter(&*self.0.gate, request)?;
        messages::delete(&self.0, call).await.map(Response::new).map_err(refuse)
    }
}
