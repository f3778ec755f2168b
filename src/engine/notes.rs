//! Who may write messages to workers, and who sees which.

use std::sync::Arc;

use super::{Engine, NewMessage, Step};
use crate::domain::{Error, MessageId, Result, UserId, board::WorkerMessage};

/// Messages that an account may have out at a time, unless it keeps order here.
const MOST_OF_ONE: usize = 20;
/// Messages that are out when owners can write no further ones: the rest is for those who keep order.
const MOST_OF_OWNERS: usize = 800;

impl Engine {
    /// Sends a message to a worker, for its owner or a moderator; or to all workers, for a moderator.
    ///
    /// # Errors
    /// InvalidAPIKey, WorkerNotFound, NotModerator; as [`Engine::post_message`].
    pub fn send_message(&mut self, step: &mut Step<'_>, new: NewMessage) -> Result<Arc<WorkerMessage>> {
        self.accounts.get(new.author).ok_or(Error::InvalidApiKey)?;
        let worker =
            new.worker.map(|id| self.fleet.get(id).ok_or_else(|| Error::WorkerNotFound(id.to_string())));
        let owner = worker.transpose()?.map(|worker| worker.owner);
        if self.demand_moderator(new.author).is_err() {
            if owner != Some(new.author) {
                return Err(Error::NotModerator);
            }
            if self.messages().count() >= MOST_OF_OWNERS {
                return Err(Error::BadRequest(format!(
                    "{MOST_OF_OWNERS} messages are out already, and further ones are for moderators to write: \
                     come back when some are over"
                )));
            }
            let out = self.messages().filter(|message| message.author == new.author).count();
            if out >= MOST_OF_ONE {
                return Err(Error::BadRequest(format!(
                    "{out} of your messages are out already: withdraw some first"
                )));
            }
        }
        self.post_message(step, new)
    }

    /// A message, also for a while after its time is over.
    pub fn message(&self, id: MessageId) -> Option<&Arc<WorkerMessage>> {
        self.messages().find(|message| message.id == id)
    }

    /// Messages that an account may see, newest first: moderators all; others those that they wrote, those
    /// to their workers, and those to all.
    pub fn messages_seen_by(&self, viewer: UserId) -> impl Iterator<Item = &Arc<WorkerMessage>> {
        let sees_all = self.demand_moderator(viewer).is_ok();
        let is_theirs = move |message: &&Arc<WorkerMessage>| {
            let is_owner = |id| self.fleet.get(id).is_some_and(|worker| worker.owner == viewer);
            sees_all || message.author == viewer || message.worker.is_none_or(is_owner)
        };
        let mut seen: Vec<_> = self.messages().filter(is_theirs).collect();
        seen.sort_by_key(|message| (std::cmp::Reverse(message.created_at), message.id));
        seen.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        domain::{
            Kudos, WorkerId,
            user::{KeyHash, Role},
        },
        engine::{
            NewUser,
            stage::{Stage, text_profile},
        },
    };

    fn account(stage: &mut Stage, alias: &str, roles: Vec<Role>) -> UserId {
        let key = KeyHash::of(alias);
        let new = NewUser {
            alias: alias.into(),
            key,
            kudos: Kudos::ZERO,
            roles,
            concurrency: 30,
            worker_invites: 0,
        };
        stage.act(|engine, step| engine.add_user(step, new)).unwrap().id
    }

    fn post(stage: &mut Stage, author: UserId, worker: Option<WorkerId>) -> Result<MessageId> {
        let (origin, message, lasts) = ("me".into(), "update, please".into(), Duration::from_secs(60));
        let new = NewMessage { worker, author, origin, message, lasts };
        stage.act(|engine, step| engine.send_message(step, new)).map(|message| message.id)
    }

    #[test]
    fn owners_write_to_their_workers_and_moderators_to_all() {
        let mut stage = Stage::new();
        stage.stream("writer", text_profile(1), 1, &[]);
        let (owner, worker) = (stage.user, stage.engine.worker_by_name("writer").unwrap().id);
        let stranger = account(&mut stage, "eve", vec![Role::Trusted]);
        let moderator = account(&mut stage, "mona", vec![Role::Moderator]);
        for (author, to, refusal, rule) in [
            (owner, Some(worker), None, "its owner"),
            (owner, None, Some("NotModerator"), "but not to all"),
            (stranger, Some(worker), Some("NotModerator"), "nobody else"),
            (moderator, Some(worker), None, "a moderator"),
            (moderator, None, None, "to all, too"),
            (moderator, Some(WorkerId(uuid::Uuid::nil())), Some("WorkerNotFound"), "who is there"),
            (UserId(99), Some(worker), Some("InvalidApiKey"), "by whom"),
        ] {
            let outcome = post(&mut stage, author, to).err().map(|error| format!("{error:?}"));
            let told = outcome.as_deref().map(|text| text.split('(').next().unwrap());
            assert_eq!(told, refusal, "{rule}");
        }
        let seen = |stage: &Stage, viewer| stage.engine.messages_seen_by(viewer).count();
        assert_eq!((seen(&stage, moderator), seen(&stage, owner), seen(&stage, stranger)), (3, 3, 1));
        assert_eq!(seen(&stage, UserId::ANONYMOUS), 1, "what is for all is no secret");
        for _ in 1..MOST_OF_ONE {
            post(&mut stage, owner, Some(worker)).unwrap();
        }
        assert!(
            matches!(post(&mut stage, owner, Some(worker)), Err(Error::BadRequest(_))),
            "twenty at a time"
        );
        assert!(post(&mut stage, moderator, None).is_ok(), "of those who keep order as many as it takes");
        while stage.engine.messages().count() < MOST_OF_OWNERS {
            post(&mut stage, moderator, None).unwrap();
        }
        let other = account(&mut stage, "olga", vec![]);
        let asks = std::mem::replace(&mut stage.user, other);
        stage.stream("another", text_profile(1), 1, &[]);
        stage.user = asks;
        let another = stage.engine.worker_by_name("another").unwrap().id;
        let refused = post(&mut stage, other, Some(another)).unwrap_err().to_string();
        assert!(refused.contains("for moderators"), "{refused}");
        assert!(post(&mut stage, moderator, None).is_ok(), "who always can");
    }
}
