//! The Collections service.

use std::collections::HashMap;

use tonic::{Request, Response, Status};

use super::{
    Api,
    check::Check,
    convert::styles as shown,
    gate::{Call, enter},
    pb::{self, collections_server::Collections},
    refuse,
    rules::Rule,
    styles::not_theirs,
};
use crate::{
    domain::{
        CollectionId, Error, Result, StyleId, Timestamp, UserId,
        request::Kind,
        style::{Collection, LAST_PAGE},
        user::KeyHash,
    },
    engine,
};

/// The Collections service.
pub struct CollectionsService(pub Api);

#[tonic::async_trait]
impl Collections for CollectionsService {
    async fn list_collections(
        &self,
        request: Request<pb::ListCollectionsRequest>,
    ) -> Result<Response<pb::ListCollectionsResponse>, Status> {
        let pb::ListCollectionsRequest { sort, page, r#type } = enter(&*self.0.gate, request)?.message;
        let kind = match r#type.as_deref() {
            Some("image") => Some(Kind::Image),
            Some("text") => Some(Kind::Text),
            _ => None,
        };
        let query = shown::query(sort, page, kind);
        let found = match query.page < LAST_PAGE {
            true => self.0.host.list_collections(&query).await.map_err(refuse)?,
            false => Vec::new(),
        };
        let collections = self.shown(&found).await.map_err(refuse)?;
        Ok(Response::new(pb::ListCollectionsResponse { collections }))
    }

    async fn create_collection(
        &self,
        request: Request<pb::CreateCollectionRequest>,
    ) -> Result<Response<pb::StyleChangedResponse>, Status> {
        let call = enter(&*self.0.gate, request)?;
        self.create(call).await.map(Response::new).map_err(refuse)
    }

    async fn get_collection(
        &self,
        request: Request<pb::GetCollectionRequest>,
    ) -> Result<Response<pb::StyleCollection>, Status> {
        let id = enter(&*self.0.gate, request)?.message.id;
        let found = self.by_id(&id).await.map_err(refuse)?;
        self.shown_alone(found).await.map(Response::new).map_err(refuse)
    }

    async fn get_collection_by_name(
        &self,
        request: Request<pb::GetCollectionByNameRequest>,
    ) -> Result<Response<pb::StyleCollection>, Status> {
        let name = enter(&*self.0.gate, request)?.message.name;
        let found = self.0.host.collection_named(&name, None).await.map_err(refuse)?;
        let found = found.ok_or_else(|| refuse(Error::CollectionNotFound(name)))?;
        self.shown_alone(found).await.map(Response::new).map_err(refuse)
    }

    async fn update_collection(
        &self,
        request: Request<pb::UpdateCollectionRequest>,
    ) -> Result<Response<pb::StyleChangedResponse>, Status> {
        let call = enter(&*self.0.gate, request)?;
        self.update(call).await.map(Response::new).map_err(refuse)
    }

    async fn delete_collection(
        &self,
        request: Request<pb::DeleteCollectionRequest>,
    ) -> Result<Response<pb::StyleDeletedResponse>, Status> {
        let Call { message, key, .. } = enter(&*self.0.gate, request)?;
        self.delete(key, &message.id).await.map(Response::new).map_err(refuse)
    }
}

impl CollectionsService {
    async fn create(&self, call: Call<pb::CreateCollectionRequest>) -> Result<pb::StyleChangedResponse> {
        let Call { message, key, .. } = call;
        let owner = self.0.authorize::<pb::CreateCollectionRequest>(key, None).await;
        let owner = owner.map_err(|error| match error {
            Error::AnonForbidden => Error::StylesAnonForbidden,
            other => other,
        })?;
        self.0.host.glance(|engine, _| engine.may_author(owner))?;
        if message.has_nul() {
            return Err(Error::NulByte);
        }
        let (kind, members) = self.members(&message.styles.unwrap_or_default()).await?;
        let mut collection = Collection {
            // ID, times and revision come with its making.
            id: CollectionId(uuid::Uuid::nil()),
            kind,
            owner,
            name: message.name.unwrap_or_default(),
            info: message.info,
            is_public: message.public.unwrap_or(true),
            members,
            use_count: 0,
            created_at: Timestamp::default(),
            updated_at: Timestamp::default(),
            revision: 0,
        };
        self.0.host.glance(|engine, _| engine.clean_collection(&mut collection))?;
        let id = self.0.host.make_collection(collection).await?;
        Ok(shown::changed(id, &[]))
    }

    async fn update(&self, call: Call<pb::UpdateCollectionRequest>) -> Result<pb::StyleChangedResponse> {
        let Call { message, key, .. } = call;
        let collection = self.owned::<pb::UpdateCollectionRequest>(key, &message.id).await?;
        if message.has_nul() {
            return Err(Error::NulByte);
        }
        let pb::UpdateCollectionRequest { id: _, name, info, public, styles } = message;
        if name.is_none() && info.is_none() && public.is_none() && styles.is_none() {
            return Ok(shown::changed(collection.id, &[]));
        }
        let members = match styles {
            Some(styles) => {
                let (kind, members) = self.members(&styles).await?;
                demand(kind, collection.kind)?;
                Some(members)
            }
            None => None,
        };
        let changed = self.0.host.change_collection(collection.id, |mut collection| {
            collection.name = name.clone().unwrap_or(collection.name);
            collection.info = info.clone().or(collection.info);
            collection.is_public = public.unwrap_or(collection.is_public);
            collection.members = members.clone().unwrap_or(collection.members);
            self.0.host.glance(|engine, _| engine.clean_collection(&mut collection))?;
            Ok(collection)
        });
        changed.await?;
        Ok(shown::changed(collection.id, &[]))
    }

    async fn delete(&self, key: Option<KeyHash>, id: &str) -> Result<pb::StyleDeletedResponse> {
        if self.0.caller(key).await? == UserId::ANONYMOUS {
            return Err(Error::StylesAnonForbidden);
        }
        let collection = self.owned::<pb::DeleteCollectionRequest>(key, id).await?;
        self.0.host.drop_collection(collection.id).await?;
        Ok(shown::deleted())
    }

    async fn by_id(&self, text: &str) -> Result<Collection> {
        let found = match CollectionId::parse(text) {
            Some(id) => self.0.host.collection(id).await?,
            None => None,
        };
        found.ok_or_else(|| Error::CollectionNotFound(text.to_owned()))
    }

    /// The collection of that ID, if the rule of the RPC lets the caller change it.
    async fn owned<T: Rule>(&self, key: Option<KeyHash>, id: &str) -> Result<Collection> {
        self.0.caller(key).await?;
        let collection = self.by_id(id).await?;
        self.0.authorize::<T>(key, Some(collection.owner)).await.map_err(not_theirs)?;
        Ok(collection)
    }

    /// Styles by ID or name, each once, and the kind that all of them are of.
    async fn members(&self, styles: &pb::StyleNames) -> Result<(Kind, Vec<StyleId>)> {
        engine::count_members(styles.names.len())?;
        let (mut kind, mut members) = (None, Vec::new());
        for text in &styles.names {
            let style = self.0.host.find_style(text, kind).await?;
            let style = style.ok_or_else(|| Error::BadRequest(format!("there is no style {text:?}")))?;
            demand(style.kind, *kind.get_or_insert(style.kind))?;
            if !members.contains(&style.id) {
                members.push(style.id);
            }
        }
        Ok((kind.unwrap_or(Kind::Image), members))
    }

    async fn shown(&self, collections: &[Collection]) -> Result<Vec<pb::StyleCollection>> {
        let mut ids: Vec<StyleId> = collections.iter().flat_map(|one| one.members.iter().copied()).collect();
        ids.sort_unstable();
        ids.dedup();
        let styles = self.0.host.members(&ids).await?;
        let names: HashMap<StyleId, String> =
            styles.into_iter().map(|style| (style.id, style.name)).collect();
        let one = |collection: &Collection| {
            let member = |id: &StyleId| Some((names.get(id)?.clone(), id.to_string()));
            shown::collection(collection, &collection.members.iter().filter_map(member).collect::<Vec<_>>())
        };
        Ok(collections.iter().map(one).collect())
    }

    async fn shown_alone(&self, collection: Collection) -> Result<pb::StyleCollection> {
        let shown = self.shown(&[collection]).await?.pop();
        shown.ok_or_else(|| Error::CollectionNotFound(String::new()))
    }
}

fn demand(found: Kind, wanted: Kind) -> Result<()> {
    match found == wanted {
        true => Ok(()),
        false => Err(Error::BadRequest(format!(
            "a collection has styles of one kind: this one has styles for {}s, and one for {}s is named",
            wanted.word(),
            found.word()
        ))),
    }
}
