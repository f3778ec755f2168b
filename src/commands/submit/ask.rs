//! What is asked for, in the words of the API.

use clap::Args;
use tonic::Status;

use super::CommonArgs;
use crate::{rpc::pb, worker::Connection};

/// Flags of `gridbroker submit text`.
#[derive(Args, Clone, Debug)]
pub struct TextArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub common: CommonArgs,
    /// Tokens to generate, at most. Default: 80.
    #[arg(long, value_name = "TOKENS")]
    pub max_length: Option<i32>,
}

/// Flags of `gridbroker submit image` and `gridbroker submit video`.
#[derive(Args, Clone, Debug)]
pub struct DrawingArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub common: CommonArgs,
    /// Width; a multiple of 64. Default: 512.
    #[arg(long, value_name = "PIXELS")]
    pub width: Option<i32>,
    /// Height; a multiple of 64. Default: 512.
    #[arg(long, value_name = "PIXELS")]
    pub height: Option<i32>,
    /// Sampling steps. Default: 30.
    #[arg(long, value_name = "N")]
    pub steps: Option<i32>,
    /// Seed. Default: a random one.
    #[arg(long, value_name = "SEED")]
    pub seed: Option<String>,
}

/// A kind of requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Text,
    Image,
    Video,
    Alchemy,
}

impl Kind {
    /// What so many results are called.
    pub fn called(self, count: i32) -> &'static str {
        match (self, count) {
            (Self::Text, 1) => "text",
            (Self::Text, _) => "texts",
            (Self::Image, 1) => "image",
            (Self::Image, _) => "images",
            (Self::Video, 1) => "video",
            (Self::Video, _) => "videos",
            (Self::Alchemy, 1) => "form",
            (Self::Alchemy, _) => "forms",
        }
    }
}

/// A request that is to be made.
pub(super) enum Wish {
    Text(pb::SubmitTextRequest),
    Image(pb::SubmitImageRequest),
    Video(pb::SubmitVideoRequest),
}

impl TextArgs {
    pub(super) fn wish(&self) -> Wish {
        let params =
            pb::TextParams { n: Some(self.common.n), max_length: self.max_length, ..Default::default() };
        Wish::Text(pb::SubmitTextRequest {
            prompt: Some(self.common.prompt.clone()),
            params: Some(params),
            models: self.common.model.iter().cloned().collect(),
            ..Default::default()
        })
    }
}

impl DrawingArgs {
    pub(super) fn image(&self) -> Wish {
        Wish::Image(pb::SubmitImageRequest {
            prompt: Some(self.common.prompt.clone()),
            params: Some(self.params()),
            models: self.models(),
            ..Default::default()
        })
    }

    pub(super) fn video(&self) -> Wish {
        Wish::Video(pb::SubmitVideoRequest {
            prompt: Some(self.common.prompt.clone()),
            params: Some(self.params()),
            models: self.models(),
            ..Default::default()
        })
    }

    fn params(&self) -> pb::ImageParams {
        pb::ImageParams {
            n: Some(self.common.n),
            width: self.width,
            height: self.height,
            steps: self.steps,
            seed: self.seed.clone(),
            ..Default::default()
        }
    }

    fn models(&self) -> Option<pb::ModelList> {
        self.common.model.clone().map(|model| pb::ModelList { names: vec![model] })
    }
}

impl Wish {
    pub fn kind(&self) -> Kind {
        match self {
            Self::Text(_) => Kind::Text,
            Self::Image(_) => Kind::Image,
            Self::Video(_) => Kind::Video,
        }
    }

    /// Submits it; the ID of the request, and remarks.
    pub async fn submit(self, connection: &Connection) -> Result<(String, Vec<String>), Status> {
        let mut client = connection.generate();
        let drawn = match self {
            Self::Text(request) => {
                let response = client.submit_text(request).await?.into_inner();
                return Ok((response.id.unwrap_or_default(), response.message.into_iter().collect()));
            }
            Self::Image(request) => client.submit_image(request).await?.into_inner(),
            Self::Video(request) => client.submit_video(request).await?.into_inner(),
        };
        let warnings = drawn.warnings.into_iter().map(|warning| warning.message);
        Ok((drawn.id.unwrap_or_default(), drawn.message.into_iter().chain(warnings).collect()))
    }
}

/// Cancels a request.
pub(super) async fn cancel(connection: &Connection, id: &str, kind: Kind) -> Result<(), Status> {
    let (mut client, id) = (connection.generate(), id.to_owned());
    match kind {
        Kind::Text => client.cancel_text(pb::CancelTextRequest { id }).await.map(drop),
        Kind::Image => client.cancel_image(pb::CancelImageRequest { id }).await.map(drop),
        Kind::Video => client.cancel_video(pb::CancelVideoRequest { id }).await.map(drop),
        Kind::Alchemy => client.cancel_alchemy(pb::CancelAlchemyRequest { id }).await.map(drop),
    }
}
