//! Offers: workers that wait for jobs, each with credits.
//!
//! A held pop, an instant pop and a stream register the same thing. A held pop has room for one
//! batch and is gone with its answer; a stream has credits, which come back as its attempts close.
//! An offer with room stands in the index by its models, ordered by the turn at which it got room:
//! who has waited longest comes first.

mod budget;
mod index;
mod pick;
mod skipped;

use std::collections::BTreeSet;

use super::{Arrival, Engine, Push, Step, Timer, request::JobState};
use crate::domain::{
    AttemptId, Error, OfferId, Result, Timestamp, UserId, WorkerId, lease::Closed, worker::Profile,
};

/// Pops that one worker may hold at a time: more than the threads it may have.
const MAX_POPS: usize = 100;

pub(super) use budget::Budget;
pub(super) use index::Offers;

/// A pop that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldPop {
    /// Names what it will be sent: one grant, or one end without a job.
    pub offer: OfferId,
}

/// A stream that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldStream {
    /// Names what it will be sent.
    pub offer: OfferId,
    /// The worker.
    pub worker: WorkerId,
    /// Of the attempts presented, those that it keeps.
    pub kept: Vec<AttemptId>,
}

impl Engine {
    /// Pops and streams that are open.
    pub fn open_offers(&self) -> usize {
        self.offers.len()
    }

    /// Registers a pop that may be held until an instant (now: it is answered at once).
    ///
    /// # Errors
    /// Those of a worker's check-in; [`Error::WorkerMaintenance`] when the worker is in maintenance
    /// and nothing of its owner waits.
    pub fn pop<'a>(
        &mut self,
        step: &mut Step<'_>,
        caller: UserId,
        arrival: impl Into<Arrival<'a>>,
        profile: Profile,
        until: Timestamp,
    ) -> Result<HeldPop> {
        let arrival = arrival.into();
        let amount = profile.amount as usize;
        let mut profile = self.knowing_videos(profile);
        let worker = self.check_in(step, caller, &arrival, &mut profile)?;
        // A worker that forgets its pops must not fill the index: its oldest one is answered.
        if let Some(oldest) = self.offers.oldest_pop_of_many(worker) {
            self.end_pop(step, oldest);
        }
        let Some(known) = self.fleet.get(worker) else { return Err(arrival.unknown()) };
        let maintenance = known.maintenance.clone();
        let offer = self.offers.add(worker, &profile, amount, Some(until), step.now);
        self.offers.list(offer);
        let is_served = self.serve(step, offer);
        if is_served {
            // A pop for forms takes those of several requests.
            self.fill(step, offer);
        }
        match maintenance {
            Some(message) if !is_served => {
                self.offers.remove(offer);
                return Err(Error::WorkerMaintenance(message));
            }
            _ if !is_served && until <= step.now => self.end_pop(step, offer),
            // Also when served: the claim may be lost. While it is out, the end waits for its answer.
            _ => {
                self.timers.insert((until.max(step.now), Timer::Pop(offer)));
            }
        }
        Ok(HeldPop { offer })
    }

    /// Opens a stream. The newest stream of a worker wins; an older one is told and ends.
    ///
    /// # Errors
    /// Those of a worker's check-in.
    pub fn open_stream<'a>(
        &mut self,
        step: &mut Step<'_>,
        caller: UserId,
        arrival: impl Into<Arrival<'a>>,
        profile: Profile,
        credits: usize,
        held: &[AttemptId],
    ) -> Result<HeldStream> {
        let arrival = arrival.into();
        let mut profile = self.knowing_videos(profile);
        let worker = self.check_in(step, caller, &arrival, &mut profile)?;
        self.replace_streams(step, worker, step.now, held);
        let offer = self.offers.add(worker, &profile, credits, None, step.now);
        self.watch_uptime(step.now, worker);
        // Presented twice, an attempt is held once.
        let mut presented = BTreeSet::new();
        let new = held.iter().copied().filter(|id| presented.insert(*id));
        let mut keeps =
            |id: AttemptId| self.reattach(step, id, worker, offer) || self.decoys.reattach(id, worker, offer);
        let kept: Vec<_> = new.filter(|id| keeps(*id)).collect();
        self.offers.take_room(offer, kept.len() as isize);
        Ok(HeldStream { offer, worker, kept })
    }

    /// Ends streams of a worker that were opened before an instant; it opened another one elsewhere.
    pub(super) fn end_streams(&mut self, step: &mut Step<'_>, worker: WorkerId, before: Timestamp) {
        self.replace_streams(step, worker, before, &[]);
    }

    fn replace_streams(
        &mut self,
        step: &mut Step<'_>,
        worker: WorkerId,
        before: Timestamp,
        held: &[AttemptId],
    ) {
        let older: Vec<_> = self.offers.of_worker(worker).into_iter().flatten().copied().collect();
        for id in older {
            if self.offers.get(id).is_some_and(|offer| offer.is_stream && offer.made_at <= before) {
                step.deliver(id, Push::Replaced);
                self.close_stream_keeping(step, id, held);
            }
        }
    }

    /// Lets an opened stream have jobs; called once its first message is on its way.
    pub fn start_stream(&mut self, step: &mut Step<'_>, offer: OfferId) {
        self.fill(step, offer);
    }

    /// Sets how many jobs may be outstanding at a stream from now on; what is outstanding already stays so.
    pub fn set_credits(&mut self, step: &mut Step<'_>, offer: OfferId, credits: usize) {
        self.offers.set_credits(offer, credits);
        self.fill(step, offer);
    }

    /// Finds work for all the room that an offer has.
    pub(super) fn fill(&mut self, step: &mut Step<'_>, offer: OfferId) {
        while self.offers.room(offer) > 0 && self.serve(step, offer) {}
    }

    /// A client hung up on its held pop: the offer goes, jobs not delivered go back.
    pub fn withdraw(&mut self, offer: OfferId) {
        self.offers.remove(offer);
    }

    /// Jobs could not be handed to a pop: they go back at once, without blame.
    pub fn undelivered(&mut self, step: &mut Step<'_>, attempts: &[AttemptId]) {
        for id in attempts {
            // Another broker may have ended one of them; the others go back all the same.
            step.cut();
            self.forget_decoy(step, *id);
            self.close(step, *id, Closed::Returned);
        }
    }

    /// A stream ended: what its worker had accepted waits for it a while, the rest goes back.
    pub fn close_stream(&mut self, step: &mut Step<'_>, offer: OfferId) {
        self.close_stream_keeping(step, offer, &[]);
    }

    fn close_stream_keeping(&mut self, step: &mut Step<'_>, offer: OfferId, held: &[AttemptId]) {
        // Up to now it was there.
        if let Some(worker) = self.offers.get(offer).map(|offer| offer.worker) {
            self.seen(step.now, worker);
        }
        let Some(removed) = self.offers.remove(offer) else { return };
        let grace = step.now.plus(self.rules.grace);
        let mut back = Vec::new();
        for (id, (request, job)) in self.open_attempts_of(removed.worker) {
            let Some(request) = self.requests.get_mut(&request) else { continue };
            let JobState::Held(lease) = &mut request.jobs[job].state else { continue };
            if lease.offer != Some(offer) {
                continue;
            }
            lease.offer = None;
            if lease.accepted || held.contains(&id) {
                lease.deadline = Some(lease.deadline.filter(|_| lease.cancelled).unwrap_or(grace));
                self.timers.insert((lease.due(), Timer::Lease(id)));
            } else {
                back.push(id);
            }
        }
        self.undelivered(step, &back);
    }

    /// Ends a held pop without a job, saying why requests were passed over.
    pub(super) fn end_pop(&mut self, step: &mut Step<'_>, offer: OfferId) {
        let Some(removed) = self.offers.remove(offer) else { return };
        let skipped = self.skipped(removed.worker, removed.lanes());
        step.deliver(offer, Push::Empty { skipped });
    }

    /// Ends a pop that has got all it was about to get.
    pub(super) fn end_if_complete(&mut self, step: &mut Step<'_>, offer: OfferId) {
        if !self.offers.is_complete(offer) {
            return;
        }
        match self.offers.get(offer).is_some_and(|offer| offer.gathers) {
            true => self.end_gathering(step, offer),
            false => drop(self.offers.remove(offer)),
        }
    }
}
