//! Accounts by their keys, and those that are made.

use super::Host;
use crate::{
    domain::{
        Error, Result, SharedKeyId, UserId,
        shared_key::SharedKey,
        user::{KeyHash, User},
    },
    engine::{NewSharedKey, NewUser},
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
        self.shared.keys.read().get(key).copied()
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

    /// Notes the key of a new account.
    pub fn know_key(&self, user: &User) {
        self.shared.keys.write().insert(user.key, user.id);
    }

    /// Makes an account.
    ///
    /// # Errors
    /// As [`Engine::add_user`](crate::engine::Engine::add_user); [`Error::Overtaken`] while others make
    /// accounts all the time.
    pub async fn add_user(&self, new: NewUser) -> Result<User> {
        let mut tries = 0;
        loop {
            let new = new.clone();
            match self.act(move |engine, step, _| engine.add_user(step, new)).await {
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

    /// Lends a key of an account.
    ///
    /// # Errors
    /// As [`Engine::lend`](crate::engine::Engine::lend).
    pub async fn lend(&self, new: NewSharedKey) -> Result<SharedKey> {
        if self.is_shared() && self.glance(|engine, _| engine.user(new.owner).is_none()) {
            // Made elsewhere, a moment ago.
            self.stored(self.reread_user(new.owner).await)?;
        }
        self.act(move |engine, step, _| engine.lend(step, new)).await
    }
}
