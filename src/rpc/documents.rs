//! The Documents service: what the operator has to say to everybody.

use tonic::{Request, Response, Status};

use super::{
    Api,
    gate::enter,
    pb::{self, documents_server::Documents},
    refuse,
};
use crate::domain::{Error, document::Topic};

/// The Documents service.
pub struct DocumentsService(pub Api);

impl DocumentsService {
    async fn document(&self, topic: Topic, format: &str) -> Result<Response<pb::HordeDocument>, Status> {
        let document = self.0.documents.get(topic).await;
        let shown = match format {
            "html" => pb::HordeDocument { html: Some(document.html.clone()), markdown: None },
            "markdown" => pb::HordeDocument { html: None, markdown: Some(document.markdown.clone()) },
            other => {
                let why = format!("format is {other:?}: ask for html or markdown");
                return Err(refuse(Error::BadRequest(why)));
            }
        };
        Ok(Response::new(shown))
    }
}

#[tonic::async_trait]
impl Documents for DocumentsService {
    async fn get_terms(
        &self,
        request: Request<pb::GetTermsRequest>,
    ) -> Result<Response<pb::HordeDocument>, Status> {
        let asked = enter(&*self.0.gate, request)?.message;
        self.document(Topic::Terms, asked.format()).await
    }

    async fn get_privacy(
        &self,
        request: Request<pb::GetPrivacyRequest>,
    ) -> Result<Response<pb::HordeDocument>, Status> {
        let asked = enter(&*self.0.gate, request)?.message;
        self.document(Topic::Privacy, asked.format()).await
    }

    async fn get_sponsors(
        &self,
        request: Request<pb::GetSponsorsRequest>,
    ) -> Result<Response<pb::HordeDocument>, Status> {
        let asked = enter(&*self.0.gate, request)?.message;
        self.document(Topic::Sponsors, asked.format()).await
    }
}
