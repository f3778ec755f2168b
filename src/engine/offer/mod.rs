//! Offers: workers that wait for jobs, each with credits.
//!
//! A held pop, an instant pop and a stream register the same thing. A held pop has room for one
//! batch and is gone with its answer; a stream has credits, which come back as its attempts close.
//! An offer with room stands in the index by its models, ordered by the turn at which it got room:
//! who has waited longest comes first.

mod index;

use std::collections::BTreeSet;

use super::{
    Arrival, Effect, Engine, Push, Step, Timer, draw,
    matching::{self, Pair, Skips},
    queue,
    request::JobState,
};
use crate::domain::{
    AttemptId, Error, OfferId, RequestId, Result, Timestamp, UserId, WorkerId, lease::Closed, request::Kind,
    worker::Profile,
};

/// An empty pop says of so many requests, the first in the queue, why they were passed over. Legacy
/// workers show the counts to people; a long queue must not make each empty pop long.
const SKIPS_OF: usize = 2_000;

/// Pops that one worker may hold at a time: more than the threads it may have.
const MAX_POPS: usize = 100;

pub(super) use index::Offers;
use index::{Lane, Offer};

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
        let kept: Vec<_> = new.filter(|id| self.reattach(step, *id, worker, offer)).collect();
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

    fn skipped(&self, worker: WorkerId, lanes: &[Lane]) -> std::collections::BTreeMap<&'static str, usize> {
        let mut skips = Skips::default();
        if let Some(worker) = self.fleet.get(worker) {
            let owner = self.accounts.get(worker.owner);
            // Alchemists are told of nothing but what they could do.
            let forms = lanes.iter().filter(|lane| lane.0 == Kind::Alchemy);
            let forms = queue::in_order(forms.map(|lane| self.queue.for_models(lane.0, &lane.1)));
            let others = lanes.iter().filter(|lane| lane.0 != Kind::Alchemy);
            let others = queue::in_order(others.map(|lane| self.queue.all(lane.0)));
            for place in forms.chain(others).take(SKIPS_OF) {
                let request = &self.requests[&place.request].accepted;
                skips.add(&Pair::new(request, self.accounts.get(request.owner), worker, owner));
            }
        }
        skips.into_counts(lanes.first().map_or(Kind::Image, |lane| lane.0))
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

    /// Finds work for an offer with room; true if it got some.
    pub(super) fn serve(&mut self, step: &mut Step<'_>, offer: OfferId) -> bool {
        let Some(request) = self.offers.get(offer).and_then(|offer| self.pick(offer)) else {
            return false;
        };
        self.propose(step, offer, request)
    }

    /// The first request that a worker may take: those it serves first (its owner's and those of its
    /// priority users), then all that its models allow.
    fn pick(&self, offer: &Offer) -> Option<RequestId> {
        let worker = self.fleet.get(offer.worker)?;
        let owner = self.accounts.get(worker.owner);
        let may = |place: &queue::Place| {
            let request = &self.requests[&place.request];
            let requester = self.accounts.get(request.accepted.owner);
            request.waits_for(&worker.profile.models)
                && matching::refusal(&Pair::new(&request.accepted, requester, worker, owner)).is_none()
        };
        let profile = &worker.profile;
        let first: Vec<_> =
            [worker.owner].into_iter().chain(profile.priority_users.iter().copied()).collect();
        let lanes = offer.lanes();
        let preferred =
            queue::in_order(lanes.iter().map(|lane| self.queue.of_owners(lane.0, &first))).find(may);
        let anyone =
            || queue::in_order(lanes.iter().map(|lane| self.queue.for_models(lane.0, &lane.1))).find(may);
        let found = if worker.maintenance.is_some() { preferred } else { preferred.or_else(anyone) };
        found.map(|place| place.request)
    }

    /// Offers the waiting jobs of a request to the workers that wait.
    pub(super) fn place_request(&mut self, step: &mut Step<'_>, id: RequestId) {
        while let Some(offer) = self.taker(id) {
            if !self.propose(step, offer, id) {
                return;
            }
        }
    }

    fn taker(&self, id: RequestId) -> Option<OfferId> {
        let request = self.requests.get(&id)?;
        request.jobs.iter().find(|job| matches!(job.state, JobState::Waiting))?;
        let requester = self.accounts.get(request.accepted.owner);
        self.offers.with_room(request.kind(), &request.wanted()).find(|offer| {
            let worker = self.offers.get(*offer).and_then(|offer| self.fleet.get(offer.worker));
            worker.is_some_and(|worker| {
                let pair = Pair::new(&request.accepted, requester, worker, self.accounts.get(worker.owner));
                matching::refusal(&pair).is_none()
            })
        })
    }

    /// Asks for as many jobs of a request as the offer has room for and its worker takes safely.
    fn propose(&mut self, step: &mut Step<'_>, offer_id: OfferId, id: RequestId) -> bool {
        let Some(offer) = self.offers.get(offer_id) else { return false };
        let Some(worker) = self.fleet.get(offer.worker) else { return false };
        let Some(request) = self.requests.get(&id) else { return false };
        let spec = &request.accepted.spec;
        let said = worker.profile.for_kind(request.kind()).unwrap_or(&worker.profile);
        let model = draw::choose_model(step.dice, &spec.models, offer.models(request.kind()));
        let room = self.offers.room(offer_id).min(said.amount.max(1) as usize);
        let safe = match (spec.params.image(), said.skills.image()) {
            (Some(image), Some(skills)) => {
                let multiplier = draw::batch_multiplier(self.models.baseline(&model));
                image.safe_amount(skills.max_pixels, room as u32, multiplier)
            }
            _ => room,
        };
        let claim = self.draw_claim(step, offer_id, id, model, safe.min(room));
        let Some(claim) = claim else { return false };
        self.offers.take_claim(offer_id, claim.attempts.len());
        self.claims.insert(claim.id, claim.clone());
        step.effects.push(Effect::Claim(claim));
        true
    }
}
