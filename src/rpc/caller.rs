//! Who calls, and whether the rule of the RPC lets them in.
//!
//! The rule is declared in the protos. A verb that asks for its caller by [`Api::authorize`] is closed to
//! everybody whom its rule does not name; what a refusal is called where the contract has a word of its
//! own, the verb says.

use std::net::IpAddr;

use super::{
    Api,
    rules::{Caller, Rule},
};
use crate::domain::{
    Error, Result, SharedKeyId, UserId,
    user::{KeyHash, Role, User},
};

impl Api {
    /// The account of the key, if the rule of the RPC `T` lets it in; `owner` is whose the object is,
    /// where the rule is about one. Rules of single fields are left to the verb.
    ///
    /// # Errors
    /// [`Error::InvalidApiKey`] without an account; [`Error::AnonForbidden`] for everybody's, where a rule
    /// takes an account of one's own; [`Error::NotModerator`]; [`Error::Forbidden`].
    pub(super) async fn authorize<T: Rule>(
        &self,
        key: Option<KeyHash>,
        owner: Option<UserId>,
    ) -> Result<UserId> {
        let id = self.caller(key).await?;
        let looked = self.host.glance(|engine, _| {
            let judge = |user| may_call(T::METHOD.caller, user, owner, engine.awarder());
            engine.user(id).map(judge)
        });
        looked.ok_or(Error::InvalidApiKey)??;
        Ok(id)
    }

    /// Whose key a call carries.
    pub(super) async fn caller(&self, key: Option<KeyHash>) -> Result<UserId> {
        let key = key.ok_or(Error::InvalidApiKey)?;
        self.host.user_of_key(key).await?.ok_or(Error::InvalidApiKey)
    }

    /// Whose key a call carries, where keys that are lent count as their owners': which one it is.
    pub(super) async fn payer(&self, key: Option<KeyHash>) -> Result<(UserId, Option<SharedKeyId>)> {
        let key = key.ok_or(Error::InvalidApiKey)?;
        self.host.payer_of_key(key).await?.ok_or(Error::InvalidApiKey)
    }

    /// Notes that an account asks for something from here: where those beyond doubt ask from, limits are
    /// wider for a day.
    pub(super) fn welcome(&self, user: UserId, address: Option<IpAddr>) {
        const BEYOND_DOUBT: [Role; 3] = [Role::Trusted, Role::Education, Role::Service];
        let is_beyond_doubt = self.host.glance(|engine, _| {
            engine.user(user).is_some_and(|user| BEYOND_DOUBT.iter().any(|role| user.is(*role)))
        });
        if let Some(address) = address.filter(|_| is_beyond_doubt) {
            self.gate.welcome(address);
        }
    }
}

/// Whether a rule lets an account in; `owner` is whose the object is, `awarder` the account that awards.
fn may_call(rule: Caller, user: &User, owner: Option<UserId>, awarder: UserId) -> Result<()> {
    let is_anonymous = user.id == UserId::ANONYMOUS;
    let is_owner = owner == Some(user.id) && !is_anonymous;
    let keeps_order = !is_anonymous && user.keeps_order();
    let (may, refusal) = match rule {
        Caller::Anyone | Caller::KeyOptional | Caller::Key | Caller::ByField => return Ok(()),
        Caller::User => (true, Error::AnonForbidden),
        Caller::Owner => (is_owner, Error::Forbidden("this takes the owner of what is to change".into())),
        Caller::OwnerOrModerator => (is_owner || keeps_order, Error::NotModerator),
        Caller::Moderator => (keeps_order, Error::NotModerator),
        Caller::Trusted => (user.is(Role::Trusted), Error::Forbidden("this takes a trusted account".into())),
        Caller::Customizer => (
            user.is(Role::Customizer) || user.is(Role::Trusted),
            Error::Forbidden("this takes a customizer, or a trusted account".into()),
        ),
        Caller::Awarder => {
            (user.id == awarder, Error::Forbidden("this takes the account that awards kudos".into()))
        }
    };
    match (is_anonymous, may) {
        // Moderators' doors say so to everybody.
        (true, _) if matches!(rule, Caller::Moderator | Caller::OwnerOrModerator) => Err(refusal),
        (true, _) => Err(Error::AnonForbidden),
        (false, true) => Ok(()),
        (false, false) => Err(refusal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_let_in_whom_they_name_and_nobody_else() {
        let of = |id, roles: &[Role]| User { id: UserId(id), roles: roles.to_vec(), ..User::anonymous() };
        let people = [
            ("anonymous", of(0, &[])),
            ("operator", of(1, &[])),
            ("user", of(7, &[])),
            ("owner", of(8, &[])),
            ("trusted", of(9, &[Role::Trusted])),
            ("customizer", of(10, &[Role::Customizer])),
            ("moderator", of(11, &[Role::Moderator])),
            ("admin", of(12, &[Role::Admin])),
        ];
        let everybody: Vec<&str> = people.iter().map(|(name, _)| *name).collect();
        for (rule, let_in) in [
            (Caller::Anyone, &everybody[..]),
            (Caller::KeyOptional, &everybody),
            (Caller::Key, &everybody),
            (Caller::ByField, &everybody),
            (Caller::User, &everybody[1..]),
            (Caller::Owner, &["owner"]),
            (Caller::OwnerOrModerator, &["owner", "moderator", "admin"]),
            (Caller::Moderator, &["moderator", "admin"]),
            (Caller::Trusted, &["trusted", "moderator"]),
            (Caller::Customizer, &["trusted", "customizer", "moderator"]),
            (Caller::Awarder, &["operator"]),
        ] {
            let may = |user: &User| may_call(rule, user, Some(UserId(8)), UserId::AWARDER).is_ok();
            let found: Vec<&str> =
                people.iter().filter(|(_, user)| may(user)).map(|(name, _)| *name).collect();
            assert_eq!(found, let_in, "{rule:?}");
        }
        let nobody = of(0, &[]);
        assert!(
            may_call(Caller::Owner, &nobody, Some(UserId::ANONYMOUS), UserId::AWARDER).is_err(),
            "everybody owns nothing"
        );
    }
}
