//! Offers: workers that wait for jobs, each with credits.
//!
//! A held pop, an instant pop and a stream register the same thing. A held pop has room for one
//! batch and is gone with its answer; a stream has credits, which come back as its attempts close.
//! An offer with room stands in the index by its models, ordered by the turn at which it got room:
//! who has waited longest comes first.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use super::{
    Effect, Engine, Push, Step, Timer, draw,
    matching::{self, Pair, Skips},
    queue,
    request::JobState,
};
use crate::domain::{
    AttemptId, Error, OfferId, RequestId, Result, Timestamp, UserId, WorkerId,
    lease::Closed,
    request::{Kind, Params},
    worker::{Profile, Skills},
};

/// An empty pop says of so many requests, the first in the queue, why they were passed over. Legacy
/// workers show the counts to people; a long queue must not make each empty pop long.
const SKIPS_OF: usize = 2_000;

/// Pops that one worker may hold at a time: more than the threads it may have.
const MAX_POPS: usize = 100;

/// The offers, and which of them have room.
#[derive(Default)]
pub(super) struct Offers {
    offers: HashMap<OfferId, Offer>,
    by_worker: HashMap<WorkerId, BTreeSet<OfferId>>,
    idle: HashMap<(Kind, Arc<str>), BTreeSet<(u64, OfferId)>>,
    idle_all: [BTreeSet<(u64, OfferId)>; 2],
    next_id: u64,
    next_turn: u64,
}

#[derive(Debug)]
pub(super) struct Offer {
    pub worker: WorkerId,
    pub kind: Kind,
    pub is_stream: bool,
    models: Vec<Arc<str>>,
    /// Jobs that may be outstanding.
    credits: usize,
    /// Jobs that are, claims included. A pop that is claimed for has no room left: its answer is one batch.
    outstanding: usize,
    /// Jobs in a row that it was sent and said nothing about. Each keeps a credit of it for a while,
    /// which counts as outstanding.
    silences: u32,
    /// When a pop ends without a job.
    until: Timestamp,
    /// When it was made.
    made_at: Timestamp,
    /// When it last got room; `None`: it has none.
    turn: Option<u64>,
}

impl Offers {
    /// A stream's offer has no end: `until` is for pops.
    fn add(
        &mut self,
        worker: WorkerId,
        profile: &Profile,
        credits: usize,
        until: Option<Timestamp>,
        made_at: Timestamp,
    ) -> OfferId {
        let id = OfferId(self.next_id);
        self.next_id += 1;
        let (kind, models) = (profile.kind(), profile.models.clone());
        let offer = Offer {
            worker,
            kind,
            is_stream: until.is_none(),
            models,
            credits,
            outstanding: 0,
            silences: 0,
            until: until.unwrap_or_default(),
            made_at,
            turn: None,
        };
        self.offers.insert(id, offer);
        self.by_worker.entry(worker).or_default().insert(id);
        id
    }

    pub fn get(&self, id: OfferId) -> Option<&Offer> {
        self.offers.get(&id)
    }

    pub fn of_worker(&self, worker: WorkerId) -> Option<&BTreeSet<OfferId>> {
        self.by_worker.get(&worker)
    }

    /// Workers with an open pop or stream.
    pub fn workers(&self) -> impl Iterator<Item = WorkerId> {
        self.by_worker.keys().copied()
    }

    pub fn len(&self) -> usize {
        self.offers.len()
    }

    pub fn remove(&mut self, id: OfferId) -> Option<Offer> {
        self.unlist(id);
        let offer = self.offers.remove(&id)?;
        if let Some(set) = self.by_worker.get_mut(&offer.worker) {
            set.remove(&id);
            if set.is_empty() {
                self.by_worker.remove(&offer.worker);
            }
        }
        Some(offer)
    }

    /// The oldest pop of a worker that holds as many as it may, unless all are about to get jobs.
    fn oldest_pop_of_many(&self, worker: WorkerId) -> Option<OfferId> {
        let held = self.by_worker.get(&worker).filter(|held| held.len() >= MAX_POPS)?;
        held.iter()
            .copied()
            .find(|id| self.offers.get(id).is_some_and(|offer| !offer.is_stream && offer.outstanding == 0))
    }

    /// Takes one credit away, and says how often in a row that happened.
    pub fn withhold(&mut self, id: OfferId) -> u32 {
        self.take_room(id, 1);
        let Some(offer) = self.offers.get_mut(&id) else { return 0 };
        offer.silences += 1;
        offer.silences
    }

    /// Notes that somebody is there.
    pub fn heard(&mut self, id: OfferId) {
        if let Some(offer) = self.offers.get_mut(&id) {
            offer.silences = 0;
        }
    }

    /// Jobs that an offer has room for.
    pub fn room(&self, id: OfferId) -> usize {
        self.offers.get(&id).map_or(0, |offer| offer.credits.saturating_sub(offer.outstanding))
    }

    /// Takes room for a claim: a stream's for so many jobs, all that a pop has.
    fn take_claim(&mut self, id: OfferId, jobs: usize) {
        let is_stream = self.offers.get(&id).is_some_and(|offer| offer.is_stream);
        let room = if is_stream { jobs } else { self.room(id) };
        self.take_room(id, room as isize);
    }

    /// Gives back what a claim for so many jobs took.
    pub fn drop_claim(&mut self, id: OfferId, jobs: usize) {
        let Some(offer) = self.offers.get(&id) else { return };
        let room = if offer.is_stream { jobs } else { offer.outstanding };
        self.take_room(id, -(room as isize));
    }

    /// Whether a pop whose time is over waits for nothing but its end.
    pub fn is_over(&self, id: OfferId, now: Timestamp) -> bool {
        self.offers.get(&id).is_some_and(|o| !o.is_stream && o.outstanding == 0 && o.until <= now)
    }

    /// Takes (or with a negative number gives back) room, and keeps the index right.
    pub fn take_room(&mut self, id: OfferId, jobs: isize) {
        let Some(offer) = self.offers.get_mut(&id) else { return };
        offer.outstanding = offer.outstanding.saturating_add_signed(jobs);
        self.list(id);
    }

    /// Puts an offer into the index if it has room, takes it out if not.
    fn list(&mut self, id: OfferId) {
        if self.room(id) == 0 {
            self.unlist(id);
            return;
        }
        let Some(offer) = self.offers.get_mut(&id) else { return };
        if offer.turn.is_none() {
            let key = (self.next_turn, id);
            self.next_turn += 1;
            offer.turn = Some(key.0);
            for model in &offer.models {
                self.idle.entry((offer.kind, model.clone())).or_default().insert(key);
            }
            self.idle_all[offer.kind.index()].insert(key);
        }
    }

    fn unlist(&mut self, id: OfferId) {
        let Some(offer) = self.offers.get_mut(&id) else { return };
        let Some(turn) = offer.turn.take() else { return };
        for model in &offer.models {
            let lane = (offer.kind, model.clone());
            if let Some(set) = self.idle.get_mut(&lane) {
                set.remove(&(turn, id));
                if set.is_empty() {
                    self.idle.remove(&lane);
                }
            }
        }
        self.idle_all[offer.kind.index()].remove(&(turn, id));
    }

    /// Offers with room that serve one of these models (none named: any), longest waiting first.
    fn with_room<'a>(&'a self, kind: Kind, models: &'a [Arc<str>]) -> impl Iterator<Item = OfferId> + 'a {
        let everyone = models.is_empty().then(|| &self.idle_all[kind.index()]);
        let named = models.iter().filter_map(move |model| self.idle.get(&(kind, model.clone())));
        queue::merge(everyone.into_iter().chain(named)).map(|(_, id)| id)
    }
}

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
    pub fn pop(
        &mut self,
        step: &mut Step<'_>,
        caller: UserId,
        name: &str,
        profile: Profile,
        until: Timestamp,
    ) -> Result<HeldPop> {
        let amount = profile.amount as usize;
        let worker = self.check_in(step, caller, name, profile)?;
        // A worker that forgets its pops must not fill the index: its oldest one is answered.
        if let Some(oldest) = self.offers.oldest_pop_of_many(worker) {
            self.end_pop(step, oldest);
        }
        let Some(known) = self.fleet.get(worker) else { return Err(Error::WorkerNotFound(name.to_owned())) };
        let maintenance = known.maintenance.clone();
        let offer = self.offers.add(worker, &known.profile, amount, Some(until), step.now);
        self.offers.list(offer);
        let is_served = self.serve(step, offer);
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
    pub fn open_stream(
        &mut self,
        step: &mut Step<'_>,
        caller: UserId,
        name: &str,
        profile: Profile,
        credits: usize,
        held: &[AttemptId],
    ) -> Result<HeldStream> {
        let worker = self.check_in(step, caller, name, profile)?;
        self.replace_streams(step, worker, step.now, held);
        let Some(known) = self.fleet.get(worker) else { return Err(Error::WorkerNotFound(name.to_owned())) };
        let offer = self.offers.add(worker, &known.profile, credits, None, step.now);
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
            self.close(step, *id, Closed::Returned);
        }
    }

    /// A stream ended: what its worker had accepted waits for it a while, the rest goes back.
    pub fn close_stream(&mut self, step: &mut Step<'_>, offer: OfferId) {
        self.close_stream_keeping(step, offer, &[]);
    }

    fn close_stream_keeping(&mut self, step: &mut Step<'_>, offer: OfferId, held: &[AttemptId]) {
        let Some(removed) = self.offers.remove(offer) else { return };
        self.seen(step.now, removed.worker);
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
        let skipped = self.skipped(removed.worker, removed.kind);
        step.deliver(offer, Push::Empty { skipped });
    }

    fn skipped(&self, worker: WorkerId, kind: Kind) -> std::collections::BTreeMap<&'static str, usize> {
        let mut skips = Skips::default();
        if let Some(worker) = self.fleet.get(worker) {
            let owner = self.accounts.get(worker.owner);
            for place in self.queue.all(kind).take(SKIPS_OF) {
                let request = &self.requests[&place.request].accepted;
                skips.add(&Pair::new(request, self.accounts.get(request.owner), worker, owner));
            }
        }
        skips.into_counts(kind)
    }

    /// Finds work for an offer with room; true if it got some.
    pub(super) fn serve(&mut self, step: &mut Step<'_>, offer: OfferId) -> bool {
        let Some(request) = self.offers.get(offer).and_then(|offer| self.pick(offer.worker)) else {
            return false;
        };
        self.propose(step, offer, request)
    }

    /// The first request that a worker may take: those it serves first (its owner's and those of its
    /// priority users), then all that its models allow.
    fn pick(&self, worker: WorkerId) -> Option<RequestId> {
        let worker = self.fleet.get(worker)?;
        let owner = self.accounts.get(worker.owner);
        let may = |place: &queue::Place| {
            let request = &self.requests[&place.request];
            let has_waiting = request.jobs.iter().any(|job| matches!(job.state, JobState::Waiting));
            let requester = self.accounts.get(request.accepted.owner);
            has_waiting
                && matching::refusal(&Pair::new(&request.accepted, requester, worker, owner)).is_none()
        };
        let profile = &worker.profile;
        let first: Vec<_> =
            [worker.owner].into_iter().chain(profile.priority_users.iter().copied()).collect();
        let preferred = self.queue.of_owners(profile.kind(), &first).find(may);
        let anyone = || self.queue.for_models(profile.kind(), &profile.models).find(may);
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
        self.offers.with_room(request.kind(), &request.accepted.spec.models).find(|offer| {
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
        let model = draw::choose_model(step.dice, &spec.models, &worker.profile.models);
        let room = self.offers.room(offer_id).min(worker.profile.amount.max(1) as usize);
        let safe = match (&spec.params, &worker.profile.skills) {
            (Params::Image(image), Skills::Image(skills)) => {
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
