//! How a request ends: it is cancelled, or none of its jobs is open any more.

use super::{
    Effect, Engine, Step, Timer,
    request::{Job, JobState},
};
use crate::domain::{Kudos, RequestId, event::Event};

impl Engine {
    /// Cancels what waits; true if anything changed. Jobs that workers hold may still be handed in.
    pub fn cancel(&mut self, step: &mut Step<'_>, id: RequestId) -> bool {
        let Some(request) = self.requests.get_mut(&id) else { return false };
        if request.cancelled || request.done {
            return false;
        }
        request.cancelled = true;
        step.persist(request.moved(Kudos::ZERO));
        step.tell(id, Event::Cancelled);
        self.drop_waiting(id);
        self.cancel_away(step, id);
        self.cancel_held(step, id);
        self.conclude(step, id);
        true
    }

    /// Takes every waiting job of a request out of the queue for good.
    pub(super) fn drop_waiting(&mut self, id: RequestId) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        let mut dropped = Vec::new();
        for (index, job) in request.jobs.iter_mut().enumerate() {
            if matches!(job.state, JobState::Waiting) {
                job.state = JobState::Dropped;
                dropped.push(index);
            }
        }
        if !dropped.is_empty() {
            self.queue.change_jobs(request.place, &request.accepted, &dropped, false);
        }
    }

    /// Ends a request once none of its jobs is open.
    pub(super) fn conclude(&mut self, step: &mut Step<'_>, id: RequestId) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        let is_open =
            |job: &Job| !matches!(job.state, JobState::Done(_) | JobState::Dropped | JobState::Gone(_));
        if request.done || request.jobs.iter().any(is_open) {
            return;
        }
        if request.jobs.iter().any(|job| matches!(job.state, JobState::Gone(_))) {
            // Records alone know how it ended.
            step.effects.push(Effect::Reread(id));
            return;
        }
        self.give_up(step, id);
        let Some(request) = self.requests.get_mut(&id) else { return };
        request.done = true;
        if request.is_ours {
            self.tell_end(step, id);
        }
        let Some(request) = self.requests.get_mut(&id) else { return };
        self.accounts.active(request.accepted.owner, id, false);
        self.open_bytes = self.open_bytes.saturating_sub(request.accepted.spec.size_bytes());
        self.finished_bytes += request.size_bytes();
        self.finished.push_back(id);
        while self.finished.len() > self.rules.max_finished_requests
            || self.finished_bytes > self.rules.max_finished_bytes
        {
            if let Some(oldest) = self.finished.pop_front() {
                step.effects.push(Effect::Shelve(oldest));
                self.evict(oldest);
            }
        }
    }

    fn tell_end(&self, step: &mut Step<'_>, id: RequestId) {
        let Some(request) = self.requests.get(&id) else { return };
        // Another broker may have failed or cancelled it, and died before it said so. It is told once.
        if self.peers.are_possible() && request.faulted {
            step.tell(id, Event::Faulted { message: self.why_it_failed(request.faults) });
        }
        if self.peers.are_possible() && request.cancelled {
            step.tell(id, Event::Cancelled);
        }
        let (finished, kudos) = (request.delivered().count(), request.consumed);
        step.tell(id, Event::Done { finished, kudos });
    }

    /// Forgets a done request; Records still answer for it.
    pub(super) fn evict(&mut self, id: RequestId) {
        if let Some(request) = self.requests.remove(&id) {
            self.peers.forget(id, request.jobs.len());
            if request.done {
                self.finished_bytes = self.finished_bytes.saturating_sub(request.size_bytes());
            }
            self.timers.remove(&(request.alarm_at, Timer::Request(id)));
            for attempt in request.attempt_ids() {
                self.places.remove(&attempt);
            }
        }
    }
}
