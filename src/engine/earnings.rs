//! What owners of workers earn: for jobs, and for time online; what of it is put aside, and when they
//! get that and are trusted.
//!
//! Time online is paid for, and trust given, by the clock rather than by the verb that brought it about:
//! a deed of its own, which Records refuse if another broker was faster, and nobody waits for.

use std::time::Duration;

use super::{Engine, Step, Timer, accounts::Accounts};
use crate::domain::{
    AttemptId, Kudos, Timestamp, UserId, WorkerId,
    earning::{self, Merit, UNPAID_SECONDS},
    kudos::{Account, Posting},
    price,
    record::Record,
    user::Role,
    worker::WorkerChange,
};

impl Accounts {
    /// Puts kudos aside for an account.
    fn put_aside(&mut self, step: &mut Step<'_>, owner: UserId, posting: Posting) {
        let Some(user) = self.get_mut(owner) else { return };
        if posting.amount > Kudos::ZERO {
            user.escrow += posting.amount;
            step.persist(Record::Posted(posting));
        }
    }

    /// Gives an account what was put aside for it.
    fn release(&mut self, step: &mut Step<'_>, id: UserId) {
        let name = step.dice.uuid().to_string();
        let Some(user) = self.get_mut(id) else { return };
        let amount = std::mem::take(&mut user.escrow);
        self.pay(step, id, amount, |amount, at| Posting::release(&name, id, amount, at));
    }
}

impl Engine {
    /// Credits the owner of a worker with what a delivered job earned.
    pub(super) fn earn(&mut self, step: &mut Step<'_>, owner: UserId, credit: Kudos, attempt: AttemptId) {
        let Some(user) = self.accounts.get(owner) else { return };
        let aside = earning::set_aside(user, credit, Merit::Job);
        let posting = Posting::set_aside(attempt, owner, aside, step.now);
        self.accounts.put_aside(step, owner, posting);
        self.accounts
            .pay(step, owner, credit - aside, |amount, at| Posting::reward(attempt, owner, amount, at));
        self.judge_soon(step.now, owner);
    }

    /// Has the clock look at an account that may have earned trust, or is owed what was put aside.
    fn judge_soon(&mut self, now: Timestamp, owner: UserId) {
        let Some(user) = self.accounts.get(owner) else { return };
        let is_owed = user.is(Role::Trusted) && user.escrow > Kudos::ZERO;
        if is_owed || earning::deserves_trust(user, &self.rules.promotion, now) {
            self.timers.insert((now, Timer::Trust(owner)));
        }
    }

    /// Trusts an account that has earned it, and gives whoever is trusted what was put aside.
    pub(super) fn trust_due(&mut self, step: &mut Step<'_>, owner: UserId) {
        let Some(user) = self.accounts.get_mut(owner) else { return };
        if earning::deserves_trust(user, &self.rules.promotion, step.now) {
            user.roles.push(Role::Trusted);
            step.persist(Record::RoleGiven { user: owner, role: Role::Trusted });
        } else if !user.is(Role::Trusted) {
            return;
        }
        self.accounts.release(step, owner);
    }

    /// Counts the time since a worker was last heard of as time online, if it was there all along. A
    /// worker that comes back from afar begins anew.
    pub(super) fn accrue(&mut self, now: Timestamp, id: WorkerId) {
        let is_waiting = self.offers.of_worker(id).is_some();
        let Some(worker) = self.fleet.get_mut(id) else { return };
        let idle = now.since(worker.seen_at);
        let was_online = is_waiting || worker.is_online(now);
        worker.seen_at = worker.seen_at.max(now);
        if !was_online {
            worker.stats.unpaid_seconds = 0;
        } else if worker.earns_uptime() {
            let seconds = self.fleet.whole_seconds(id, idle);
            let Some(worker) = self.fleet.get_mut(id) else { return };
            worker.stats.uptime_seconds += seconds;
            worker.stats.unpaid_seconds += seconds;
        }
        let Some(worker) = self.fleet.get(id) else { return };
        if worker.stats.unpaid_seconds > UNPAID_SECONDS {
            self.timers.insert((now, Timer::Uptime(id)));
        }
    }

    /// Has the clock look at a worker that may wait on a stream for long without a word.
    pub(super) fn watch_uptime(&mut self, now: Timestamp, id: WorkerId) {
        let Some(worker) = self.fleet.get(id) else { return };
        let left = UNPAID_SECONDS + 1 - worker.stats.unpaid_seconds.clamp(0, UNPAID_SECONDS);
        let at = now.plus(Duration::from_secs(left.unsigned_abs()));
        if self.fleet.set_alarm(id, at) {
            self.timers.insert((at, Timer::Uptime(id)));
        }
    }

    /// Pays for a worker's time online, if enough has gathered.
    pub(super) fn uptime_due(&mut self, step: &mut Step<'_>, id: WorkerId) {
        self.fleet.clear_alarm(id, step.now);
        let is_waiting = self.offers.of_worker(id).is_some();
        if is_waiting {
            self.accrue(step.now, id);
        }
        self.pay_uptime(step, id);
        if is_waiting {
            self.watch_uptime(step.now, id);
        }
    }

    fn pay_uptime(&mut self, step: &mut Step<'_>, id: WorkerId) {
        let Some(worker) = self.fleet.get(id) else { return };
        let (owner, kind, gathered) = (worker.owner, worker.profile.kind(), worker.stats.unpaid_seconds);
        let Some(user) = self.accounts.get(owner) else { return };
        if gathered <= UNPAID_SECONDS {
            return;
        }
        let amount = price::uptime(&worker.profile, &*self.models);
        let is_aside = earning::set_aside(user, amount, Merit::Uptime(kind)) > Kudos::ZERO;
        let number = worker.stats.uptime_rewards + 1;
        step.persist(Record::UptimeRewarded { worker: id, number });
        if let Some(worker) = self.fleet.get_mut(id) {
            worker.stats.uptime_rewards = number;
            worker.stats.unpaid_seconds = 0;
            worker.stats.uptime_kudos += amount;
        }
        let change = WorkerChange { uptime_kudos: amount, ..self.fleet.take_unwritten(id) };
        step.persist(Record::WorkerCounted { worker: id, change });
        if is_aside {
            let posting = Posting::uptime(id, number, Account::escrow(owner), amount, step.now);
            self.accounts.put_aside(step, owner, posting);
        } else {
            self.accounts
                .pay(step, owner, amount, |amount, at| Posting::uptime(id, number, owner.into(), amount, at));
        }
        self.judge_soon(step.now, owner);
    }

    /// Counts a reason for suspicion of an account. Moderators are above it.
    pub fn suspect(&mut self, step: &mut Step<'_>, id: UserId) {
        let is_above = self.accounts.get(id).is_none_or(|user| user.is(Role::Moderator));
        if !is_above && id != UserId::ANONYMOUS {
            let change = crate::domain::user::UserStats { suspicion: 1, ..Default::default() };
            self.accounts.tally(step, id, change);
        }
    }
}
