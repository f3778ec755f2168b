//! What accounts get each month: what administrators say of it, and its payment by the clock.
//!
//! Whoever runs the upkeep pays, each account in a deed of its own: Records refuse it if the account's
//! last payment was another than this broker knows of.

use std::{sync::Arc, time::Duration};

use crate::domain::{
    Error, Kudos, Result, Timestamp, UserId,
    kudos::Posting,
    monthly::{self, Subscriptions},
    record::Record,
    source::Source,
    transfer::MOST_AWARDED,
    user::User,
};
use crate::engine::{Engine, Rules, Step};

/// How often it is looked for what is due, and how long after the start for the first time.
const EVERY: Duration = Duration::from_secs(60 * 60);
const FIRST: Duration = Duration::from_secs(60);

/// When it is looked for what is due.
pub(in crate::engine) struct Months {
    next_at: Option<Timestamp>,
    subscriptions: Arc<Subscriptions>,
}

impl Months {
    pub fn of(rules: &Rules) -> Self {
        Self { next_at: None, subscriptions: rules.subscriptions.clone() }
    }
}

impl Engine {
    /// Changes what an account gets each month, by so many whole kudos, down to nothing; what is more is
    /// paid at once. Returns what it gets from now on, besides what its roles give it.
    ///
    /// # Errors
    /// [`Error::UserNotFound`]; [`Error::BadRequest`] for more than can be given.
    pub fn change_monthly(&mut self, step: &mut Step<'_>, id: UserId, delta: i64) -> Result<Kudos> {
        let user = self.accounts.get_mut(id).ok_or(Error::UserNotFound)?;
        if !(-MOST_AWARDED..=MOST_AWARDED).contains(&delta) {
            let problem = format!("monthly_kudos must be from -{MOST_AWARDED} to {MOST_AWARDED}");
            return Err(Error::BadRequest(problem));
        }
        let (delta, at) = (Kudos::whole(delta), step.now);
        let amount = (user.monthly.amount + delta).max(Kudos::ZERO);
        if amount > Kudos::whole(MOST_AWARDED) {
            let problem = format!("an account gets {MOST_AWARDED} kudos a month at most: give it less");
            return Err(Error::BadRequest(problem));
        }
        user.monthly.amount = amount;
        user.monthly.paid_at.get_or_insert(at);
        step.persist(Record::MonthlyChanged { user: id, delta, at });
        if delta > Kudos::ZERO {
            let posting = Posting::monthly(&step.dice.uuid().to_string(), id, delta, at);
            self.accounts.post(step, id, delta, Source::Recurring, posting);
        }
        Ok(amount)
    }

    /// Takes over another list of what accounts get each month.
    pub fn learn_subscriptions(&mut self, subscriptions: Arc<Subscriptions>) {
        self.months.subscriptions = subscriptions;
    }

    /// What an account gets each month in all.
    pub fn allowance(&self, user: &User) -> Kudos {
        monthly::allowance(user, &self.months.subscriptions)
    }

    /// Pays what is due, once an hour, if this broker runs the upkeep.
    pub(in crate::engine) fn pay_months_in_time(&mut self, step: &mut Step<'_>) {
        let next_at = *self.months.next_at.get_or_insert(step.now.plus(FIRST));
        if self.peers.leads() && next_at <= step.now {
            self.months.next_at = Some(step.now.plus(EVERY));
            self.pay_months(step);
        }
    }

    fn pay_months(&mut self, step: &mut Step<'_>) {
        let subscriptions = self.months.subscriptions.clone();
        let due = |user: &User| Some((user.id, monthly::due(user, &subscriptions, step.now)?));
        let mut due: Vec<_> = self.accounts.all().filter_map(due).collect();
        due.sort_unstable_by_key(|(id, _)| *id);
        for (id, payment) in due {
            let Some(user) = self.accounts.get_mut(id) else { continue };
            let (before, at) = (user.monthly.paid_at.replace(payment.paid_at), payment.paid_at);
            step.cut();
            step.persist(Record::MonthlyPaid { user: id, before, at });
            let posting = Posting::monthly(&payment.month, id, payment.amount, step.now);
            self.accounts.post(step, id, payment.amount, Source::Recurring, posting);
        }
        step.cut();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{monthly::Monthly, user::Role},
        engine::stage::Stage,
    };

    const DAY: Duration = Duration::from_secs(24 * 3600);

    /// A stage that begins on 12 January 1970, with a moderator.
    fn stage() -> (Stage, UserId) {
        let mut stage = Stage::new();
        let moderator = User { id: UserId(50), roles: vec![Role::Moderator], ..User::anonymous() };
        let now = stage.now;
        stage.engine.learn_people(now, vec![moderator], vec![]);
        (stage, UserId(50))
    }

    fn change(stage: &mut Stage, id: UserId, delta: i64) -> Result<Kudos> {
        stage.act(|engine, step| engine.change_monthly(step, id, delta))
    }

    /// A while passes, in which the engine is told the time once in a while.
    fn days(stage: &mut Stage, days: u64) {
        for _ in 0..days * 2 {
            stage.wait(DAY / 2);
            stage.act(|engine, step| engine.tick(step));
        }
    }

    fn recurring(stage: &Stage, id: UserId) -> i64 {
        stage.engine.user(id).unwrap().stats.moved.recurring.floor()
    }

    #[test]
    fn moderators_are_paid_each_month_once() {
        let (mut stage, id) = stage();
        stage.act(|engine, step| engine.tick(step));
        assert_eq!(recurring(&stage, id), 0, "a broker that starts waits a moment");
        days(&mut stage, 1);
        assert_eq!(recurring(&stage, id), 300_000, "the first is paid at once");
        days(&mut stage, 29);
        assert_eq!(recurring(&stage, id), 300_000, "of January, which has 31 days");
        days(&mut stage, 2);
        assert_eq!(recurring(&stage, id), 600_000);
        days(&mut stage, 365);
        assert_eq!(recurring(&stage, id), 14 * 300_000);
        let keys: Vec<_> = stage
            .records()
            .filter_map(|record| match record {
                Record::Posted(posting) if posting.key.starts_with("monthly:") => Some(posting.key.clone()),
                _ => None,
            })
            .collect();
        assert_eq!((keys[0].as_str(), keys[13].as_str()), ("monthly:50:1970-01", "monthly:50:1971-02"));
    }

    #[test]
    fn who_was_away_is_paid_month_by_month() {
        let (mut stage, id) = stage();
        let last = Monthly { amount: Kudos::ZERO, paid_at: Some(stage.now) };
        let known = stage.engine.user(id).unwrap().clone();
        days(&mut stage, 70);
        let now = stage.now;
        stage.engine.learn_people(now, vec![User { monthly: last, ..known }], vec![]);
        days(&mut stage, 2);
        assert_eq!(recurring(&stage, id), 2 * 300_000, "two months have passed, and no third");
    }

    #[test]
    fn only_who_runs_the_upkeep_pays() {
        let (mut stage, id) = stage();
        stage.engine.share();
        let now = stage.now;
        stage.engine.lead(now, false);
        days(&mut stage, 3);
        assert_eq!(recurring(&stage, id), 0);
        let now = stage.now;
        stage.engine.lead(now, true);
        days(&mut stage, 1);
        assert_eq!(recurring(&stage, id), 300_000);
    }

    #[test]
    fn what_is_added_is_paid_at_once_and_it_never_falls_below_nothing() {
        let (mut stage, _) = stage();
        let user = stage.user;
        let before = stage.engine.user(user).unwrap().balance;
        for (delta, amount, paid) in [(100, 100, 100), (-30, 70, 100), (-500, 0, 100), (20, 20, 120)] {
            assert_eq!(change(&mut stage, user, delta).unwrap(), Kudos::whole(amount), "{delta}");
            assert_eq!(recurring(&stage, user), paid, "{delta}");
        }
        assert_eq!(stage.engine.user(user).unwrap().balance, before + Kudos::whole(120));
        days(&mut stage, 32);
        assert_eq!(recurring(&stage, user), 140, "the months count from the first change");
        assert!(matches!(change(&mut stage, user, i64::MAX), Err(Error::BadRequest(_))));
        assert!(matches!(change(&mut stage, user, MOST_AWARDED), Err(Error::BadRequest(_))));
        assert!(matches!(change(&mut stage, UserId(99), 1), Err(Error::UserNotFound)));
    }
}
