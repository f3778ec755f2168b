//! Kudos that accounts give each other, and awards.
//!
//! What this engine knows of balances is a hint where other brokers are: Records refuse a transfer that is
//! not covered, that was done before, or that goes back too soon.

use std::sync::Arc;

use uuid::Uuid;

use crate::domain::{
    Error, Kudos, Result, SharedKeyId, UserId,
    kudos::Posting,
    record::Record,
    source::Source,
    transfer::{KudosRule, MOST_AWARDED, Past, Target, Transfer, judge},
    user::Role,
};
use crate::engine::{Engine, Step};

/// Who is to get kudos.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Receiver {
    /// The account.
    pub user: UserId,
    /// Its lent key that may be spent on as many more.
    pub shared_key: Option<SharedKeyId>,
}

/// Kudos that are to be given.
#[derive(Clone, Debug)]
pub struct NewTransfer {
    /// Its ID.
    pub id: Uuid,
    /// Who gives.
    pub sender: UserId,
    /// Who gets them; `None`: what was named is nobody.
    pub receiver: Option<Receiver>,
    /// Whole kudos.
    pub amount: i64,
    /// What Records know of before.
    pub past: Past,
}

impl Engine {
    /// Gives kudos of one account to another, and returns how many. What was done before is not done again.
    ///
    /// # Errors
    /// InvalidAPIKey; those of [`judge`].
    pub fn transfer(&mut self, step: &mut Step<'_>, new: NewTransfer) -> Result<Kudos> {
        let NewTransfer { id, sender, receiver, amount, past } = new;
        let amount = Kudos::whole(amount);
        let from = self.accounts.get(sender).ok_or(Error::InvalidApiKey)?;
        let target = receiver.and_then(|receiver| {
            let user = self.accounts.get(receiver.user)?;
            let shared_key = match receiver.shared_key {
                Some(key) => Some(user.shared_key(key)?),
                None => None,
            };
            Some(Target { user, shared_key })
        });
        let is_new = judge(from, target, amount, &past, self.available(from), step.now)?;
        let (Some(Target { user, shared_key }), true) = (target, is_new) else { return Ok(amount) };
        let (receiver, to_school, floor) = (user.id, user.is(Role::Education), from.floor());
        let shared_key = shared_key.map(|key| key.id);
        let transfer = Transfer { id, sender, receiver, shared_key, amount, at: step.now };
        step.persist(Record::Posted(Posting::transfer(id, sender, receiver, amount, step.now)));
        step.persist(Record::KudosTransferred { transfer: Arc::new(transfer), floor });
        let given = if to_school { Source::Donated } else { Source::Gifted };
        self.accounts.settle(step, sender, -amount, given);
        self.accounts.settle(step, receiver, amount, Source::Received);
        self.fill_key(step, receiver, shared_key, amount);
        Ok(amount)
    }

    /// A lent key may be spent on more.
    fn fill_key(&mut self, step: &mut Step<'_>, owner: UserId, key: Option<SharedKeyId>, amount: Kudos) {
        let lent = self
            .accounts
            .get_mut(owner)
            .and_then(|user| user.shared_keys.iter_mut().find(|lent| Some(lent.id) == key)?.budget.as_mut());
        if let (Some(budget), Some(key)) = (lent, key) {
            *budget += amount;
            step.persist(Record::SharedKeyFilled { key, owner, amount });
        }
    }

    /// The account that awards kudos.
    pub fn awarder(&self) -> UserId {
        self.rules.awarder
    }

    /// Awards kudos to an account or, below zero, takes them from it; returns how many.
    ///
    /// # Errors
    /// InvalidAPIKey, DeletedUser, NotAllowedAwards, InvalidAwardUsername, KudosAwardToAnon,
    /// TargetAccountFlagged; [`Error::BadRequest`] for more than can be given at a time.
    pub fn award(
        &mut self,
        step: &mut Step<'_>,
        caller: UserId,
        receiver: Option<UserId>,
        amount: i64,
    ) -> Result<Kudos> {
        let user = self.accounts.get(caller).ok_or(Error::InvalidApiKey)?;
        if user.is(Role::Deleted) {
            return Err(Error::DeletedUser);
        }
        if caller != self.rules.awarder {
            return Err(KudosRule::MayNotAward.into());
        }
        let to = receiver.and_then(|id| self.accounts.get(id)).ok_or(KudosRule::UnknownAwarded)?;
        let id = to.id;
        if id == UserId::ANONYMOUS {
            return Err(KudosRule::AwardToAnonymous.into());
        }
        if to.is(Role::Flagged) {
            return Err(KudosRule::ReceiverFlagged.into());
        }
        if !(-MOST_AWARDED..=MOST_AWARDED).contains(&amount) {
            let problem = format!("amount must be from -{MOST_AWARDED} to {MOST_AWARDED}");
            return Err(Error::BadRequest(problem));
        }
        let change = Kudos::whole(amount);
        let posting = Posting::award(step.dice.uuid(), id, change, step.now);
        self.accounts.post(step, id, change, Source::Awarded, posting);
        Ok(change)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::{
        domain::{kudos::Account, user::User},
        engine::stage::Stage,
    };

    /// A stage with account 1, who has 10,000, and 20 to 22, who have nothing; 22 is a school.
    fn stage() -> Stage {
        let mut stage = Stage::new();
        let of = |id, roles: &[Role]| User { id: UserId(id), roles: roles.to_vec(), ..User::anonymous() };
        let now = stage.now;
        let people = vec![of(20, &[]), of(21, &[]), of(22, &[Role::Education])];
        stage.engine.learn_people(now, people, vec![]);
        stage
    }

    fn give(stage: &mut Stage, sender: i64, receiver: i64, amount: i64) -> Result<Kudos> {
        let (sender, user) = (UserId(sender), UserId(receiver));
        let receiver = Some(Receiver { user, shared_key: None });
        stage.act(|engine, step| {
            let new = NewTransfer { id: step.dice.uuid(), sender, receiver, amount, past: Past::default() };
            engine.transfer(step, new)
        })
    }

    fn balance(stage: &Stage, id: i64) -> Kudos {
        stage.engine.user(UserId(id)).unwrap().balance
    }

    /// What is written amounts to what is in memory: balances, figures, and a sum of nothing.
    fn check_books(stage: &Stage) {
        let (mut accounts, mut forgiven) = (BTreeMap::<Account, Kudos>::new(), BTreeMap::<_, Kudos>::new());
        let mut keys = std::collections::HashSet::new();
        for record in stage.records() {
            let Record::Posted(posting) = record else { continue };
            assert!(keys.insert(posting.key.clone()), "{} is posted twice", posting.key);
            assert!(posting.amount > Kudos::ZERO, "{posting:?}");
            *accounts.entry(posting.from).or_default() += -posting.amount;
            *accounts.entry(posting.to).or_default() += posting.amount;
            if posting.from == Account::FORGIVEN {
                *forgiven.entry(posting.to).or_default() += posting.amount;
            }
        }
        assert_eq!(accounts.values().copied().sum::<Kudos>(), Kudos::ZERO);
        for (account, posted) in accounts {
            let Some(user) = account.holder().and_then(|id| stage.engine.user(id)) else { continue };
            let (stats, moved) = (&user.stats, &user.stats.moved);
            let given = moved.gifted + moved.donated + moved.received + moved.awarded + moved.recurring;
            let lifted = forgiven.get(&account).copied().unwrap_or_default();
            assert_eq!(user.balance, posted);
            assert_eq!(stats.accumulated + stats.granted + given + lifted, posted, "{}", user.id);
            assert!(user.balance >= user.floor(), "{}", user.id);
        }
    }

    #[test]
    fn the_first_movement_lifts_a_balance_to_its_floor_and_what_is_not_there_is_forgiven() {
        let mut stage = stage();
        let award = |stage: &mut Stage, amount| {
            stage.act(|engine, step| engine.award(step, UserId(1), Some(UserId(20)), amount)).unwrap();
        };
        for (amount, after, lifts) in [(10, 25, 1), (10, 35, 1), (-20, 25, 2), (-3, 25, 3), (0, 25, 3)] {
            award(&mut stage, amount);
            let user = stage.engine.user(UserId(20)).unwrap();
            assert_eq!((user.balance, user.stats.moved.lifts), (Kudos::whole(after), lifts), "{amount}");
        }
        check_books(&stage);
    }

    #[test]
    fn what_is_given_to_a_school_is_donated_and_the_floor_stays() {
        let mut stage = stage();
        give(&mut stage, 1, 22, 40).unwrap();
        give(&mut stage, 1, 20, 60).unwrap();
        let moved = stage.engine.user(UserId(1)).unwrap().stats.moved;
        assert_eq!((moved.donated, moved.gifted), (Kudos::whole(-40), Kudos::whole(-60)));
        let refused = give(&mut stage, 20, 21, 36);
        let available = Kudos::whole(35);
        assert!(
            matches!(refused, Err(Error::Kudos(KudosRule::NotEnough { available: told })) if told == available),
            "{refused:?}"
        );
        give(&mut stage, 20, 21, 35).unwrap();
        assert_eq!((balance(&stage, 20), balance(&stage, 21)), (Kudos::whole(25), Kudos::whole(35)));
        check_books(&stage);
    }

    #[test]
    fn what_was_done_before_moves_nothing() {
        let mut stage = stage();
        let earlier = Transfer {
            id: Uuid::from_u128(1 << 100),
            sender: UserId(1),
            receiver: UserId(20),
            shared_key: None,
            amount: Kudos::whole(5),
            at: stage.now,
        };
        let (before, written) = (balance(&stage, 1), stage.records().count());
        let new = NewTransfer {
            id: earlier.id,
            sender: UserId(1),
            receiver: Some(Receiver { user: UserId(20), shared_key: None }),
            amount: 5,
            past: Past { earlier: Some(earlier), returned_at: None },
        };
        let told = stage.act(|engine, step| engine.transfer(step, new)).unwrap();
        assert_eq!((told, balance(&stage, 1)), (Kudos::whole(5), before));
        assert_eq!(stage.records().count(), written);
    }

    proptest! {
        #[test]
        fn whatever_is_given_awarded_and_taken_the_books_add_up(
            moves in proptest::collection::vec((0..3u8, 0..4usize, 0..4usize, -300..900i64), 1..60)
        ) {
            let mut stage = stage();
            let people = [1, 20, 21, 22];
            for (kind, from, to, amount) in moves {
                match kind {
                    0 => drop(give(&mut stage, people[from], people[to], amount)),
                    1 => {
                        let to = Some(UserId(people[to]));
                        stage.act(|engine, step| engine.award(step, UserId(1), to, amount)).unwrap();
                    }
                    _ => {
                        let to = UserId(people[to]);
                        stage.act(|engine, step| engine.change_monthly(step, to, amount)).unwrap();
                    }
                }
                check_books(&stage);
            }
        }
    }
}
