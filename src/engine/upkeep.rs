//! What the clock drives: expired leases, held pops that end, requests whose time is over.

use std::time::Duration;

use super::{Effect, Engine, Step, Timer, request::JobState};
use crate::domain::{
    AttemptId, Kudos, OfferId, RequestId, Timestamp, event::Event, lease::Closed, record::Record,
};

/// When a request whose time is over is looked at again by a broker that does not run the upkeep.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

impl Engine {
    /// When [`Engine::tick`] has something to do next.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Does all that is due.
    pub fn tick(&mut self, step: &mut Step<'_>) {
        while let Some((at, timer)) = self.timers.first().copied() {
            if at > step.now {
                break;
            }
            self.timers.pop_first();
            step.cut();
            match timer {
                Timer::Lease(attempt) => self.lease_due(step, attempt),
                Timer::Decoy(attempt) => self.forget_decoy(step, attempt),
                Timer::Pop(offer) if self.offers.is_over(offer, step.now) => self.end_pop(step, offer),
                // A claim for it is out: the answer is a grant, or `lost` ends it.
                Timer::Pop(_) => {}
                Timer::Credit(offer) => {
                    self.offers.take_room(offer, -1);
                    self.fill(step, offer);
                }
                Timer::Request(request) => self.request_due(step, request),
                Timer::Reread(request) => self.reread_due(step, request),
                Timer::Halt => self.halt(step),
                Timer::Uptime(worker) => self.uptime_due(step, worker),
                Timer::Trust(owner) => self.trust_due(step, owner),
            }
        }
        self.clear_board(step);
        self.pay_months_in_time(step);
        self.count_capacity_if_stale(step.now);
    }

    fn lease_due(&mut self, step: &mut Step<'_>, id: AttemptId) {
        let Some((request, job)) = self.places.get(&id).copied() else { return };
        let Some(JobState::Held(lease)) = self.requests.get(&request).map(|request| &request.jobs[job].state)
        else {
            return;
        };
        if lease.attempt.id != id {
            return;
        }
        let due = lease.due();
        if due > step.now {
            self.timers.insert((due, Timer::Lease(id)));
        } else if lease.borrowed_from.is_some() {
            self.give_back(step, request, job);
        } else if lease.attempt.expires_at <= step.now {
            self.close(step, id, Closed::Faulted);
        } else {
            let silent = lease.offer.filter(|_| !lease.accepted && !lease.cancelled);
            if let Some(offer) = silent {
                self.withhold(step.now, offer);
            }
            self.close(step, id, Closed::Returned);
        }
    }

    /// Keeps a credit from a stream that took a job and said nothing, for longer each time: it would
    /// only be sent the same job again.
    fn withhold(&mut self, now: Timestamp, offer: OfferId) {
        let times = self.offers.withhold(offer);
        let pause = self.rules.accept_within * 2u32.saturating_pow(times.min(6));
        self.timers.insert((now.plus(pause), Timer::Credit(offer)));
    }

    fn request_due(&mut self, step: &mut Step<'_>, id: RequestId) {
        // One that is shelved is swept out of Records by the host.
        self.conclude(step, id);
        let Some(request) = self.requests.get_mut(&id) else { return };
        if request.expires_at > step.now {
            let later = request.expires_at;
            self.set_alarm(id, later);
            return;
        }
        if !self.peers.leads() {
            // Somebody else sees to it; what is done need not be kept here until then.
            if request.done {
                step.effects.push(Effect::Shelve(id));
                self.evict_finished(id);
            } else {
                self.set_alarm(id, step.now.plus(LOOK_AGAIN));
                // It may be over without this broker having heard of it.
                step.effects.push(Effect::Reread(id));
            }
            return;
        }
        if request.held().next().is_some()
            || request.away().next().is_some()
            || request.jobs.iter().any(|job| matches!(job.state, JobState::Claimed(_)))
        {
            // A worker still has a job of it: wait for that lease to end one way or the other.
            let later = step.now.plus(self.rules.grace.max(Duration::from_secs(1)));
            self.set_alarm(id, later);
            return;
        }
        if !request.done {
            request.faulted = true;
            step.persist(request.moved(Kudos::ZERO));
            let faults = request.faults;
            let message = self.why_it_failed(faults);
            step.tell(id, Event::Faulted { message });
            self.drop_waiting(id);
            self.conclude(step, id);
        }
        let attempts = self.requests.get(&id).map(|request| request.attempt_ids()).unwrap_or_default();
        step.persist(Record::RequestDropped { request: id, before: step.now });
        step.effects.push(Effect::Forget { request: id, attempts });
        self.evict_finished(id);
    }

    fn evict_finished(&mut self, id: RequestId) {
        // They end about in the order in which they were done: it is among the first.
        if let Some(place) = self.finished.iter().position(|done| *done == id) {
            self.finished.remove(place);
        }
        self.evict(id);
    }
}
