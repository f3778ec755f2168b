//! Keys that accounts lend: who pays for what is asked with one, and within which bounds.
//!
//! ```text
//!  7 ─ empty? ended? ──► asks as its owner ──► 25 ─ covers the price? within its bounds? ──► accepted
//!        └─ may be downgraded: asks as nobody, behind all others
//! ```
//!
//! What a key may still spend is a hint here, and kept by Records: it is spent with the charge, down to
//! nothing. Source: the shared keys of the v2 contract.

use std::{sync::Arc, time::Duration};

use super::{Asked, Engine, Step};
use crate::domain::{
    Error, Kudos, RequestId, Result, SharedKeyId, Timestamp, UserId, price,
    record::Record,
    request::Spec,
    shared_key::{KeyChange, SharedKey},
    upfront,
    user::{KeyHash, User},
};

/// Where requests begin in the queue that a key could not pay for.
const BEHIND_ALL: i64 = -50;
/// Bounds of what a key is made with: kudos, characters of its name, pixels, steps, tokens.
const MOST_KUDOS: i64 = 50_000_000;
const NAME: std::ops::RangeInclusive<usize> = 3..=255;
const MOST_PIXELS: i64 = 4_194_304;
const MOST_STEPS: i64 = 500;
const MOST_TOKENS: i64 = 500;
/// Longest life of a key, in days.
const MOST_DAYS: i64 = 36_500;

/// A key that is to be lent. −1: not bounded.
#[derive(Clone, Debug)]
pub struct NewSharedKey {
    /// Who lends it.
    pub owner: UserId,
    /// What its owner calls it.
    pub name: Option<String>,
    /// Whole kudos that may be spent with it.
    pub kudos: i64,
    /// Days that it lasts; 0 is not bounded either.
    pub days: i64,
    /// Largest image, in pixels.
    pub max_image_pixels: i64,
    /// Most steps of an image.
    pub max_image_steps: i64,
    /// Longest text, in tokens.
    pub max_text_tokens: i64,
    /// The account lends no more than accounts of its kind may: operators lend as many as they like.
    pub is_counted: bool,
}

/// On whose behalf something is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Payer {
    /// Whose account it is.
    pub owner: UserId,
    /// The key it was lent by.
    pub key: Option<SharedKeyId>,
    /// Its place among others, if that is not the account's.
    pub priority: Option<i64>,
    /// The key's bounds of sizes hold: it is not a style's.
    pub is_bounded: bool,
}

impl Engine {
    /// The account that lends a key, and the key.
    pub fn lender(&self, key: &KeyHash) -> Option<(UserId, SharedKeyId)> {
        self.accounts.lender(key)
    }

    /// Lends a key of an account.
    ///
    /// # Errors
    /// [`Error::UserNotFound`]; [`Error::Forbidden`] for the anonymous account, and for one that lends as
    /// many as it may; [`Error::BadRequest`] for what is out of bounds.
    pub fn lend(&mut self, step: &mut Step<'_>, new: NewSharedKey) -> Result<SharedKey> {
        let NewSharedKey {
            owner,
            name,
            kudos,
            days,
            max_image_pixels,
            max_image_steps,
            max_text_tokens,
            is_counted,
        } = new;
        let user = self.accounts.get_mut(owner).ok_or(Error::UserNotFound)?;
        if owner == UserId::ANONYMOUS {
            return Err(Error::Forbidden(
                "the anonymous account lends no keys: everybody has its key".into(),
            ));
        }
        if name.as_ref().is_some_and(|name| !NAME.contains(&name.chars().count()) || name.contains('\0')) {
            let (least, most) = (NAME.start(), NAME.end());
            return Err(Error::BadRequest(format!(
                "the name of a shared key has {least} to {most} characters"
            )));
        }
        let limit = is_counted.then(|| user.shared_key_limit());
        if let Some(limit) = limit.filter(|limit| user.shared_keys.len() >= *limit) {
            return Err(Error::too_many_keys(limit));
        }
        let budget = bounded("kudos", kudos, MOST_KUDOS)?.map(Kudos::whole);
        let days = bounded("expiry", days, MOST_DAYS)?.filter(|days| *days > 0);
        let key = SharedKey {
            id: SharedKeyId(step.dice.uuid()),
            owner,
            name,
            budget,
            utilized: Kudos::ZERO,
            expires_at: days.map(|days| step.now.plus(Duration::from_secs(days.unsigned_abs() * 86_400))),
            max_image_pixels: bounded("max_image_pixels", max_image_pixels, MOST_PIXELS)?,
            max_image_steps: bounded("max_image_steps", max_image_steps, MOST_STEPS)?,
            max_text_tokens: bounded("max_text_tokens", max_text_tokens, MOST_TOKENS)?,
            created_at: step.now,
        };
        user.shared_keys.push(key.clone());
        let user = user.clone();
        self.accounts.insert(user);
        step.persist(Record::SharedKeyMade { key: Arc::new(key.clone()), limit });
        Ok(key)
    }

    /// Changes a key that an account lends.
    ///
    /// # Errors
    /// [`Error::InvalidApiKey`] if the account lends none with this ID; NoSharedKeyModSelected.
    pub fn change_shared_key(
        &mut self,
        step: &mut Step<'_>,
        owner: UserId,
        id: SharedKeyId,
        change: KeyChange,
    ) -> Result<SharedKey> {
        let user = self.accounts.get_mut(owner).ok_or(Error::InvalidApiKey)?;
        let key = user.shared_keys.iter_mut().find(|key| key.id == id).ok_or(Error::InvalidApiKey)?;
        if change == KeyChange::default() {
            return Err(Error::NoSharedKeyModSelected);
        }
        change.apply(key);
        let changed = key.clone();
        step.persist(Record::SharedKeyChanged { key: id, owner, change: Box::new(change) });
        Ok(changed)
    }

    /// Lends a key no more. What was asked for with it goes on, and its owner pays. Whatever else names the
    /// key finds none any more.
    ///
    /// # Errors
    /// [`Error::InvalidApiKey`] if the account lends none with this ID.
    pub fn drop_shared_key(&mut self, step: &mut Step<'_>, owner: UserId, id: SharedKeyId) -> Result<()> {
        let mut user = self.accounts.get(owner).cloned().ok_or(Error::InvalidApiKey)?;
        user.shared_key(id).ok_or(Error::InvalidApiKey)?;
        user.shared_keys.retain(|key| key.id != id);
        self.accounts.insert(user);
        step.persist(Record::SharedKeyDropped { key: id, owner });
        Ok(())
    }

    /// Step 7: on whose behalf this is asked for.
    ///
    /// # Errors
    /// InvalidAPIKey, SharedKeyEmpty, SharedKeyExpired, SharedKeyAssignedStyles.
    pub(super) fn payer(&self, owner: UserId, asked: &Asked, now: Timestamp) -> Result<Payer> {
        let is_bounded = asked.styled.as_ref().is_none_or(|styled| !styled.lends);
        let own = Payer { owner, key: None, priority: None, is_bounded };
        let Some(id) = asked.shared_key else { return Ok(own) };
        let key = self.shared_key(owner, id).ok_or(Error::InvalidApiKey)?;
        if key.is_empty() && !asked.allow_downgrade {
            return Err(Error::SharedKeyEmpty);
        }
        if key.is_expired(now) {
            return Err(Error::SharedKeyExpired);
        }
        if asked.key_is_for_styles {
            return Err(Error::SharedKeyAssignedStyles);
        }
        Ok(match key.is_empty() {
            true => Payer { owner: UserId::ANONYMOUS, priority: Some(BEHIND_ALL), ..own },
            false => Payer { key: Some(id), ..own },
        })
    }

    /// Of step 25, what comes before kudos up front: whether the key covers the price beside what is kept of
    /// it for others, and keeps it. What is done behind all others has nothing kept: it takes what is there.
    ///
    /// # Errors
    /// SharedKeyInsufficientKudos.
    pub(super) fn cover(
        &self,
        payer: &mut Payer,
        spec: &mut Spec,
        allow_downgrade: bool,
        is_short: bool,
    ) -> Result<()> {
        spec.origin.lent = Kudos::ZERO;
        let Some((key, budget)) = self.lent(payer).and_then(|key| Some((key.id, key.budget?))) else {
            return Ok(());
        };
        let needed = price::estimate(spec, &*self.models);
        let left = (budget - self.kept_of(payer.owner, key)).max(Kudos::ZERO);
        if needed <= left && !(is_short && allow_downgrade) {
            spec.origin.lent = needed;
            return Ok(());
        }
        if !allow_downgrade {
            return Err(Error::SharedKeyInsufficientKudos { needed, left });
        }
        upfront::shrink(spec, &*self.models, self.demand(spec.kind()));
        payer.priority = Some(BEHIND_ALL);
        Ok(())
    }

    /// Kudos of a key that are kept for open requests. Where other brokers serve them, too, Records alone know
    /// what is left of that, and have the last word.
    fn kept_of(&self, owner: UserId, key: SharedKeyId) -> Kudos {
        if self.peers.are_possible() {
            return Kudos::ZERO;
        }
        let with_it = |id| {
            self.requests.get(&id).filter(|request| request.accepted.spec.origin.shared_key == Some(key))
        };
        let kept = |request: &super::request::Request| {
            (request.accepted.spec.origin.lent - request.consumed).max(Kudos::ZERO)
        };
        self.accounts.open(owner).filter_map(with_it).map(kept).sum()
    }

    /// Of step 25, what comes last: whether it is within the key's bounds.
    ///
    /// # Errors
    /// BadRequest.
    pub(super) fn check_bounds(&self, payer: &Payer, spec: &Spec) -> Result<()> {
        self.lent(payer).filter(|_| payer.is_bounded).map_or(Ok(()), |key| key.check(spec))
    }

    /// Spends with the key of a request what it costs, as far as the key has it. One that is gone costs
    /// its owner alone.
    pub(super) fn spend(
        &mut self,
        step: &mut Step<'_>,
        request: RequestId,
        owner: UserId,
        key: Option<SharedKeyId>,
        amount: Kudos,
    ) {
        let Some(id) = key else { return };
        let Some(user) = self.accounts.get_mut(owner) else { return };
        let lent = user.shared_keys.iter_mut().find(|key| key.id == id);
        if lent.is_some_and(|key| key.spend(amount)) {
            step.persist(Record::SharedKeyUsed { key: id, request, owner, amount });
        }
    }

    fn shared_key(&self, owner: UserId, id: SharedKeyId) -> Option<&SharedKey> {
        self.accounts.get(owner).and_then(|user: &User| user.shared_key(id))
    }

    fn lent(&self, payer: &Payer) -> Option<&SharedKey> {
        self.shared_key(payer.owner, payer.key?)
    }
}

/// A bound; −1: none.
fn bounded(what: &str, value: i64, most: i64) -> Result<Option<i64>> {
    match value {
        -1 => Ok(None),
        value if (0..=most).contains(&value) => Ok(Some(value)),
        _ => Err(Error::BadRequest(format!("{what} must be -1 (not bounded), or from 0 to {most}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{
            request::{Params, TextParams},
            user::Role,
        },
        engine::{
            Effect, NewUser,
            stage::{Stage, image_spec, text_profile, text_spec},
        },
    };

    const OPEN: NewSharedKey = NewSharedKey {
        owner: UserId(1),
        name: None,
        kudos: -1,
        days: -1,
        max_image_pixels: -1,
        max_image_steps: -1,
        max_text_tokens: -1,
        is_counted: false,
    };

    fn lend(stage: &mut Stage, new: NewSharedKey) -> SharedKey {
        let owner = stage.user;
        stage.act(|engine, step| engine.lend(step, NewSharedKey { owner, ..new })).unwrap()
    }

    fn with(key: &SharedKey, spec: Spec) -> Asked {
        Asked { shared_key: Some(key.id), ..spec.into() }
    }

    fn submit(stage: &mut Stage, asked: Asked) -> Result<RequestId> {
        let (id, owner) = (RequestId(uuid::Uuid::new_v4()), stage.user);
        stage.act(|engine, step| engine.submit(step, id, owner, asked)).map(|submitted| submitted.id)
    }

    fn told<T>(outcome: Result<T>) -> String {
        outcome.err().map_or("in".into(), |error| {
            format!("{error:?}").split([' ', '(', '{']).next().unwrap_or_default().to_owned()
        })
    }

    #[test]
    fn a_key_is_looked_up_by_its_hash_and_its_owner_asks() {
        let mut stage = Stage::new();
        let key = lend(&mut stage, OPEN);
        assert_eq!(stage.engine.lender(&key.hash()), Some((stage.user, key.id)));
        assert_eq!(stage.engine.lender(&KeyHash::of("someone")), None, "an account's own is none");
        assert!(stage.engine.user_by_key(&key.hash()).is_none(), "nor is it an account's own");
        let id = submit(&mut stage, with(&key, text_spec(1))).unwrap();
        let accepted = stage.engine.view(id, stage.now).unwrap().accepted;
        assert_eq!((accepted.owner, accepted.spec.origin.shared_key), (stage.user, Some(key.id)));
        assert_eq!(
            accepted.priority,
            stage.engine.user(stage.user).unwrap().priority() + 1,
            "before the charge"
        );
    }

    #[test]
    fn each_bound_of_a_key_holds() {
        let mut stage = Stage::new();
        let long = |max_length| {
            let Params::Text(text) = text_spec(1).params else { panic!() };
            Spec { params: Params::Text(Box::new(TextParams { max_length, ..*text })), ..text_spec(1) }
        };
        let none = |kudos| NewSharedKey { kudos, ..OPEN };
        for (new, spec, allow_downgrade, verdict, rule) in [
            (none(0), text_spec(1), false, "SharedKeyEmpty", "nothing to spend"),
            (none(0), text_spec(1), true, "in", "but as nobody"),
            (none(1), image_spec(1), false, "SharedKeyInsufficientKudos", "too little to spend"),
            (none(1), image_spec(1), true, "in", "but smaller, and later"),
            (none(5000), image_spec(1), false, "in", "enough"),
            (
                NewSharedKey { max_image_pixels: 262_143, ..OPEN },
                image_spec(1),
                false,
                "BadRequest",
                "pixels",
            ),
            (NewSharedKey { max_image_pixels: 262_144, ..OPEN }, image_spec(1), false, "in", "just so many"),
            (NewSharedKey { max_image_steps: 29, ..OPEN }, image_spec(1), false, "BadRequest", "steps"),
            (NewSharedKey { max_image_steps: 30, ..OPEN }, image_spec(1), false, "in", "just so many"),
            (NewSharedKey { max_text_tokens: 79, ..OPEN }, long(80), false, "BadRequest", "tokens"),
            (NewSharedKey { max_text_tokens: 80, ..OPEN }, long(80), false, "in", "just so many"),
            (
                NewSharedKey { max_text_tokens: 1, ..OPEN },
                image_spec(1),
                false,
                "in",
                "which images have not",
            ),
        ] {
            let key = lend(&mut stage, new);
            let asked = Asked { allow_downgrade, ..with(&key, spec) };
            assert_eq!(told(submit(&mut stage, asked)), verdict, "{rule}");
        }
        let key = lend(&mut stage, NewSharedKey { days: 2, ..OPEN });
        stage.now = stage.now.plus(Duration::from_secs(2 * 86_400 - 1));
        assert_eq!(told(submit(&mut stage, with(&key, text_spec(1)))), "in");
        stage.now = stage.now.plus(Duration::from_secs(1));
        assert_eq!(told(submit(&mut stage, with(&key, text_spec(1)))), "SharedKeyExpired");
    }

    #[test]
    fn what_a_key_cannot_pay_for_comes_behind_all_and_an_empty_one_asks_as_nobody() {
        let mut stage = Stage::new();
        let (empty, poor) = (
            lend(&mut stage, NewSharedKey { kudos: 0, ..OPEN }),
            lend(&mut stage, NewSharedKey { kudos: 1, ..OPEN }),
        );
        let (owner, before) = (stage.user, stage.engine.user(stage.user).unwrap().balance);
        let accepted = |stage: &mut Stage, key: &SharedKey| {
            let asked = Asked { allow_downgrade: true, ..with(key, image_spec(1)) };
            let id = submit(stage, asked).unwrap();
            stage.engine.view(id, stage.now).unwrap().accepted
        };
        let as_nobody = accepted(&mut stage, &empty);
        assert_eq!((as_nobody.owner, as_nobody.priority), (UserId::ANONYMOUS, BEHIND_ALL));
        assert_eq!(as_nobody.spec.origin.shared_key, None);
        assert_eq!(stage.engine.user(owner).unwrap().balance, before, "its owner pays nothing");
        let late = accepted(&mut stage, &poor);
        assert_eq!(
            (late.owner, late.priority, late.spec.origin.shared_key),
            (owner, BEHIND_ALL, Some(poor.id))
        );
    }

    #[test]
    fn every_charge_is_spent_with_the_key_and_written_down_with_it() {
        let mut stage = Stage::new();
        let key = lend(&mut stage, NewSharedKey { kudos: 12, ..OPEN });
        let balance = |stage: &Stage| stage.engine.user(stage.user).unwrap().balance;
        let before = balance(&stage);
        submit(&mut stage, with(&key, text_spec(1))).unwrap();
        // Somebody else's worker: what its owner earns is not theirs.
        let worker = stage.act(|engine, step| {
            let new = NewUser {
                alias: "bob".into(),
                key: KeyHash::of("bob"),
                kudos: Kudos::ZERO,
                roles: vec![],
                concurrency: 30,
                worker_invites: 0,
            };
            let owner = engine.add_user(step, new).unwrap().id;
            let now = step.now;
            engine.pop(step, owner, "writer", text_profile(1), now).unwrap();
            owner
        });
        let attempt = stage.granted()[0];
        let owner = std::mem::replace(&mut stage.user, worker);
        stage.deliver(attempt).unwrap();
        stage.user = owner;
        let spent = before - balance(&stage);
        let lent = stage.engine.user(stage.user).unwrap().shared_key(key.id).unwrap().clone();
        assert!(spent > Kudos::whole(1), "the activation and the job: {spent}");
        assert_eq!((lent.utilized, lent.budget), (spent, Some(Kudos::whole(12) - spent)));
        let written: Kudos = stage
            .log
            .iter()
            .filter_map(|effect| match effect {
                Effect::Persist(Record::SharedKeyUsed { key: used, amount, .. }) if *used == key.id => {
                    Some(*amount)
                }
                _ => None,
            })
            .sum();
        assert_eq!(written, spent);
    }

    #[test]
    fn what_is_out_of_bounds_is_no_key() {
        let mut stage = Stage::new();
        let owner = stage.user;
        for (new, verdict) in [
            (NewSharedKey { owner: UserId(99), ..OPEN }, "UserNotFound"),
            (NewSharedKey { owner: UserId::ANONYMOUS, ..OPEN }, "Forbidden"),
            (NewSharedKey { owner, kudos: -2, ..OPEN }, "BadRequest"),
            (NewSharedKey { owner, kudos: MOST_KUDOS + 1, ..OPEN }, "BadRequest"),
            (NewSharedKey { owner, name: Some("ab".into()), ..OPEN }, "BadRequest"),
            (NewSharedKey { owner, max_image_pixels: MOST_PIXELS + 1, ..OPEN }, "BadRequest"),
            (NewSharedKey { owner, max_image_steps: 501, ..OPEN }, "BadRequest"),
            (NewSharedKey { owner, max_text_tokens: 501, ..OPEN }, "BadRequest"),
            (NewSharedKey { owner, days: 0, name: Some("abc".into()), ..OPEN }, "in"),
        ] {
            let outcome = stage.act(|engine, step| engine.lend(step, new.clone()));
            assert_eq!(told(outcome), verdict, "{new:?}");
        }
        assert_eq!(stage.engine.user(owner).unwrap().shared_keys[0].expires_at, None, "0 days: no end");
    }

    #[test]
    fn an_account_lends_as_many_keys_as_it_may_and_operators_more() {
        let mut stage = Stage::new();
        let counted = NewSharedKey { is_counted: true, owner: stage.user, ..OPEN };
        for _ in 0..3 {
            let lent = stage.act(|engine, step| engine.lend(step, counted.clone()));
            assert!(lent.is_ok(), "{lent:?}");
        }
        assert_eq!(told(stage.act(|engine, step| engine.lend(step, counted.clone()))), "Forbidden");
        let key = lend(&mut stage, OPEN);
        let owner = stage.user;
        for _ in 0..2 {
            let first = stage.engine.user(owner).unwrap().shared_keys[0].id;
            stage.act(|engine, step| engine.drop_shared_key(step, owner, first)).unwrap();
        }
        assert_eq!(told(stage.act(|engine, step| engine.lend(step, counted))), "in", "there is room again");
        let limits: Vec<_> = stage
            .records()
            .filter_map(|record| match record {
                Record::SharedKeyMade { limit, .. } => Some(*limit),
                _ => None,
            })
            .collect();
        assert_eq!(limits, [Some(3), Some(3), Some(3), None, Some(3)], "Records have the last word");
        assert!(stage.engine.lender(&key.hash()).is_some());
    }

    #[test]
    fn a_key_changes_and_goes_and_what_was_asked_for_with_it_is_finished() {
        let mut stage = Stage::new();
        let (key, owner) = (lend(&mut stage, NewSharedKey { kudos: 5000, ..OPEN }), stage.user);
        let change = KeyChange { budget: Some(None), name: Some("others".into()), ..KeyChange::default() };
        let change_key = |stage: &mut Stage, id, change: KeyChange| {
            stage.act(|engine, step| engine.change_shared_key(step, owner, id, change))
        };
        assert_eq!(told(change_key(&mut stage, key.id, KeyChange::default())), "NoSharedKeyModSelected");
        let nobody = SharedKeyId(uuid::Uuid::nil());
        assert_eq!(told(change_key(&mut stage, nobody, change.clone())), "InvalidApiKey");
        let changed = change_key(&mut stage, key.id, change).unwrap();
        assert_eq!((changed.budget, changed.name.as_deref()), (None, Some("others")));
        assert_eq!(stage.engine.user(owner).unwrap().shared_key(key.id), Some(&changed));
        submit(&mut stage, with(&key, text_spec(1))).unwrap();
        stage.stream("writer", text_profile(1), 1, &[]);
        let held = stage.granted()[0];
        let before = stage.engine.user(owner).unwrap().balance;
        stage.act(|engine, step| engine.drop_shared_key(step, owner, key.id)).unwrap();
        assert_eq!(
            told(stage.act(|engine, step| engine.drop_shared_key(step, owner, key.id))),
            "InvalidApiKey"
        );
        assert!(stage.engine.lender(&key.hash()).is_none());
        let written = stage.log.len();
        assert!(stage.deliver(held).is_ok());
        let charged = stage.log[written..].iter().any(|effect| {
            matches!(effect, Effect::Persist(Record::Posted(posting)) if posting.from == owner.into())
        });
        assert!(charged, "its owner pays, whose balance was {before}");
        let is_use = |effect: &Effect| matches!(effect, Effect::Persist(Record::SharedKeyUsed { .. }));
        assert!(!stage.log[written..].iter().any(is_use), "and nobody speaks of the key");
    }

    #[test]
    fn what_a_request_may_cost_is_kept_of_its_key_until_it_is_over() {
        let mut stage = Stage::new();
        let price = stage.engine.quote(&image_spec(1));
        let kudos = price.floor() + 1;
        assert!(kudos > 2, "two cost more than one and a bit: {price}");
        let key = lend(&mut stage, NewSharedKey { kudos, ..OPEN });
        let first = submit(&mut stage, with(&key, image_spec(1))).unwrap();
        let kept: Vec<_> = stage
            .records()
            .filter_map(|record| match record {
                Record::KeyHeld { request, key, amount, .. } => Some((*request, *key, *amount)),
                _ => None,
            })
            .collect();
        assert_eq!(kept, [(first, key.id, price)]);
        assert_eq!(told(submit(&mut stage, with(&key, image_spec(1)))), "SharedKeyInsufficientKudos");
        let late = Asked { allow_downgrade: true, ..with(&key, image_spec(1)) };
        let late = submit(&mut stage, late).unwrap();
        let late = stage.engine.view(late, stage.now).unwrap().accepted;
        assert_eq!(
            (late.priority, late.spec.origin.lent),
            (BEHIND_ALL, Kudos::ZERO),
            "nothing is kept for it"
        );
        assert!(stage.act(|engine, step| engine.cancel(step, first)));
        let second = submit(&mut stage, with(&key, text_spec(1))).unwrap();
        let second = stage.engine.view(second, stage.now).unwrap().accepted;
        assert_eq!(second.spec.origin.lent, stage.engine.quote(&text_spec(1)), "there is room again");
        let open = lend(&mut stage, OPEN);
        let free = submit(&mut stage, with(&open, image_spec(1))).unwrap();
        let free = stage.engine.view(free, stage.now).unwrap().accepted;
        assert_eq!(free.spec.origin.lent, Kudos::ZERO, "of a key without a budget nothing is kept");
    }

    #[test]
    fn where_records_find_a_key_short_a_request_that_may_is_done_later() {
        let mut stage = Stage::new();
        let key = lend(&mut stage, NewSharedKey { kudos: 5000, ..OPEN });
        for (allow_downgrade, kept, rule) in [
            (true, Kudos::ZERO, "behind all others"),
            (false, stage.engine.quote(&image_spec(1)), "or as it was"),
        ] {
            let asked = Asked { allow_downgrade, key_is_short: true, ..with(&key, image_spec(1)) };
            let id = submit(&mut stage, asked).unwrap();
            let accepted = stage.engine.view(id, stage.now).unwrap().accepted;
            assert_eq!(accepted.spec.origin.lent, kept, "{rule}");
            assert_eq!(accepted.priority == BEHIND_ALL, allow_downgrade, "{rule}");
        }
    }

    #[test]
    fn an_account_that_goes_takes_its_keys_along() {
        let mut stage = Stage::new();
        let new = NewUser {
            alias: "eve".into(),
            key: KeyHash::of("eve"),
            kudos: Kudos::ZERO,
            roles: vec![Role::Trusted],
            concurrency: 30,
            worker_invites: 0,
        };
        let owner = stage.act(|engine, step| engine.add_user(step, new)).unwrap().id;
        let key = stage.act(|engine, step| engine.lend(step, NewSharedKey { owner, ..OPEN })).unwrap();
        assert!(stage.engine.lender(&key.hash()).is_some());
        stage.engine.forget_user(owner);
        assert!(stage.engine.lender(&key.hash()).is_none());
    }
}
