//! The Styles service.

mod examples;
mod making;

use tonic::{Request, Response, Status};

use super::{
    Api,
    check::Check,
    convert::styles as shown,
    gate::{Call, enter},
    json::Struct,
    pb::{self, styles_server::Styles},
    refuse,
};
use crate::domain::{Result, markup::sanitise, request::Kind, style::Query};

pub use examples::link as example_link;
pub(super) use making::not_theirs;

/// The Styles service.
pub struct StylesService(pub Api);

/// What a style that is to be made says.
struct Draft {
    kind: Kind,
    name: Option<String>,
    info: Option<String>,
    prompt: Option<String>,
    params: Option<Struct>,
    public: Option<bool>,
    nsfw: bool,
    tags: Vec<String>,
    models: Vec<String>,
    sharedkey: Option<String>,
    has_nul: bool,
}

/// What is to change of a style.
#[derive(Clone)]
struct Change {
    kind: Kind,
    name: Option<String>,
    info: Option<String>,
    prompt: Option<String>,
    params: Option<Struct>,
    public: Option<bool>,
    nsfw: Option<bool>,
    tags: Option<pb::StyleTags>,
    models: Option<pb::ModelList>,
    sharedkey: Option<String>,
    has_nul: bool,
}

/// A [`Draft`] or a [`Change`] of what both kinds of messages call the same.
macro_rules! said {
    ($to:ident of $kind:ident: $message:ident) => {{
        let has_nul = $message.has_nul();
        let m = $message;
        $to {
            kind: Kind::$kind,
            name: m.name,
            info: m.info,
            prompt: m.prompt,
            params: m.params,
            public: m.public,
            nsfw: m.nsfw,
            tags: m.tags,
            models: m.models,
            sharedkey: m.sharedkey,
            has_nul,
        }
    }};
}

/// A tag that is looked for, as those of styles are kept.
fn sought(tag: Option<String>) -> Option<String> {
    tag.map(|tag| sanitise(&tag))
}

#[tonic::async_trait]
impl Styles for StylesService {
    async fn list_image_styles(
        &self,
        request: Request<pb::ListImageStylesRequest>,
    ) -> Result<Response<pb::ListImageStylesResponse>, Status> {
        let pb::ListImageStylesRequest { sort, page, tag, model } = enter(&*self.0.gate, request)?.message;
        let query = Query { tag: sought(tag), model, ..shown::query(sort, page, Some(Kind::Image)) };
        let styles = self.list(&query).await.map_err(refuse)?;
        let authors = self.0.host.authors(&styles).await.map_err(refuse)?;
        let styles = styles.iter().map(|style| shown::image_style(style, &authors)).collect();
        Ok(Response::new(pb::ListImageStylesResponse { styles }))
    }

    async fn create_image_style(
        &self,
        request: Request<pb::CreateImageStyleRequest>,
    ) -> Result<Response<pb::StyleChangedResponse>, Status> {
        let Call { message, key, .. } = enter(&*self.0.gate, request)?;
        let draft = said!(Draft of Image: message);
        self.create::<pb::CreateImageStyleRequest>(key, draft).await.map(Response::new)
    }

    async fn get_image_style(
        &self,
        request: Request<pb::GetImageStyleRequest>,
    ) -> Result<Response<pb::ImageStyle>, Status> {
        let id = enter(&*self.0.gate, request)?.message.id;
        let style = self.by_id(Kind::Image, id).await.map_err(refuse)?;
        let authors = self.0.host.authors(std::slice::from_ref(&style)).await.map_err(refuse)?;
        Ok(Response::new(shown::image_style(&style, &authors)))
    }

    async fn get_image_style_by_name(
        &self,
        request: Request<pb::GetImageStyleByNameRequest>,
    ) -> Result<Response<pb::ImageStyle>, Status> {
        let name = enter(&*self.0.gate, request)?.message.name;
        let style = self.by_name(Kind::Image, name).await.map_err(refuse)?;
        let authors = self.0.host.authors(std::slice::from_ref(&style)).await.map_err(refuse)?;
        Ok(Response::new(shown::image_style(&style, &authors)))
    }

    async fn update_image_style(
        &self,
        request: Request<pb::UpdateImageStyleRequest>,
    ) -> Result<Response<pb::StyleChangedResponse>, Status> {
        let Call { message, key, .. } = enter(&*self.0.gate, request)?;
        let id = message.id.clone();
        let change = said!(Change of Image: message);
        self.update::<pb::UpdateImageStyleRequest>(key, &id, change).await.map(Response::new)
    }

    async fn delete_image_style(
        &self,
        request: Request<pb::DeleteImageStyleRequest>,
    ) -> Result<Response<pb::StyleDeletedResponse>, Status> {
        let Call { message, key, .. } = enter(&*self.0.gate, request)?;
        let deleted = self.delete::<pb::DeleteImageStyleRequest>(key, Kind::Image, &message.id).await;
        deleted.map(Response::new).map_err(refuse)
    }

    async fn add_style_example(
        &self,
        request: Request<pb::AddStyleExampleRequest>,
    ) -> Result<Response<pb::StyleChangedResponse>, Status> {
        let call = enter(&*self.0.gate, request)?;
        examples::add(self, call).await.map(Response::new).map_err(refuse)
    }

    async fn update_style_example(
        &self,
        request: Request<pb::UpdateStyleExampleRequest>,
    ) -> Result<Response<pb::StyleChangedResponse>, Status> {
        let call = enter(&*self.0.gate, request)?;
        examples::update(self, call).await.map(Response::new).map_err(refuse)
    }

    async fn delete_style_example(
        &self,
        request: Request<pb::DeleteStyleExampleRequest>,
    ) -> Result<Response<pb::StyleDeletedResponse>, Status> {
        let call = enter(&*self.0.gate, request)?;
        examples::delete(self, call).await.map(Response::new).map_err(refuse)
    }

    async fn list_text_styles(
        &self,
        request: Request<pb::ListTextStylesRequest>,
    ) -> Result<Response<pb::ListTextStylesResponse>, Status> {
        let pb::ListTextStylesRequest { sort, page, tag, model } = enter(&*self.0.gate, request)?.message;
        let query = Query { tag: sought(tag), model, ..shown::query(sort, page, Some(Kind::Text)) };
        let styles = self.list(&query).await.map_err(refuse)?;
        let authors = self.0.host.authors(&styles).await.map_err(refuse)?;
        let styles = styles.iter().map(|style| shown::text_style(style, &authors)).collect();
        Ok(Response::new(pb::ListTextStylesResponse { styles }))
    }

    async fn create_text_style(
        &self,
        request: Request<pb::CreateTextStyleRequest>,
    ) -> Result<Response<pb::StyleChangedResponse>, Status> {
        let Call { message, key, .. } = enter(&*self.0.gate, request)?;
        let draft = said!(Draft of Text: message);
        self.create::<pb::CreateTextStyleRequest>(key, draft).await.map(Response::new)
    }

    async fn get_text_style(
        &self,
        request: Request<pb::GetTextStyleRequest>,
    ) -> Result<Response<pb::TextStyle>, Status> {
        let id = enter(&*self.0.gate, request)?.message.id;
        let style = self.by_id(Kind::Text, id).await.map_err(refuse)?;
        let authors = self.0.host.authors(std::slice::from_ref(&style)).await.map_err(refuse)?;
        Ok(Response::new(shown::text_style(&style, &authors)))
    }

    async fn get_text_style_by_name(
        &self,
        request: Request<pb::GetTextStyleByNameRequest>,
    ) -> Result<Response<pb::TextStyle>, Status> {
        let name = enter(&*self.0.gate, request)?.message.name;
        let style = self.by_name(Kind::Text, name).await.map_err(refuse)?;
        let authors = self.0.host.authors(std::slice::from_ref(&style)).await.map_err(refuse)?;
        Ok(Response::new(shown::text_style(&style, &authors)))
    }

    async fn update_text_style(
        &self,
        request: Request<pb::UpdateTextStyleRequest>,
    ) -> Result<Response<pb::StyleChangedResponse>, Status> {
        let Call { message, key, .. } = enter(&*self.0.gate, request)?;
        let id = message.id.clone();
        let change = said!(Change of Text: message);
        self.update::<pb::UpdateTextStyleRequest>(key, &id, change).await.map(Response::new)
    }

    async fn delete_text_style(
        &self,
        request: Request<pb::DeleteTextStyleRequest>,
    ) -> Result<Response<pb::StyleDeletedResponse>, Status> {
        let Call { message, key, .. } = enter(&*self.0.gate, request)?;
        let deleted = self.delete::<pb::DeleteTextStyleRequest>(key, Kind::Text, &message.id).await;
        deleted.map(Response::new).map_err(refuse)
    }
}
