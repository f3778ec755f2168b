//! The Users service: accounts.

use tonic::{Request, Response, Status};

use super::{
    Api,
    convert::people,
    gate::enter,
    pb::{self, users_server::Users},
    refuse,
};
use crate::domain::{Error, RequestId, UserId, request::Kind};

/// The Users service.
pub struct UsersService(pub Api);

#[tonic::async_trait]
impl Users for UsersService {
    async fn find_user(
        &self,
        request: Request<pb::FindUserRequest>,
    ) -> Result<Response<pb::UserDetails>, Status> {
        let key = enter(&*self.0.gate, request)?.key.ok_or(Error::InvalidApiKey).map_err(refuse)?;
        let found = self.0.host.user_of_key(key).await.map_err(refuse)?;
        let id = found.ok_or(Error::UserNotFound).map_err(refuse)?;
        let details = self.0.host.read(move |engine, now| {
            let user = engine.user(id)?;
            let mut workers: Vec<_> = engine.workers().filter(|worker| worker.owner == id).collect();
            workers.sort_unstable_by_key(|worker| (worker.created_at, worker.id));
            let workers: Vec<_> = workers.into_iter().map(|worker| worker.id).collect();
            let active = Kind::ALL.map(|kind| match id {
                // Everybody's requests are nobody's business.
                UserId::ANONYMOUS => Vec::new(),
                _ => engine.active_requests(id, kind).iter().map(RequestId::to_string).collect(),
            });
            Some(people::user(user, &workers, active, now))
        });
        let details = details.await.map_err(refuse)?.ok_or(Error::UserNotFound).map_err(refuse)?;
        Ok(Response::new(details))
    }
}
