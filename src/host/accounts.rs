//! Accounts by their keys, and those that are made.

use std::{collections::BTreeMap, net::IpAddr};

use super::{Host, new_key};
use crate::{
    backend::Ranking,
    domain::{
        Error, Result, SharedKeyId, UserId,
        shared_key::SharedKey,
        user::{KeyHash, Role, User},
    },
    engine::{Engine, NewSharedKey, NewUser, Registration, Step, UserUpdate, UserUpdated},
};

/// How often an account is given another ID when another broker was faster.
const MORE_IDS: usize = 20;

impl Host {
    /// The account of a key, from memory or else from the records. One that is lent is no account's.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`].
    pub async fn user_of_key(&self, key: KeyHash) -> Result<Option<UserId>> {
        if let Some(id) = self.known_user_of_key(&key) {
            return Ok(Some(id));
        }
        let user = self.stored(self.shared.backend.records.user_by_key(key).await)?;
        let Some(user) = user.filter(|user| user.key == key) else { return Ok(None) };
        let id = user.id;
        self.learn(user).await?;
        Ok(Some(id))
    }

    /// The account of a key, and the key if it is one that the account lends.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`].
    pub async fn payer_of_key(&self, key: KeyHash) -> Result<Option<(UserId, Option<SharedKeyId>)>> {
        let lender = |host: &Self| {
            host.glance(|engine, _| engine.lender(&key)).map(|(owner, lent)| (owner, Some(lent)))
        };
        if let Some(id) = self.known_user_of_key(&key) {
            return Ok(Some((id, None)));
        }
        if let Some(lender) = lender(self) {
            return Ok(Some(lender));
        }
        let Some(user) = self.stored(self.shared.backend.records.user_by_key(key).await)? else {
            return Ok(None);
        };
        let id = user.id;
        if user.key == key {
            self.learn(user).await?;
            return Ok(Some((id, None)));
        }
        // It was lent elsewhere, and this broker has not heard of that yet.
        self.stored(self.reread_user(id).await)?;
        Ok(lender(self))
    }

    fn known_user_of_key(&self, key: &KeyHash) -> Option<UserId> {
        self.shared.keys.read().owner(key)
    }

    async fn learn(&self, user: User) -> Result<()> {
        self.know_key(&user);
        self.act(move |engine, step, _| {
            if engine.user(user.id).is_none() {
                engine.learn_people(step.now, vec![user], Vec::new());
            }
            Ok(())
        })
        .await
    }

    /// Notes the key that an account has now.
    pub fn know_key(&self, user: &User) {
        self.shared.keys.write().learn(user);
    }

    /// Makes an account.
    ///
    /// # Errors
    /// As [`Engine::add_user`](crate::engine::Engine::add_user); [`Error::Overtaken`] while others make
    /// accounts all the time.
    pub async fn add_user(&self, new: NewUser) -> Result<User> {
        self.make_user(move |engine, step| engine.add_user(step, new.clone())).await
    }

    /// Makes an account for somebody who does not sign in, and returns it with its key.
    ///
    /// # Errors
    /// As [`Engine::register`](crate::engine::Engine::register), and as [`Host::add_user`].
    pub async fn register(&self, alias: String, address: Option<IpAddr>) -> Result<(User, String)> {
        let key = new_key();
        let new = Registration { alias, key: KeyHash::of(&key), address };
        let user = self.make_user(move |engine, step| engine.register(step, new.clone())).await?;
        Ok((user, key))
    }

    async fn make_user(
        &self,
        verb: impl Fn(&mut Engine, &mut Step<'_>) -> Result<User> + Clone + Send + 'static,
    ) -> Result<User> {
        let mut tries = 0;
        loop {
            let verb = verb.clone();
            match self.act(move |engine, step, _| verb(engine, step)).await {
                // Another broker gave its ID away; this one has learnt that by now.
                Err(Error::Overtaken) if tries < MORE_IDS => tries += 1,
                Err(error) => return Err(error),
                Ok(user) => {
                    self.know_key(&user);
                    return Ok(user);
                }
            }
        }
    }

    /// Gives an account another key, and returns it.
    ///
    /// # Errors
    /// As [`Engine::rotate_key`](crate::engine::Engine::rotate_key).
    pub async fn rotate_key(&self, id: UserId) -> Result<(User, String)> {
        self.bring_user(id).await?;
        let key = new_key();
        let hash = KeyHash::of(&key);
        let user = self.act(move |engine, step, _| engine.rotate_key(step, id, hash)).await?;
        self.know_key(&user);
        Ok((user, key))
    }

    /// Changes an account.
    ///
    /// # Errors
    /// As [`Engine::update_user`](crate::engine::Engine::update_user).
    pub async fn update_user(&self, caller: UserId, id: UserId, update: UserUpdate) -> Result<UserUpdated> {
        self.bring_user(id).await?;
        self.act(move |engine, step, _| engine.update_user(step, caller, id, update)).await
    }

    /// Schedules an account for deletion, or wipes it.
    ///
    /// # Errors
    /// As [`Engine::delete_user`](crate::engine::Engine::delete_user).
    pub async fn delete_user(&self, caller: UserId, id: UserId) -> Result<()> {
        self.bring_user(id).await?;
        let user = self.act(move |engine, step, _| {
            engine.delete_user(step, caller, id)?;
            engine.user(id).cloned().ok_or(Error::UserNotFound)
        });
        self.know_key(&user.await?);
        Ok(())
    }

    /// Gives an account roles, or takes them.
    ///
    /// # Errors
    /// As [`Engine::set_roles`](crate::engine::Engine::set_roles).
    pub async fn set_roles(&self, id: UserId, roles: BTreeMap<Role, bool>) -> Result<User> {
        self.bring_user(id).await?;
        self.act(move |engine, step, _| engine.set_roles(step, id, roles)).await
    }

    /// Sees to it that an account is known here if there is one: it may have been made elsewhere, a moment
    /// ago.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`].
    pub async fn bring_user(&self, id: UserId) -> Result<()> {
        if self.is_shared() && self.glance(|engine, _| engine.user(id).is_none()) {
            self.stored(self.reread_user(id).await)?;
        }
        Ok(())
    }

    /// Accounts in an order, some of it.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`].
    pub async fn ranked_users(&self, by: Ranking, skip: u32, most: u32) -> Result<Vec<User>> {
        self.stored(self.shared.backend.records.ranked_users(by, skip, most).await)
    }

    /// Lends a key of an account.
    ///
    /// # Errors
    /// As [`Engine::lend`](crate::engine::Engine::lend).
    pub async fn lend(&self, new: NewSharedKey) -> Result<SharedKey> {
        self.bring_user(new.owner).await?;
        self.act(move |engine, step, _| engine.lend(step, new)).await
    }
}
