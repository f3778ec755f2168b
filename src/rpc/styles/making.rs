//! Styles as they are found, made, changed and deleted.

use serde_json::Map;
use tonic::Status;

use super::{Change, Draft, StylesService, shown};
use crate::{
    domain::{
        Error, Result, SharedKeyId, StyleId, Timestamp, UserId,
        request::Kind,
        style::{LAST_PAGE, Query, Style},
        user::KeyHash,
    },
    engine,
    rpc::{json::Struct, pb, refuse, rules::Rule},
};

impl StylesService {
    pub(super) async fn list(&self, query: &Query) -> Result<Vec<Style>> {
        if query.page >= LAST_PAGE {
            return Ok(Vec::new());
        }
        self.0.host.list_styles(query).await
    }

    pub(super) async fn by_id(&self, kind: Kind, id: String) -> Result<Style> {
        let style = match StyleId::parse(&id) {
            Some(id) => self.0.host.style(id).await?,
            None => None,
        };
        of_kind(kind, style.ok_or(Error::StyleOfKindNotFound(kind, id))?)
    }

    pub(super) async fn by_name(&self, kind: Kind, name: String) -> Result<Style> {
        let style = self.0.host.style_named(&name, Some(kind)).await?;
        of_kind(kind, style.ok_or(Error::StyleNotFound(name))?)
    }

    /// In the contract's order.
    pub(super) async fn create<T: Rule>(
        &self,
        key: Option<KeyHash>,
        draft: Draft,
    ) -> Result<pb::StyleChangedResponse, Status> {
        let params = draft.params.unwrap_or_default().0;
        shown::check_params(draft.kind, &params)?;
        engine::count_style(draft.models.len(), draft.tags.len()).map_err(refuse)?;
        let author = self.0.authorize::<T>(key, None).await.map_err(|error| {
            refuse(match error {
                Error::Forbidden(_) | Error::AnonForbidden => Error::StylesRequiresCustomizer,
                other => other,
            })
        })?;
        if draft.has_nul {
            return Err(refuse(Error::NulByte));
        }
        let mut style = Style {
            // ID, times and revision come with its making.
            id: StyleId(uuid::Uuid::nil()),
            kind: draft.kind,
            owner: author,
            name: draft.name.unwrap_or_default(),
            info: draft.info,
            prompt: draft.prompt.unwrap_or_default(),
            params,
            is_public: draft.public.unwrap_or(true),
            nsfw: draft.nsfw,
            tags: draft.tags,
            models: draft.models,
            examples: Vec::new(),
            shared_key: None,
            use_count: 0,
            created_at: Timestamp::default(),
            updated_at: Timestamp::default(),
            revision: 0,
        };
        let made = async {
            self.0.host.glance(|engine, _| engine.clean_style(&mut style))?;
            style.shared_key = self.paying_key(draft.sharedkey.as_deref()).await?;
            self.0.host.glance(|engine, _| engine.may_author(author))?;
            let asked = shown::asked(&style)?;
            self.0.host.make_style(style, asked).await
        };
        let (id, warnings) = made.await.map_err(refuse)?;
        Ok(shown::changed(id, &warnings))
    }

    pub(super) async fn update<T: Rule>(
        &self,
        key: Option<KeyHash>,
        id: &str,
        change: Change,
    ) -> Result<pb::StyleChangedResponse, Status> {
        if let Some(params) = &change.params {
            shown::check_params(change.kind, &params.0)?;
        }
        let style = self.owned::<T>(key, change.kind, id).await.map_err(refuse)?;
        if change.has_nul {
            return Err(refuse(Error::NulByte));
        }
        if change.is_empty() {
            return Ok(shown::changed(style.id, &[]));
        }
        let changed = async {
            let shared_key = match change.sharedkey.as_deref() {
                Some("") => Some(None),
                Some(text) => Some(self.paying_key(Some(text)).await?),
                None => None,
            };
            let changed = self.0.host.change_style(style.id, |style| {
                let mut style = change.clone().apply(style);
                style.shared_key = shared_key.unwrap_or(style.shared_key);
                engine::count_style(style.models.len(), style.tags.len())?;
                self.0.host.glance(|engine, _| engine.clean_style(&mut style))?;
                let asked = shown::asked(&style)?;
                Ok((style, Some(asked)))
            });
            changed.await
        };
        let warnings = changed.await.map_err(refuse)?;
        Ok(shown::changed(style.id, &warnings))
    }

    pub(super) async fn delete<T: Rule>(
        &self,
        key: Option<KeyHash>,
        kind: Kind,
        id: &str,
    ) -> Result<pb::StyleDeletedResponse> {
        if self.0.caller(key).await? == UserId::ANONYMOUS {
            return Err(Error::StylesAnonForbidden);
        }
        let style = self.owned::<T>(key, kind, id).await?;
        self.0.host.drop_style(style.id).await?;
        Ok(shown::deleted())
    }

    /// The style of that ID, if the rule of the RPC lets the caller change it. Who calls is found out first,
    /// then what it is about, then whether they may.
    pub(super) async fn owned<T: Rule>(&self, key: Option<KeyHash>, kind: Kind, id: &str) -> Result<Style> {
        self.0.caller(key).await?;
        let unknown = || Error::StyleNotFound(id.to_owned());
        let id = StyleId::parse(id).ok_or_else(unknown)?;
        let style = self.0.host.style(id).await?.ok_or_else(unknown)?;
        self.0.authorize::<T>(key, Some(style.owner)).await.map_err(not_theirs)?;
        of_kind(kind, style)
    }

    /// A key that may pay for a style, of whomever it is.
    async fn paying_key(&self, text: Option<&str>) -> Result<Option<SharedKeyId>> {
        let Some(text) = text else { return Ok(None) };
        let key = SharedKeyId::parse(text)
            .ok_or_else(|| Error::BadRequest("sharedkey is no ID of a shared key".into()))?;
        let (_, key) = self.0.host.paying_key(key).await??;
        Ok(Some(key))
    }
}

impl Change {
    fn is_empty(&self) -> bool {
        let Self { kind: _, name, info, prompt, params, public, nsfw, tags, models, sharedkey, has_nul: _ } =
            self;
        let texts = [name, info, prompt, sharedkey].iter().all(|text| text.is_none());
        texts && params.is_none() && public.is_none() && nsfw.is_none() && tags.is_none() && models.is_none()
    }

    /// The style with what was sent.
    fn apply(self, style: Style) -> Style {
        Style {
            name: self.name.unwrap_or(style.name),
            info: self.info.or(style.info),
            prompt: self.prompt.unwrap_or(style.prompt),
            params: self.params.map_or(style.params, |Struct(params): Struct| -> Map<_, _> { params }),
            is_public: self.public.unwrap_or(style.is_public),
            nsfw: self.nsfw.unwrap_or(style.nsfw),
            tags: self.tags.map_or(style.tags, |tags| tags.names),
            models: self.models.map_or(style.models, |models| models.names),
            ..style
        }
    }
}

/// What the rules of styles say to those who may not change one.
pub(in crate::rpc) fn not_theirs(error: Error) -> Error {
    match error {
        Error::AnonForbidden | Error::NotModerator | Error::Forbidden(_) => {
            Error::Forbidden("this is for its author, or for moderators where they may".into())
        }
        other => other,
    }
}

fn of_kind(kind: Kind, style: Style) -> Result<Style> {
    match style.kind == kind {
        true => Ok(style),
        false => Err(Error::BadRequest(format!(
            "this is a style for {0}s: it is found under /styles/{0}",
            style.kind.word()
        ))),
    }
}
