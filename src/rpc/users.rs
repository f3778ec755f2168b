//! The Users service: accounts.

use tonic::{Request, Response, Status};

use super::{
    Api,
    convert::accounts::{self, Surroundings, Viewer},
    gate::{Call, enter},
    pb::{self, users_server::Users},
    refuse,
};
use crate::{
    domain::{Error, Result, UserId, account::AccountRule, user::KeyHash},
    host::{Ranking, new_key},
};

/// Accounts of a page.
const PAGE: u32 = 25;
/// The last page that may have any.
const LAST_PAGE: i64 = 10_000;

/// The Users service.
pub struct UsersService(pub Api);

#[tonic::async_trait]
impl Users for UsersService {
    async fn list_users(
        &self,
        request: Request<pb::ListUsersRequest>,
    ) -> Result<Response<pb::ListUsersResponse>, Status> {
        let Call { message, .. } = enter(&*self.0.gate, request)?;
        let users = self.list(message).await.map_err(refuse)?;
        Ok(Response::new(pb::ListUsersResponse { users }))
    }

    async fn get_user(
        &self,
        request: Request<pb::GetUserRequest>,
    ) -> Result<Response<pb::UserDetails>, Status> {
        let Call { message, key, .. } = enter(&*self.0.gate, request)?;
        self.get(&message.id, key).await.map(Response::new).map_err(refuse)
    }

    async fn find_user(
        &self,
        request: Request<pb::FindUserRequest>,
    ) -> Result<Response<pb::UserDetails>, Status> {
        let Call { key, .. } = enter(&*self.0.gate, request)?;
        self.find(key).await.map(Response::new).map_err(refuse)
    }

    async fn update_user(
        &self,
        request: Request<pb::UpdateUserRequest>,
    ) -> Result<Response<pb::UpdateUserResponse>, Status> {
        let Call { message, key, .. } = enter(&*self.0.gate, request)?;
        self.update(message, key).await.map(Response::new).map_err(refuse)
    }

    async fn delete_user(
        &self,
        request: Request<pb::DeleteUserRequest>,
    ) -> Result<Response<pb::DeleteUserResponse>, Status> {
        let Call { message, key, .. } = enter(&*self.0.gate, request)?;
        self.delete(&message.id, key).await.map_err(refuse)?;
        Ok(Response::new(pb::DeleteUserResponse { message: "OK".into() }))
    }

    async fn register(
        &self,
        request: Request<pb::RegisterRequest>,
    ) -> Result<Response<pb::RegisterResponse>, Status> {
        let Call { message, address, .. } = enter(&*self.0.gate, request)?;
        if self.0.sign_in.captcha().is_some() {
            return Err(refuse(AccountRule::CaptchaNeeded.into()));
        }
        let alias = message.username.unwrap_or_default();
        if alias.contains('\0') {
            return Err(refuse(Error::NulByte));
        }
        let (user, api_key) = self.0.host.register(alias, address).await.map_err(refuse)?;
        Ok(Response::new(pb::RegisterResponse { api_key, username: user.username(), id: user.id.0 }))
    }

    async fn rotate_key(
        &self,
        request: Request<pb::RotateKeyRequest>,
    ) -> Result<Response<pb::RotateKeyResponse>, Status> {
        let Call { key, .. } = enter(&*self.0.gate, request)?;
        let id = self.0.authorize::<pb::RotateKeyRequest>(key, None).await.map_err(refuse)?;
        let (user, api_key) = self.0.host.rotate_key(id).await.map_err(refuse)?;
        Ok(Response::new(pb::RotateKeyResponse { api_key, username: user.username() }))
    }
}

impl UsersService {
    async fn list(&self, message: pb::ListUsersRequest) -> Result<Vec<pb::ListedUser>> {
        let page = message.page.unwrap_or(1).max(1);
        if page > LAST_PAGE {
            return Ok(Vec::new());
        }
        let by = match message.sort.as_deref() {
            Some("age") => Ranking::Age,
            _ => Ranking::Kudos,
        };
        let skip = u32::try_from(page - 1).unwrap_or(u32::MAX).saturating_mul(PAGE);
        let users = self.0.host.ranked_users(by, skip, PAGE).await?;
        let mut styles = Vec::with_capacity(users.len());
        for user in &users {
            styles.push(self.0.host.styles_of(user.id, true).await?);
        }
        let listed = self.0.host.read(move |engine, now| {
            let seen = users.iter().zip(&styles).map(|(user, styles)| {
                let around = Surroundings { workers: engine.workers_of(user.id), ..Surroundings::default() };
                let around = around.with_styles(user, styles);
                accounts::listed(accounts::user(user, around, Viewer::Anybody, now))
            });
            seen.collect()
        });
        listed.await
    }

    async fn get(&self, id: &str, key: Option<KeyHash>) -> Result<pb::UserDetails> {
        let id = self.known(id).await?;
        let viewer = match key {
            Some(_) => Some(self.0.caller(key).await?),
            None => None,
        };
        let sees_all = viewer
            .is_some_and(|viewer| viewer == id || self.0.host.glance(|engine, _| engine.keeps_order(viewer)));
        let styles = self.0.host.styles_of(id, !sees_all).await?;
        let details = self.0.host.read(move |engine, now| {
            let user = engine.member(id)?;
            let viewer = viewer.and_then(|viewer| engine.user(viewer));
            let viewer = viewer.map_or(Viewer::Anybody, |viewer| Viewer::of(viewer, user));
            let around = Surroundings::of(engine, user).with_styles(user, &styles);
            Some(accounts::user(user, around, viewer, now))
        });
        details.await?.ok_or(Error::UserNotFound)
    }

    async fn find(&self, key: Option<KeyHash>) -> Result<pb::UserDetails> {
        let key = key.ok_or(Error::InvalidApiKey)?;
        let (id, lent) = self.0.host.payer_of_key(key).await?.ok_or(Error::UserNotFound)?;
        let styles = self.0.host.styles_of(id, lent.is_some()).await?;
        let details = self.0.host.read(move |engine, now| {
            let user = engine.member(id)?;
            let around = Surroundings::of(engine, user).with_styles(user, &styles);
            let Some(lent) = lent else { return Some(accounts::user(user, around, Viewer::Itself, now)) };
            let key = user.shared_key(lent)?;
            let mut details = accounts::user(user, around, Viewer::Anybody, now);
            details.username += &match &key.name {
                Some(name) => format!(" (Shared Key: {name})"),
                None => " (Shared Key)".to_owned(),
            };
            Some(details)
        });
        details.await?.ok_or(Error::UserNotFound)
    }

    /// That there is such an account is said before the key is looked at.
    async fn update(
        &self,
        message: pb::UpdateUserRequest,
        key: Option<KeyHash>,
    ) -> Result<pb::UpdateUserResponse> {
        let id = self.known(&message.id).await?;
        let caller = self.0.caller(key).await?;
        let texts = [&message.admin_comment, &message.username, &message.contact];
        if texts.into_iter().flatten().any(|text| text.contains('\0')) {
            return Err(Error::NulByte);
        }
        let update = accounts::update(message, new_key);
        Ok(accounts::updated(self.0.host.update_user(caller, id, update).await?))
    }

    async fn delete(&self, id: &str, key: Option<KeyHash>) -> Result<()> {
        let id = self.known(id).await?;
        let caller = self.0.caller(key).await?;
        self.0.host.delete_user(caller, id).await
    }

    /// An account by its ID, or `alias#id`.
    async fn known(&self, text: &str) -> Result<UserId> {
        let id = UserId::parse(text).ok_or(Error::UserNotFound)?;
        self.0.host.bring_user(id).await?;
        let is_there = self.0.host.glance(|engine, _| engine.member(id).is_some());
        if is_there { Ok(id) } else { Err(Error::UserNotFound) }
    }
}
