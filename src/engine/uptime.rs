//! How long workers are there.
//!
//! A worker that is neither in maintenance nor paused gathers time from one sign of life to the next:
//! pops, reports, results, and a stream that stays open. It is counted every half a minute at most. One
//! that was not heard of for as long as it counts as online begins anew.

use std::collections::{BTreeSet, HashMap};

use super::{Engine, Step};
use crate::domain::{
    Timestamp, WorkerId,
    record::Record,
    worker::{Worker, WorkerChange},
};

/// How often a worker's time is counted, in seconds.
const COUNT_SECONDS: i64 = 30;
/// Time that is gathered before it is paid, in seconds.
const PAID_SECONDS: i64 = 600;
/// How often the time of a worker that keeps a stream open is written, in seconds.
const STORE_SECONDS: u64 = 300;

/// How long each worker is there.
#[derive(Default)]
pub(super) struct Uptimes {
    clocks: HashMap<WorkerId, Clock>,
    /// Workers that have gathered enough to be paid.
    due: BTreeSet<WorkerId>,
    /// When those with a stream were last looked at.
    looked_at: Timestamp,
}

/// One worker's time.
#[derive(Clone, Copy, Debug)]
struct Clock {
    counted_at: Timestamp,
    /// Seconds gathered since the last pay.
    gathered: i64,
}

impl Uptimes {
    /// Another broker counted a worker's time until then.
    pub fn counted_elsewhere(&mut self, id: WorkerId, at: Timestamp) {
        if let Some(clock) = self.clocks.get_mut(&id) {
            clock.counted_at = clock.counted_at.max(at);
        }
    }

    /// Counts the time of a worker that is heard of; what it adds to its uptime, in seconds.
    fn count(&mut self, worker: &Worker, now: Timestamp) -> i64 {
        let fresh = Clock { counted_at: worker.seen_at, gathered: 0 };
        let clock = self.clocks.entry(worker.id).or_insert(fresh);
        if !worker.is_online(now) {
            *clock = Clock { counted_at: now, gathered: 0 };
            return 0;
        }
        let span = now.seconds_since(clock.counted_at);
        if span < COUNT_SECONDS {
            return 0;
        }
        clock.counted_at = now;
        if worker.maintenance.is_some() || worker.standing.is_paused {
            return 0;
        }
        clock.gathered += span;
        if clock.gathered > PAID_SECONDS {
            clock.gathered = 0;
            self.due.insert(worker.id);
        }
        span
    }

    pub fn forget(&mut self, id: WorkerId) {
        self.clocks.remove(&id);
        self.due.remove(&id);
    }
}

impl Engine {
    /// Notes that a worker was heard of.
    pub(super) fn seen(&mut self, now: Timestamp, id: WorkerId) {
        let (worker, uptimes) = self.fleet.with_uptimes(id);
        let Some(worker) = worker else { return };
        worker.stats.uptime_seconds += uptimes.count(worker, now);
        worker.seen_at = now;
    }

    /// Looks after workers that do nothing but keep a stream open, and pays for time.
    pub(super) fn look_around(&mut self, step: &mut Step<'_>) {
        if step.now.seconds_since(self.fleet.uptimes.looked_at) >= COUNT_SECONDS {
            self.fleet.uptimes.looked_at = step.now;
            let streaming: Vec<_> = self.offers.streaming().collect();
            for id in streaming {
                self.seen(step.now, id);
                let stored_at = self.fleet.stored.get(&id).map_or(step.now, |stored| stored.0);
                if step.now.since(stored_at).as_secs() >= STORE_SECONDS {
                    step.cut();
                    self.store_worker(step, id);
                }
            }
            self.clear_board(step);
        }
        self.pay_uptimes(step);
    }

    /// Writes down what is known of a worker: when it was seen, what it says of itself, its uptime.
    pub(super) fn store_worker(&mut self, step: &mut Step<'_>, id: WorkerId) {
        let Some(worker) = self.fleet.get(id).cloned() else { return };
        let stored_uptime = self.fleet.stored.get(&id).map_or(0, |stored| stored.1);
        let uptime_seconds = worker.stats.uptime_seconds - stored_uptime;
        self.fleet.stored.insert(id, (step.now, worker.stats.uptime_seconds));
        step.persist(Record::WorkerSaid(worker.into()));
        if uptime_seconds != 0 {
            let change = WorkerChange { uptime_seconds, ..WorkerChange::default() };
            step.persist(Record::WorkerCounted { worker: id, change });
        }
    }

    /// Pays workers that have gathered enough time.
    pub(super) fn pay_uptimes(&mut self, step: &mut Step<'_>) {
        for id in std::mem::take(&mut self.fleet.uptimes.due) {
            self.uptime_gathered(step, id);
        }
    }

    /// A worker has gathered more than ten minutes since this was last called for it. The place to pay
    /// for that: nothing else has to be done here.
    fn uptime_gathered(&mut self, _: &mut Step<'_>, _: WorkerId) {}
}
