//! The Filters service: what prompts may not ask for, as moderators keep it.

use tonic::{Request, Response, Status};

use super::{
    Api,
    check::Check,
    gate::{Call, enter},
    pb::{self, filters_server::Filters},
    refuse,
    rules::Rule,
};
use crate::domain::{
    Error, Result, UserId,
    filters::{
        Filter, FilterId, Pattern,
        kept::{Amendment, Wish},
    },
    user::KeyHash,
};

/// The Filters service.
pub struct FiltersService(pub Api);

impl FiltersService {
    /// What a moderator asks for, and who asks.
    async fn moderate<T: Check + Rule>(&self, request: Request<T>) -> Result<(T, UserId), Status> {
        let Call { message, key, .. } = enter(&*self.0.gate, request)?;
        let caller = self.0.authorize::<T>(key, None).await.map_err(refuse)?;
        Ok((message, caller))
    }

    /// Whether the operator lets an account test prompts.
    async fn may_test(&self, key: Option<KeyHash>) -> Result<bool> {
        let caller = self.0.caller(key).await?;
        let name = self.0.host.glance(|engine, _| engine.user(caller).map(|user| user.username()));
        Ok(caller != UserId::ANONYMOUS && name.is_some_and(|name| self.0.filter_testers.contains(&name)))
    }

    /// How a filter's editor is called.
    fn name(&self, editor: UserId) -> String {
        let name = self.0.host.glance(|engine, _| engine.user(editor).map(|user| user.username()));
        name.unwrap_or_else(|| format!("#{editor}"))
    }

    fn shown(&self, filter: Filter) -> pb::FilterDetails {
        let user = self.name(filter.editor);
        let Pattern { regex, filter_type, replacement, description } = filter.pattern;
        let (id, filter_type) = (filter.id.to_string(), small(filter_type));
        pb::FilterDetails { id, regex, filter_type, description, replacement, user }
    }

    fn written(&self, filter: Filter) -> pb::FilterWritten {
        let pb::FilterDetails { id, regex, filter_type, description, replacement, user } = self.shown(filter);
        pb::FilterWritten { id, regex, filter_type, description, replacement, user }
    }
}

#[tonic::async_trait]
impl Filters for FiltersService {
    async fn list_filters(
        &self,
        request: Request<pb::ListFiltersRequest>,
    ) -> Result<Response<pb::ListFiltersResponse>, Status> {
        let (asked, _) = self.moderate(request).await?;
        let is_asked = |filter: &Filter| {
            let Pattern { regex, filter_type, description, .. } = &filter.pattern;
            let is_in = |text: &String| asked.contains.as_ref().is_none_or(|part| text.contains(part));
            asked.filter_type.is_none_or(|only| i64::from(only) == *filter_type)
                && (is_in(regex) || description.as_ref().is_some_and(is_in))
        };
        let filters = self.0.host.filters().await.map_err(refuse)?;
        let filters = filters.into_iter().filter(is_asked).map(|filter| self.shown(filter)).collect();
        Ok(Response::new(pb::ListFiltersResponse { filters }))
    }

    async fn add_filter(
        &self,
        request: Request<pb::AddFilterRequest>,
    ) -> Result<Response<pb::FilterWritten>, Status> {
        let (asked, editor) = self.moderate(request).await?;
        if asked.has_nul() {
            return Err(refuse(Error::NulByte));
        }
        let pattern = Pattern {
            filter_type: asked.filter_type().into(),
            regex: asked.regex.unwrap_or_default(),
            replacement: asked.replacement.unwrap_or_default(),
            description: asked.description.filter(|description| !description.is_empty()),
        };
        let added = self.0.host.change_filters(editor, Wish::Add(pattern)).await.map_err(refuse)?;
        Ok(Response::new(self.written(added)))
    }

    async fn test_filters(
        &self,
        request: Request<pb::TestFiltersRequest>,
    ) -> Result<Response<pb::TestFiltersResponse>, Status> {
        let Call { message, key, .. } = enter(&*self.0.gate, request)?;
        match self.0.authorize::<pb::TestFiltersRequest>(key, None).await {
            Ok(_) => {}
            Err(Error::NotModerator) if self.may_test(key).await.map_err(refuse)? => {}
            Err(error) => return Err(refuse(error)),
        }
        let filter_type = message.filter_type.map(i64::from);
        let tested = self.0.host.test_filters(message.prompt.unwrap_or_default(), filter_type);
        let tested = tested.await.map_err(refuse)?;
        Ok(Response::new(pb::TestFiltersResponse {
            suspicion: tested.suspicion.to_string(),
            matches: tested.matches,
        }))
    }

    async fn list_filter_regexes(
        &self,
        request: Request<pb::ListFilterRegexesRequest>,
    ) -> Result<Response<pb::ListFilterRegexesResponse>, Status> {
        let (asked, _) = self.moderate(request).await?;
        let is_asked = |known: &i64| asked.filter_type.is_none_or(|only| i64::from(only) == *known);
        let joined = self.0.host.filter_regexes().into_iter().filter(|(known, _)| is_asked(known));
        let regexes =
            joined.map(|(known, regex)| pb::FilterRegex { filter_type: small(known), regex }).collect();
        Ok(Response::new(pb::ListFilterRegexesResponse { regexes }))
    }

    async fn get_filter(
        &self,
        request: Request<pb::GetFilterRequest>,
    ) -> Result<Response<pb::FilterDetails>, Status> {
        let (asked, _) = self.moderate(request).await?;
        let id = known(&asked.id)?;
        let filters = self.0.host.filters().await.map_err(refuse)?;
        let found = filters.into_iter().find(|filter| filter.id == id);
        let found = found.ok_or_else(|| refuse(Error::FilterNotFound(asked.id)))?;
        Ok(Response::new(self.shown(found)))
    }

    async fn update_filter(
        &self,
        request: Request<pb::UpdateFilterRequest>,
    ) -> Result<Response<pb::FilterWritten>, Status> {
        let (asked, editor) = self.moderate(request).await?;
        if asked.has_nul() {
            return Err(refuse(Error::NulByte));
        }
        let id = known(&asked.id)?;
        let said = |text: Option<String>| text.filter(|text| !text.is_empty());
        let amendment = Amendment {
            regex: said(asked.regex),
            filter_type: asked.filter_type.map(i64::from),
            description: said(asked.description),
            replacement: said(asked.replacement),
        };
        let edited = self.0.host.change_filters(editor, Wish::Edit(id, amendment)).await.map_err(refuse)?;
        Ok(Response::new(self.written(edited)))
    }

    async fn delete_filter(
        &self,
        request: Request<pb::DeleteFilterRequest>,
    ) -> Result<Response<pb::DeleteFilterResponse>, Status> {
        let (asked, editor) = self.moderate(request).await?;
        let id = known(&asked.id)?;
        self.0.host.change_filters(editor, Wish::Drop(id)).await.map_err(refuse)?;
        Ok(Response::new(pb::DeleteFilterResponse { message: "OK".into() }))
    }
}

/// The ID that a text is.
fn known(text: &str) -> Result<FilterId, Status> {
    FilterId::parse(text).ok_or_else(|| refuse(Error::FilterNotFound(text.to_owned())))
}

/// A type as the protos have it.
fn small(filter_type: i64) -> i32 {
    i32::try_from(filter_type).unwrap_or(i32::MAX)
}
