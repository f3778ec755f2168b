//! Hearsay of other brokers.

use super::{Aftermath, Away};
use crate::{
    domain::{
        AttemptId, RequestId, Timestamp,
        lease::Closed,
        news::{Hold, News},
    },
    engine::{Engine, Push, Step, request::JobState},
};

impl Engine {
    /// Whether a request is known here.
    pub fn knows(&self, id: RequestId) -> bool {
        self.requests.contains_key(&id)
    }

    /// Takes news in. Those of requests that are not known here tell nothing: let it
    /// [learn](Engine::learn) them first.
    pub fn hear(&mut self, step: &mut Step<'_>, news: &[News]) {
        let mut aftermath = Aftermath::default();
        for piece in news {
            match piece {
                News::Waits { request, job, number } => {
                    self.hear_waits(step, *request, *job, *number, &mut aftermath);
                }
                News::Held(hold) => self.hear_held(step, hold, &mut aftermath),
                News::Returned { request, job, attempt, is_fault } => {
                    self.hear_returned(*request, *job, *attempt, *is_fault, &mut aftermath);
                }
                News::Over { request, job } => self.hear_over(step.now, *request, *job, &mut aftermath),
                News::Seen(workers) => {
                    for (worker, at) in workers {
                        self.accrue(*at, *worker);
                    }
                }
                News::StreamOpened(worker, at) => self.end_streams(step, *worker, *at),
                News::Delivered(made) => {
                    self.census.delivered(step.now, made.kind, &made.model, made.things, made.speed);
                }
                // What these are about is in Records: who hears them reads it, and lets the engine learn it.
                News::Ended(_)
                | News::Overdue { .. }
                | News::People { .. }
                | News::Board
                | News::Filters
                | News::Missed => {}
            }
        }
        self.carry_on(step, aftermath);
    }

    fn hear_waits(
        &mut self,
        step: &mut Step<'_>,
        id: RequestId,
        job: usize,
        number: u32,
        aftermath: &mut Aftermath,
    ) {
        let Some(known) = self.requests.get_mut(&id).and_then(|request| request.jobs.get_mut(job)) else {
            return;
        };
        known.attempts = known.attempts.max(number.saturating_sub(1));
        let is_outdated = match &known.state {
            JobState::Away(away) => away.number < number,
            JobState::Held(lease) if lease.attempt.number < number => {
                // Its claim was taken back before it was in Records. It may be there by now, open.
                let attempt = lease.attempt.id;
                step.cut();
                return self.close(step, attempt, Closed::Returned);
            }
            JobState::Held(_)
            | JobState::Waiting
            | JobState::Claimed(_)
            | JobState::Done(_)
            | JobState::Dropped
            | JobState::Gone(_) => false,
        };
        if is_outdated {
            let offer = self.vacate(id, job);
            self.free(offer, aftermath);
            self.requeue(id, job);
            aftermath.waiting.insert(id);
            // Nothing of a request that was cancelled waits again: this may have been the last of it.
            aftermath.ended.insert(id);
        }
    }

    fn hear_held(&mut self, step: &mut Step<'_>, hold: &Hold, aftermath: &mut Aftermath) {
        let (id, job) = (hold.request, hold.job);
        let Some(request) = self.requests.get(&id) else { return };
        let Some(known) = request.jobs.get(job) else { return };
        if request.closed.contains_key(&hold.attempt) {
            return;
        }
        let is_old = match &known.state {
            // It was given out by another broker, and is looked after by this one since.
            JobState::Held(lease) => lease.attempt.id == hold.attempt && !hold.is_taken_from_us,
            // That nobody knows its broker yet is no news of it.
            JobState::Away(away) => away.attempt == Some(hold.attempt) && hold.broker.is_empty(),
            _ => false,
        };
        if is_old {
            return;
        }
        match &known.state {
            JobState::Waiting if known.attempts < hold.number => {
                self.vacate(id, job);
                self.put_away(id, job, Away::of(hold, step.now));
            }
            JobState::Claimed(_) => {
                self.peers.rumours.insert((id, job), hold.clone());
            }
            JobState::Away(away) if away.number <= hold.number => {
                let is_same = away.attempt == Some(hold.attempt);
                self.hand_over(step.now, hold, is_same, aftermath);
            }
            JobState::Held(lease) if lease.attempt.number <= hold.number => {
                let is_same = lease.attempt.id == hold.attempt;
                self.hand_over(step.now, hold, is_same, aftermath);
            }
            JobState::Waiting
            | JobState::Away(_)
            | JobState::Held(_)
            | JobState::Done(_)
            | JobState::Dropped
            | JobState::Gone(_) => {}
        }
    }

    /// Another broker looks after a job from now on. If it is by the same attempt, its worker's stream may
    /// be here all the same, with a credit in use for it.
    fn hand_over(&mut self, now: Timestamp, hold: &Hold, is_same: bool, aftermath: &mut Aftermath) {
        let offer = self.vacate(hold.request, hold.job);
        let mut next = Away::of(hold, now);
        match is_same {
            true => next.offer = offer,
            false => self.free(offer, aftermath),
        }
        self.put_away(hold.request, hold.job, next);
    }

    fn hear_returned(
        &mut self,
        id: RequestId,
        job: usize,
        attempt: AttemptId,
        is_fault: bool,
        aftermath: &mut Aftermath,
    ) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        let how = if is_fault { Closed::Faulted } else { Closed::Returned };
        if request.closed.insert(attempt, how).is_none() && is_fault {
            request.faults += 1;
        }
        if let Some(known) = request.jobs.get_mut(job).filter(|_| is_fault) {
            known.failed.insert(attempt);
            if self.drop_if_spent(id, job) {
                aftermath.ended.insert(id);
            }
        }
        let Some(request) = self.requests.get(&id) else { return };
        self.places.insert(attempt, (id, job));
        let is_held =
            |state: &JobState| matches!(state, JobState::Held(lease) if lease.attempt.id == attempt);
        if request.jobs.get(job).is_some_and(|known| is_held(&known.state)) {
            // Until it is heard to wait, nobody here knows what became of it.
            let offer = self.vacate(id, job);
            self.free(offer, aftermath);
            self.requeue(id, job);
            aftermath.waiting.insert(id);
            // Nothing of a request that was cancelled waits again: this may have been the last of it.
            aftermath.ended.insert(id);
        }
    }

    fn hear_over(&mut self, now: Timestamp, id: RequestId, job: usize, aftermath: &mut Aftermath) {
        let Some(known) = self.requests.get(&id).and_then(|request| request.jobs.get(job)) else { return };
        if matches!(known.state, JobState::Done(_) | JobState::Gone(_)) {
            return;
        }
        let offer = self.vacate(id, job);
        self.free(offer, aftermath);
        if let Some(request) = self.requests.get_mut(&id) {
            request.jobs[job].state = JobState::Gone(now);
        }
        aftermath.ended.insert(id);
    }

    /// Tells workers on streams here whose jobs other brokers look after that their request was cancelled.
    pub(in crate::engine) fn cancel_away(&self, step: &mut Step<'_>, id: RequestId) {
        let Some(request) = self.requests.get(&id) else { return };
        for away in request.away() {
            if let (Some(offer), Some(attempt)) = (away.offer, away.attempt) {
                let (attempts, reason) = (vec![attempt], "the request was cancelled".into());
                step.deliver(offer, Push::Cancel { attempts, reason });
            }
        }
    }
}
