//! Which request an offer gets, and which offer a request.
//!
//! A worker serves first those whom it prefers: its owner, and the accounts that it names. Then it takes of
//! what its models allow. Both times it walks lanes in the one order; what it may not take for its shape it
//! leaves behind as a whole, so a pop does not cost more for how many stand before the one that it gets.
//!
//! What a shape does not say (the words of a prompt, whether who asks can pay) is asked of each request,
//! and of no more than a [budget](super::budget) allows.

use std::collections::HashMap;

use super::{
    budget::Budget,
    index::{Lane as Wanted, Offer},
};
use crate::{
    domain::{OfferId, RequestId, UserId, request::Kind},
    engine::{
        Effect, Engine, Step, draw,
        matching::{self, Able, Asked, Pair, Shape},
        queue::{Head, Lane, ShapeId, Walk},
        request::{JobState, Request},
    },
};

impl Engine {
    /// Finds work for an offer with room; true if it got some.
    pub(in crate::engine) fn serve(&mut self, step: &mut Step<'_>, offer: OfferId) -> bool {
        match self.offers.get(offer).and_then(|offer| self.pick(offer)) {
            Some(request) => self.propose(step, offer, request),
            None => self.show_decoy(step, offer),
        }
    }

    /// The first request that a paused worker could have, were it not paused, and was not shown yet.
    pub(in crate::engine) fn pick_decoy(&self, offer: &Offer) -> Option<RequestId> {
        let abilities = self.abilities(offer);
        let worker = abilities.first().map(|(_, able)| able.worker)?;
        if !worker.standing.is_paused || worker.maintenance.is_some() || !self.decoys.has_room(worker.id) {
            return None;
        }
        self.pick_any(&abilities, offer.lanes(), &mut Budget::default(), Aim::Decoy)
    }

    /// What a worker can do, kind by kind.
    pub(super) fn abilities<'a>(&'a self, offer: &Offer) -> Vec<(Kind, Able<'a>)> {
        let kinds = offer.lanes().iter().map(|lane| lane.0);
        kinds.filter_map(|kind| Some((kind, self.able(offer.worker, kind)?))).collect()
    }

    fn pick(&self, offer: &Offer) -> Option<RequestId> {
        let abilities = self.abilities(offer);
        let mut budget = Budget::default();
        if let Some(found) = self.pick_preferred(&abilities, &mut budget) {
            return Some(found);
        }
        let in_maintenance = abilities.first().is_some_and(|(_, able)| able.worker.maintenance.is_some());
        if in_maintenance { None } else { self.pick_any(&abilities, offer.lanes(), &mut budget, Aim::Job) }
    }

    /// The first request of those whom the worker serves first.
    fn pick_preferred(&self, abilities: &[(Kind, Able<'_>)], budget: &mut Budget) -> Option<RequestId> {
        let (mut lanes, mut of): (Vec<&Lane>, Vec<(&Able<'_>, UserId)>) = (Vec::new(), Vec::new());
        for (kind, able) in abilities {
            for owner in able.preferred() {
                if let Some(lane) = self.queue.lane_of(*kind, owner) {
                    lanes.push(lane);
                    of.push((able, owner));
                }
            }
        }
        let mut walk = Walk::over(lanes);
        while let Some(head) = walk.step() {
            let (able, owner) = of[head.lane];
            let is_own = owner == able.worker.owner;
            let suits = |shape: &Shape| Aim::Job.suits(&Pair::of_preferred(shape, able, is_own));
            match self.look(head, able, suits, budget, Aim::Job) {
                Look::Taken => return Some(head.place.request),
                Look::Passed => walk.pass(head),
                Look::Unsuitable => {}
            }
        }
        None
    }

    /// The first request that the worker's models allow. Those whom it serves first were looked at before:
    /// here they are as all others.
    fn pick_any(
        &self,
        abilities: &[(Kind, Able<'_>)],
        wanted: &[Wanted],
        budget: &mut Budget,
        aim: Aim,
    ) -> Option<RequestId> {
        let (mut lanes, mut of): (Vec<&Lane>, Vec<&Able<'_>>) = (Vec::new(), Vec::new());
        for (kind, able) in abilities {
            let models = wanted.iter().find(|lane| lane.0 == *kind).map_or(&[][..], |lane| &lane.1);
            for lane in self.queue.lanes_for(*kind, models) {
                lanes.push(lane);
                of.push(able);
            }
        }
        let mut known: HashMap<ShapeId, bool> = HashMap::new();
        let mut walk = Walk::over(lanes);
        while let Some(head) = walk.step() {
            let able = of[head.lane];
            let suits = |shape: &Shape| {
                *known.entry(head.shape).or_insert_with(|| aim.suits(&Pair::of_strangers(shape, able)))
            };
            match self.look(head, able, suits, budget, aim) {
                Look::Taken => return Some(head.place.request),
                Look::Passed => walk.pass(head),
                Look::Unsuitable => {}
            }
        }
        None
    }

    /// Looks at the next request of a run: as one of its shape, and then by itself, if there is anything
    /// that its shape does not say.
    fn look(
        &self,
        head: Head,
        able: &Able<'_>,
        suits: impl FnOnce(&Shape) -> bool,
        budget: &mut Budget,
        aim: Aim,
    ) -> Look {
        let Some(request) = self.requests.get(&head.place.request) else { return Look::Passed };
        let shape = self.queue.shape(head.shape);
        if shape.is_some_and(|shape| !suits(shape)) {
            return Look::Unsuitable;
        }
        let Some(own) = self.queue.shape_in_lanes(head.place.request) else { return Look::Passed };
        let asks_each = matching::asks_each(own, able);
        if asks_each && !budget.may_look(&request.accepted.spec.prompt, able) {
            return Look::Unsuitable;
        }
        let is_fit = (shape.is_some() && !asks_each) || aim.suits(&Pair::new(own, self.asked(request), able));
        let is_fit = is_fit && (aim == Aim::Job || !self.decoys.were_shown(able.worker.id, request.id()));
        match is_fit && request.waits_for(&able.worker.profile.models) {
            true => Look::Taken,
            false => Look::Passed,
        }
    }

    pub(in crate::engine) fn asked<'a>(&'a self, request: &'a Request) -> Asked<'a> {
        let requester = self.accounts.get(request.accepted.owner);
        Asked { request: &request.accepted, requester }
    }

    /// Offers the waiting jobs of a request to the workers that wait.
    pub(in crate::engine) fn place_request(&mut self, step: &mut Step<'_>, id: RequestId) {
        while let Some(offer) = self.taker(id) {
            if !self.propose(step, offer, id) {
                return;
            }
        }
    }

    fn taker(&self, id: RequestId) -> Option<OfferId> {
        let request = self.requests.get(&id)?;
        request.jobs.iter().find(|job| matches!(job.state, JobState::Waiting))?;
        let shape = self.queue.shape_in_lanes(id)?;
        let asked = self.asked(request);
        self.offers.with_room(request.kind(), &shape.models).find(|offer| {
            let worker = self.offers.get(*offer).map(|offer| offer.worker);
            let able = worker.and_then(|worker| self.able(worker, request.kind()));
            able.is_some_and(|able| matching::refusal(&Pair::new(shape, asked, &able)).is_none())
        })
    }

    /// Asks for as many jobs of a request as the offer has room for and its worker takes safely.
    fn propose(&mut self, step: &mut Step<'_>, offer_id: OfferId, id: RequestId) -> bool {
        let Some(offer) = self.offers.get(offer_id) else { return false };
        let Some(request) = self.requests.get(&id) else { return false };
        let Some(able) = self.able(offer.worker, request.kind()) else { return false };
        let (spec, said) = (&request.accepted.spec, able.said);
        let served = offer.models(request.kind());
        let runs = served.iter().filter(|model| able.facts.runs(model, &said.bridge));
        let model = draw::choose_model(step.dice, &spec.models, runs);
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

/// What a worker is looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Aim {
    /// A job.
    Job,
    /// Something to show one that is paused.
    Decoy,
}

impl Aim {
    fn suits(self, pair: &Pair<'_>) -> bool {
        match (matching::refusal(pair), self) {
            (None, Self::Job) => true,
            (Some(rule), Self::Decoy) => std::ptr::eq(rule, &matching::PAUSED),
            (None, Self::Decoy) | (Some(_), Self::Job) => false,
        }
    }
}

/// What came of a look at the next request of a run.
enum Look {
    /// The worker may have it.
    Taken,
    /// Not this one; the next may do.
    Passed,
    /// None of the run.
    Unsuitable,
}
