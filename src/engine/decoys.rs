//! Decoys: what paused workers get of others.
//!
//! Who runs a paused worker is not told that it is one, so it is shown jobs as any other: of requests that
//! it could have were it not paused, with an ID, a lease and links. Nothing comes of them. The request stays
//! where it is, no attempt of it is written down, what is handed in is dropped, and the reward that is told
//! is paid to nobody. No request is shown to a worker twice while that is remembered.
//!
//! What is bounded: the decoys of a worker that are out, and the requests that it is remembered to have been
//! shown. A decoy is forgotten with the end of its lease. Only the broker that showed it knows it.
//!
//! Source: paused workers in the matching section of the v2 contract.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use super::{Engine, Grant, Push, Step, Submission, Timer, draw, forms};
use crate::domain::{
    AttemptId, Error, Kudos, OfferId, RequestId, Result, Timestamp, UserId, WorkerId,
    lease::{Attempt, Held},
    request::{Kind, Spec},
};

/// Decoys of one worker that are remembered at a time: each for as long as its lease, however it ended.
const MOST_OUT: usize = 100;
/// Requests that a worker is remembered to have been shown.
const MOST_SHOWN: usize = 100;

/// The decoys that are out.
#[derive(Default)]
pub(super) struct Decoys {
    known: HashMap<AttemptId, Decoy>,
    workers: HashMap<WorkerId, Shown>,
}

/// What a worker was shown.
#[derive(Default)]
struct Shown {
    out: usize,
    requests: VecDeque<RequestId>,
}

struct Decoy {
    attempt: Attempt,
    /// Whose worker has it.
    owner: UserId,
    spec: Arc<Spec>,
    /// The stream it was pushed on.
    offer: Option<OfferId>,
    end: Option<End>,
}

/// How one ended before its lease did.
#[derive(Clone, Copy)]
enum End {
    /// With a result, for which this reward was told.
    Settled(Kudos),
    Faulted,
}

impl Decoys {
    /// Whether a worker may be shown another one.
    pub fn has_room(&self, worker: WorkerId) -> bool {
        self.workers.get(&worker).is_none_or(|shown| shown.out < MOST_OUT)
    }

    /// Whether a worker was shown a request before.
    pub fn were_shown(&self, worker: WorkerId, request: RequestId) -> bool {
        self.workers.get(&worker).is_some_and(|shown| shown.requests.contains(&request))
    }

    /// The kind of a decoy.
    pub fn kind_of(&self, id: AttemptId) -> Option<Kind> {
        self.known.get(&id).map(|decoy| decoy.spec.kind())
    }

    /// The model that a decoy is to be run with, or its form.
    pub fn model_of(&self, id: AttemptId) -> Option<String> {
        self.known.get(&id).map(|decoy| decoy.attempt.model.clone())
    }

    /// Whether there is such a decoy and its worker still has it.
    pub fn is_open(&self, id: AttemptId) -> bool {
        self.known.get(&id).is_some_and(|decoy| decoy.end.is_none())
    }

    /// Whether there is such a decoy.
    pub fn knows(&self, id: AttemptId) -> bool {
        self.known.contains_key(&id)
    }

    fn add(&mut self, request: RequestId, decoys: Vec<Decoy>) {
        let Some(worker) = decoys.first().map(|decoy| decoy.attempt.worker) else { return };
        let shown = self.workers.entry(worker).or_default();
        shown.out += decoys.len();
        shown.requests.push_back(request);
        if shown.requests.len() > MOST_SHOWN {
            shown.requests.pop_front();
        }
        self.known.extend(decoys.into_iter().map(|decoy| (decoy.attempt.id, decoy)));
    }

    /// Gives one that its worker still has to its new stream; whether there is such a one.
    pub fn reattach(&mut self, id: AttemptId, worker: WorkerId, offer: OfferId) -> bool {
        let is_its_own = |decoy: &&mut Decoy| decoy.end.is_none() && decoy.attempt.worker == worker;
        let Some(decoy) = self.known.get_mut(&id).filter(is_its_own) else { return false };
        decoy.offer = Some(offer);
        true
    }

    /// Ends one, if that is for this account to do; the stream that gets its credit back.
    fn end(&mut self, id: AttemptId, end: End) -> Option<OfferId> {
        let decoy = self.known.get_mut(&id)?;
        decoy.end = Some(end);
        decoy.offer.take()
    }

    /// Forgets what a worker was shown that is no more, or paused no more.
    pub fn forget_worker(&mut self, worker: WorkerId) {
        if self.workers.get(&worker).is_some_and(|shown| shown.out == 0) {
            self.workers.remove(&worker);
        }
    }
}

impl Engine {
    /// Shows a paused worker a job of somebody; true if there was one.
    pub(super) fn show_decoy(&mut self, step: &mut Step<'_>, offer_id: OfferId) -> bool {
        let Some(offer) = self.offers.get(offer_id) else { return false };
        let Some(id) = self.pick_decoy(offer) else { return false };
        let Some(request) = self.requests.get(&id) else { return false };
        let Some(able) = self.able(offer.worker, request.kind()) else { return false };
        let spec = request.accepted.spec.clone();
        let served = offer.models(request.kind());
        let large = spec.models.iter().any(|model| draw::is_large(self.models.baseline(model)));
        let ttl = spec.ttl_seconds(large, able.is_drawing(|skills| skills.extra_slow));
        let model = draw::choose_model(step.dice, &spec.models, served);
        let seed = draw::seed(step.dice, &spec.params, request.waiting());
        let Some(job) = request.waiting_jobs().into_iter().find(|job| forms::is_served(&spec, *job, served))
        else {
            return false;
        };
        let form = forms::form_of(&spec, job).map(ToString::to_string);
        let attempt = Attempt {
            id: AttemptId(step.dice.uuid()),
            job,
            number: request.jobs[job].attempts + 1,
            worker: offer.worker,
            model: form.unwrap_or(model),
            seed,
            held: if offer.is_stream { Held::Stream } else { Held::Pop },
            granted_at: step.now,
            expires_at: step.now.plus(Duration::from_secs(ttl)),
        };
        let decoy = Decoy {
            attempt: attempt.clone(),
            owner: able.worker.owner,
            spec: spec.clone(),
            offer: offer.is_stream.then_some(offer_id),
            end: None,
        };
        self.timers.insert((attempt.expires_at, Timer::Decoy(attempt.id)));
        self.decoys.add(id, vec![decoy]);
        self.offers.take_claim(offer_id, 1);
        let grant = Grant { attempts: vec![attempt], request: id, spec, ttl_seconds: ttl };
        step.deliver(offer_id, Push::Grant(grant));
        self.offers.granted(offer_id);
        self.end_if_complete(step, offer_id);
        true
    }

    /// Whether a caller may settle a decoy; `None`: there is none of this ID.
    pub(super) fn may_settle_decoy(&self, caller: Option<UserId>, id: AttemptId) -> Option<Result<()>> {
        let decoy = self.decoys.known.get(&id)?;
        Some(match (caller, decoy.end) {
            (None, _) => Err(Error::InvalidApiKey),
            (Some(caller), _) if caller != decoy.owner => Err(Error::WrongCredentials),
            (Some(_), None) => Ok(()),
            (Some(_), Some(End::Settled(reward))) => Err(Error::DuplicateGen { attempt: id, reward }),
            (Some(_), Some(End::Faulted)) => Err(Error::AbortedGen(id)),
        })
    }

    /// Takes a result for a decoy, and drops it. The reward is what it would have been.
    pub(super) fn settle_decoy(
        &mut self,
        step: &mut Step<'_>,
        caller: UserId,
        id: AttemptId,
        submission: &Submission,
    ) -> Option<Result<Kudos>> {
        match (self.may_settle_decoy(Some(caller), id)?, submission) {
            (Ok(()), _) => {}
            (Err(Error::AbortedGen(_)), Submission::Faulted) => return Some(Ok(Kudos::ZERO)),
            (Err(error), _) => return Some(Err(error)),
        }
        let Decoy { attempt, spec, .. } = self.decoys.known.get(&id)?;
        let (worker, end) = match submission {
            Submission::Faulted => (attempt.worker, End::Faulted),
            Submission::Delivered(delivery) => {
                let reward = self.reward_for(spec, attempt, delivery);
                (attempt.worker, End::Settled(reward))
            }
        };
        self.seen(step.now, worker);
        if let Some(offer) = self.decoys.end(id, end) {
            self.offers.take_room(offer, -1);
            self.serve(step, offer);
        }
        Some(Ok(match end {
            End::Settled(reward) => reward,
            End::Faulted => Kudos::ZERO,
        }))
    }

    /// What is said of a decoy counts for nothing.
    pub(super) fn report_decoy(
        &mut self,
        now: Timestamp,
        caller: UserId,
        id: AttemptId,
    ) -> Option<Result<bool>> {
        let worker = self.decoys.known.get(&id)?.attempt.worker;
        Some(match self.may_settle_decoy(Some(caller), id)? {
            Ok(()) => {
                self.seen(now, worker);
                Ok(true)
            }
            Err(Error::DuplicateGen { .. }) => Err(Error::AbortedGen(id)),
            Err(error) => Err(error),
        })
    }

    /// A decoy did not reach its worker, or its lease is over: it is forgotten.
    pub(super) fn forget_decoy(&mut self, step: &mut Step<'_>, id: AttemptId) {
        let offer = match self.decoys.is_open(id) {
            true => self.decoys.end(id, End::Faulted),
            false => None,
        };
        let Some(decoy) = self.decoys.known.remove(&id) else { return };
        let worker = decoy.attempt.worker;
        if let Some(shown) = self.decoys.workers.get_mut(&worker) {
            shown.out = shown.out.saturating_sub(1);
        }
        // Who is paused no more, or gone, need not be remembered.
        let is_paused = self.fleet.get(worker).is_some_and(|worker| worker.standing.is_paused);
        if !is_paused {
            self.decoys.forget_worker(worker);
        }
        if let Some(offer) = offer {
            self.offers.take_room(offer, -1);
            self.serve(step, offer);
        }
    }
}

#[cfg(test)]
mod tests;
