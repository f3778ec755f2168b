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

/// Time online of a worker that other brokers need not know of, in seconds.
const SHARE_SECONDS: i64 = 60;

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
    pub(super) fn judge_soon(&mut self, now: Timestamp, owner: UserId) {
        let Some(user) = self.accounts.get(owner) else { return };
        let is_owed = user.is(Role::Trusted) && user.escrow > Kudos::ZERO;
        if is_owed || earning::deserves_trust(user, &self.rules.promotion, now) {
            self.timers.insert((now, Timer::Trust(owner)));
        }
    }

    /// Trusts an account that has earned it, and gives whoever is trusted what was put aside.
    pub(super) fn trust_due(&mut self, step: &mut Step<'_>, owner: UserId) {
        let Some(user) = self.accounts.get_mut(owner) else { return };
        let is_promoted = earning::deserves_trust(user, &self.rules.promotion, step.now);
        if is_promoted {
            user.roles.push(Role::Trusted);
            step.persist(Record::RoleGiven { user: owner, role: Role::Trusted });
        } else if !user.is(Role::Trusted) {
            return;
        }
        self.accounts.release(step, owner);
        if is_promoted {
            step.cut();
            self.clear_suspicion(step, owner);
        }
    }

    /// Counts the time since a worker was last heard of as time online, if it was there all along, and
    /// if it is this broker that counts. A worker that comes back from afar begins anew.
    pub(super) fn accrue(&mut self, now: Timestamp, id: WorkerId) {
        self.accrue_until(now, now, id);
    }

    /// The same of a worker that another broker heard of at an instant by its own clock.
    pub(super) fn accrue_until(&mut self, at: Timestamp, now: Timestamp, id: WorkerId) {
        let at = at.min(now);
        let is_waiting = self.offers.of_worker(id).is_some();
        let counts_since = self.peers.counts_time_since(now);
        let Some(worker) = self.fleet.get_mut(id) else { return };
        let was_online = is_waiting || worker.is_online(at);
        let seen_at = worker.seen_at;
        worker.seen_at = seen_at.max(at);
        let Some(counts_since) = counts_since else { return };
        let idle = at.since(seen_at.max(counts_since));
        if !was_online {
            worker.stats.unpaid_seconds = 0;
        } else if worker.earns_uptime() {
            let seconds = self.fleet.whole_seconds(id, idle);
            let Some(worker) = self.fleet.get_mut(id) else { return };
            worker.stats.uptime_seconds += seconds;
            worker.stats.unpaid_seconds += seconds;
        }
        let Some(worker) = self.fleet.get(id) else { return };
        if worker.stats.unpaid_seconds > UNPAID_SECONDS || self.must_share_time(id) {
            self.timers.insert((now, Timer::Uptime(id)));
        }
    }

    /// Whether other brokers should hear of a worker's time online, which is counted here alone.
    fn must_share_time(&self, id: WorkerId) -> bool {
        self.peers.are_possible() && self.fleet.unwritten_seconds(id) >= SHARE_SECONDS
    }

    /// Counts the time of a worker that waits here, before it changes whether its time counts.
    pub(super) fn accrue_waiting(&mut self, now: Timestamp, id: WorkerId) {
        if self.offers.of_worker(id).is_some() {
            self.accrue(now, id);
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
        if self.must_share_time(id) {
            step.cut();
            let change = self.fleet.take_unwritten(id);
            step.persist(Record::WorkerCounted { worker: id, change });
            self.count_time(step, id, change.uptime_seconds);
        }
        if is_waiting {
            self.watch_uptime(step.now, id);
        }
    }

    fn pay_uptime(&mut self, step: &mut Step<'_>, id: WorkerId) {
        let Some(worker) = self.fleet.get(id) else { return };
        let (owner, kind, gathered) = (worker.owner, worker.profile.kind(), worker.stats.unpaid_seconds);
        let Some(user) = self.accounts.get(owner) else { return };
        if gathered <= UNPAID_SECONDS || self.peers.counts_time_since(step.now).is_none() {
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
        self.count_time(step, id, change.uptime_seconds);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{
            earning::Promotion,
            record::Snapshot,
            user::{User, UserStats},
        },
        engine::{
            Rules,
            stage::{Stage, image_profile, text_profile, text_spec},
        },
    };

    const HOUR: Duration = Duration::from_secs(3600);
    const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

    /// What the postings of a stage amount to: balance, escrow, and the sum of all accounts.
    fn books(stage: &Stage) -> (Kudos, Kudos, Kudos) {
        let (mut balance, mut escrow, mut all) = (Kudos::ZERO, Kudos::ZERO, Kudos::ZERO);
        let mut keys = std::collections::HashSet::new();
        for record in stage.records() {
            let Record::Posted(posting) = record else { continue };
            assert!(keys.insert(posting.key.clone()), "{} is posted twice", posting.key);
            for (account, amount) in [(posting.from, -posting.amount), (posting.to, posting.amount)] {
                all += amount;
                if account == stage.user.into() {
                    balance += amount;
                } else if account == Account::escrow(stage.user) {
                    escrow += amount;
                    assert!(escrow >= Kudos::ZERO, "more is given back than was put aside");
                }
            }
        }
        let user = stage.engine.user(stage.user).unwrap();
        assert_eq!((user.balance, user.escrow), (balance, escrow), "memory and ledger agree");
        (balance, escrow, all)
    }

    /// Rewards for time online so far.
    fn rewards(stage: &Stage) -> usize {
        stage.records().filter(|record| matches!(record, Record::UptimeRewarded { .. })).count()
    }

    /// Pops every so many seconds for a while, without a job to be had.
    fn pops(stage: &mut Stage, every: u64, seconds: u64) {
        for _ in 0..seconds / every {
            stage.pop("artist", image_profile(1), Duration::ZERO);
            stage.wait(Duration::from_secs(every));
        }
    }

    #[test]
    fn half_of_what_a_job_earns_is_put_aside_until_the_owner_is_trusted() {
        let promotion = Promotion { threshold: Some(Kudos::from_f64(2.0)), ..Promotion::default() };
        let mut stage = Stage::with(Rules { promotion, ..Rules::default() });
        let deliver = |stage: &mut Stage| {
            stage.submit(text_spec(1));
            stage.pop("writer", text_profile(1), Duration::ZERO);
            let held = stage.granted()[0];
            let reward = stage.deliver(held).unwrap();
            stage.wait(Duration::from_secs(1));
            reward
        };
        let before = books(&stage).0;
        let reward = deliver(&mut stage);
        let (balance, escrow, all) = books(&stage);
        assert!((escrow + escrow - reward).0.abs() <= 10_000, "{escrow} of {reward}");
        // Asked for and delivered by the same account: two for the fees, and the job itself.
        assert_eq!(balance, before - reward - Kudos::whole(2) + (reward - escrow));
        assert_eq!(all, Kudos::ZERO);
        for _ in 0..5 {
            deliver(&mut stage);
        }
        assert!(!stage.engine.user(stage.user).unwrap().is(Role::Trusted), "too young");
        stage.wait(WEEK);
        let (_, gathered, _) = books(&stage);
        assert!(gathered > Kudos::whole(2));
        deliver(&mut stage);
        assert!(stage.engine.user(stage.user).unwrap().is(Role::Trusted));
        let given = Record::RoleGiven { user: stage.user, role: Role::Trusted };
        assert_eq!(stage.records().filter(|r| format!("{r:?}") == format!("{given:?}")).count(), 1);
        let (_, left, all) = books(&stage);
        assert_eq!((left, all), (Kudos::ZERO, Kudos::ZERO), "all of it is the owner's now");
        deliver(&mut stage);
        assert_eq!(books(&stage).1, Kudos::ZERO, "and nothing is put aside any more");
    }

    #[test]
    fn what_another_broker_put_aside_for_who_is_trusted_is_given_with_the_next_job() {
        let mut stage = Stage::new();
        let now = stage.now;
        let known = stage.engine.user(stage.user).unwrap().clone();
        let late = User { roles: vec![Role::Trusted], escrow: Kudos::whole(3), ..known };
        stage.engine.learn_people(now, vec![late], vec![]);
        stage.submit(text_spec(1));
        stage.pop("writer", text_profile(1), Duration::ZERO);
        let held = stage.granted()[0];
        stage.deliver(held).unwrap();
        stage.wait(Duration::from_secs(1));
        assert_eq!(stage.engine.user(stage.user).unwrap().escrow, Kudos::ZERO);
        let back = |record: &Record| matches!(record, Record::Posted(posting) if posting.from == Account::escrow(stage.user));
        assert_eq!(stage.records().filter(|record| back(record)).count(), 1);
    }

    #[test]
    fn who_is_suspicious_is_not_trusted_however_much_was_put_aside() {
        let promotion = Promotion { threshold: Some(Kudos::ZERO), probation: Duration::ZERO };
        let mut stage = Stage::with(Rules { promotion, ..Rules::default() });
        let user = stage.user;
        for _ in 0..User::SUSPICIOUS {
            stage.act(|engine, step| engine.suspect(step, user));
        }
        let counted = stage.records().filter_map(|record| match record {
            Record::UserCounted { change: UserStats { suspicion, .. }, .. } => Some(*suspicion),
            _ => None,
        });
        assert_eq!(counted.sum::<i64>(), 5);
        stage.stream("artist", image_profile(1), 1, &[]);
        stage.wait(HOUR);
        assert!(!stage.engine.user(user).unwrap().is(Role::Trusted));
    }

    #[test]
    fn each_ten_minutes_online_are_paid_for_whether_polled_or_streamed() {
        for is_streamed in [false, true] {
            let mut stage = Stage::new();
            match is_streamed {
                true => {
                    stage.stream("artist", image_profile(1), 1, &[]);
                    stage.wait(HOUR);
                }
                false => pops(&mut stage, 2, 3600),
            }
            assert_eq!(rewards(&stage), 5, "one for each more than 600 s: the sixth is not full");
            let (_, escrow, all) = books(&stage);
            assert_eq!(
                (escrow, all),
                (Kudos::whole(5 * 82), Kudos::ZERO),
                "50 + 2 for a model + 30 for LoRAs"
            );
            let worker = stage.engine.worker_by_name("artist").unwrap();
            assert_eq!(worker.stats.uptime_kudos, Kudos::whole(5 * 82));
            assert_eq!(worker.stats.generated, Kudos::ZERO);
        }
    }

    #[test]
    fn parts_of_a_second_add_up() {
        let mut stage = Stage::new();
        for _ in 0..2 * 1300 {
            stage.pop("artist", image_profile(1), Duration::ZERO);
            stage.wait(Duration::from_millis(500));
        }
        assert_eq!(rewards(&stage), 2);
    }

    #[test]
    fn whoever_was_away_begins_anew() {
        let mut stage = Stage::new();
        pops(&mut stage, 10, 590);
        stage.wait(Duration::from_secs(400));
        pops(&mut stage, 10, 590);
        assert_eq!(rewards(&stage), 0, "neither of the two was long enough");
        pops(&mut stage, 10, 40);
        assert_eq!(rewards(&stage), 1);
    }

    #[test]
    fn a_worker_in_maintenance_earns_nothing_for_being_there() {
        let mut stage = Stage::new();
        stage.stream("artist", image_profile(1), 1, &[]);
        let id = stage.engine.worker_by_name("artist").unwrap().id;
        stage.engine.fleet.get_mut(id).unwrap().maintenance = Some("maintenance mode".into());
        stage.wait(HOUR);
        assert_eq!((rewards(&stage), stage.engine.worker(id).unwrap().stats.uptime_seconds), (0, 0));
        // Whoever takes it out of maintenance settles first what was before.
        let now = stage.now;
        stage.engine.accrue(now, id);
        stage.engine.fleet.get_mut(id).unwrap().maintenance = None;
        stage.wait(HOUR);
        assert_eq!(rewards(&stage), 5, "the clock looks again by itself");
    }

    #[test]
    fn what_records_have_of_time_online_goes_on_after_a_restart_and_is_paid_once() {
        let mut stage = Stage::new();
        pops(&mut stage, 10, 900);
        assert_eq!(rewards(&stage), 1);
        let mut stored = stage.engine.worker_by_name("artist").unwrap().clone();
        stored.stats = Default::default();
        let mut paid = 0;
        for record in stage.records() {
            match record {
                Record::WorkerCounted { change, .. } => stored.stats.add(change),
                Record::UptimeRewarded { number, .. } => paid = *number,
                _ => {}
            }
        }
        stored.stats.uptime_rewards = paid;
        assert!((200..=300).contains(&stored.stats.unpaid_seconds), "{:?}", stored.stats);
        let user = stage.engine.user(stage.user).cloned().unwrap();
        let snapshot = Snapshot { users: vec![user], workers: vec![stored], ..Snapshot::default() };
        let mut restarted = Stage::new();
        restarted.now = stage.now;
        let now = restarted.now;
        restarted.engine.restore(now, snapshot);
        pops(&mut restarted, 10, 420);
        let numbers: Vec<_> = restarted
            .records()
            .filter_map(|record| match record {
                Record::UptimeRewarded { number, .. } => Some(*number),
                _ => None,
            })
            .collect();
        assert_eq!(numbers, [2]);
    }
}
