//! Step 5: accept a result, settle kudos, finish the request.

use std::sync::Arc;

use super::{
    Effect, Engine, Step,
    request::{JobState, Lease},
};
use crate::domain::{
    AttemptId, Error, Kudos, RequestId, Result, UserId,
    event::Event,
    kudos::Posting,
    lease::{Attempt, Closed},
    news::Delivered,
    price,
    record::Record,
    request::{Kind, Params, Spec},
    result::{Delivery, Outcome, Product, Verdict},
    stats::Counted,
    user::{Role, UserStats, Work},
    webhook::{self, Webhook},
    worker::WorkerChange,
};

/// Bytes of a result that are accepted for each token asked for, and for any text.
const BYTES_PER_TOKEN: usize = 256;
const SHORT_TEXT: usize = 8192;

/// What a worker hands in.
#[derive(Clone, Debug, PartialEq)]
pub enum Submission {
    /// A result.
    Delivered(Delivery),
    /// It could not do it.
    Faulted,
}

/// What a delivered job is worth, and to whom.
struct Price {
    /// What the worker is told.
    reward: Kudos,
    /// What its owner is credited with.
    credit: Kudos,
    /// What the requester pays.
    charge: Kudos,
    /// Work done: pixel-steps, or tokens.
    things: f64,
}

impl Engine {
    /// Settles an attempt and returns the reward. A result settles if and only if its attempt is open. A
    /// fault of one that has ended is no news; where other brokers are, only Records know that it has.
    ///
    /// # Errors
    /// [`Error::InvalidJobId`] (Records may know more), [`Error::WrongCredentials`],
    /// [`Error::DuplicateGen`], [`Error::AbortedGen`].
    pub fn settle(
        &mut self,
        step: &mut Step<'_>,
        caller: UserId,
        id: AttemptId,
        submission: Submission,
    ) -> Result<Kudos> {
        if let Some(answer) = self.settle_decoy(step, caller, id, &submission) {
            return answer;
        }
        let (request_id, job) = self.find_attempt(caller, id)?;
        let state = self.requests.get(&request_id).map(|request| &request.jobs[job].state);
        match (state, &submission) {
            (Some(JobState::Held(lease)), _) if lease.attempt.id == id => {}
            (Some(JobState::Done(outcome)), _) if outcome.attempt == id => {
                return Err(Error::DuplicateGen { attempt: id, reward: outcome.reward });
            }
            // Another broker may look after it, or have ended it: Records know.
            (_, Submission::Faulted) if !self.peers.are_possible() => return Ok(Kudos::ZERO),
            _ => return Err(Error::AbortedGen(id)),
        }
        match submission {
            Submission::Faulted => {
                self.close(step, id, Closed::Faulted);
                Ok(Kudos::ZERO)
            }
            Submission::Delivered(delivery) => {
                self.check_length(request_id, &delivery)?;
                Ok(self.deliver(step, request_id, job, delivery))
            }
        }
    }

    /// A text may not be out of all proportion to the tokens that were asked for.
    fn check_length(&self, id: RequestId, delivery: &Delivery) -> Result<()> {
        let params = self.requests.get(&id).map(|request| &request.accepted.spec.params);
        let (Some(Params::Text(params)), Product::Text(text)) = (params, &delivery.product) else {
            return Ok(());
        };
        let most = (params.max_length as usize * BYTES_PER_TOKEN).max(SHORT_TEXT);
        if text.len() > most {
            return Err(Error::BadRequest(format!(
                "the text has {} bytes; for {} tokens {most} are accepted: cut it",
                text.len(),
                params.max_length
            )));
        }
        Ok(())
    }

    /// Whether a caller may settle an attempt now; `None`: its key is nobody's.
    ///
    /// # Errors
    /// As [`Engine::settle`], an unknown job before an unknown key.
    pub fn may_settle(&self, caller: Option<UserId>, id: AttemptId) -> Result<()> {
        if let Some(answer) = self.may_settle_decoy(caller, id) {
            return answer;
        }
        let unknown = || Error::InvalidJobId(id.to_string());
        self.places.get(&id).ok_or_else(unknown)?;
        let (request, job) = self.find_attempt(caller.ok_or(Error::InvalidApiKey)?, id)?;
        match self.requests.get(&request).map(|request| &request.jobs[job].state) {
            Some(JobState::Held(lease)) if lease.attempt.id == id => Ok(()),
            Some(JobState::Done(outcome)) if outcome.attempt == id => {
                Err(Error::DuplicateGen { attempt: id, reward: outcome.reward })
            }
            _ => Err(Error::AbortedGen(id)),
        }
    }

    pub(super) fn deliver(
        &mut self,
        step: &mut Step<'_>,
        id: RequestId,
        job: usize,
        delivery: Delivery,
    ) -> Kudos {
        let Some(request) = self.requests.get_mut(&id) else { return Kudos::ZERO };
        // An open attempt has its worker: workers are never forgotten while they hold one.
        let JobState::Held(lease) = std::mem::replace(&mut request.jobs[job].state, JobState::Dropped) else {
            return Kudos::ZERO;
        };
        let Lease { attempt, offer, reported, .. } = *lease;
        let (owner, kind) = (request.accepted.owner, request.kind());
        let key = request.accepted.spec.origin.shared_key;
        // Nobody is told of what was cancelled.
        let webhook = request.accepted.spec.webhook.as_deref().filter(|_| !delivery.product.is_void());
        let webhook = webhook.map(webhook::host_of);
        self.holds.remove(kind, attempt.worker, attempt.id);
        let spec = request.accepted.spec.clone();
        let price = self.price(&spec, &attempt, &delivery);
        let text = match &delivery.product {
            Product::Text(text) if kind == Kind::Text => Some(text.clone()),
            _ => None,
        };
        let now = step.now;
        let is_void = delivery.product.is_void();
        let Some(worker) = self.fleet.get_mut(attempt.worker) else { return Kudos::ZERO };
        let speed = price.things / now.since(attempt.granted_at).as_secs_f64().max(0.001);
        let change = WorkerChange {
            fulfilled: 1,
            things: price.things,
            generated: price.credit,
            speed: (!is_void).then_some(speed),
            ..WorkerChange::default()
        };
        worker.stats.add(&change);
        let worker_owner = worker.owner;
        let outcome = Arc::new(Outcome {
            attempt: attempt.id,
            job,
            number: attempt.number,
            product: delivery.product,
            seed: delivery.seed,
            verdict: delivery.verdict,
            remarks: delivery.remarks,
            extras: delivery.extras,
            worker: attempt.worker,
            worker_name: worker.name.clone(),
            model: attempt.model,
            reward: price.reward,
            settled_at: now,
        });
        step.persist(Record::Settled { request: id, outcome: outcome.clone() });
        if let Some(host) = webhook {
            let (attempt, request) = (outcome.attempt, id);
            step.persist(Record::WebhookDue(Webhook { attempt, request, host, tries: 0, made_at: now }));
        }
        step.persist(Record::WorkerCounted { worker: attempt.worker, change });
        self.count_for_team(step, attempt.worker, kind, price.credit);
        if let Some(counted) = Counted::of(&spec, &outcome.model, now).filter(|_| !is_void) {
            step.persist(Record::JobCounted(counted));
        }
        let charged = self
            .accounts
            .charge(step, owner, price.charge, |amount, at| Posting::charge(attempt.id, owner, amount, at));
        self.spend(step, id, owner, key, price.charge);
        self.earn(step, worker_owner, price.credit, attempt.id);
        let mut work = [Work::default(); Kind::COUNT];
        work[kind.index()] = Work { jobs: 1, things: price.things };
        let mut used = work;
        used[kind.index()].things *= self.accounts.get(owner).map_or(1.0, |user| user.about.usage_multiplier);
        self.accounts.tally(step, owner, UserStats { requested: used, ..UserStats::default() });
        self.accounts.tally(step, worker_owner, UserStats { fulfilled: work, ..UserStats::default() });
        if !is_void {
            self.census.delivered(now, kind, &outcome.model, price.things, speed);
        }
        if self.peers.are_possible() && !is_void {
            let (model, things) = (outcome.model.clone(), price.things);
            step.effects.push(Effect::Delivered(Delivered { kind, model, things, speed }));
        }
        self.seen(now, attempt.worker);
        if let Some(request) = self.requests.get_mut(&id) {
            request.consumed += charged;
            request.expires_at = request.expires_at.max(now.plus(self.rules.keep));
            request.jobs[job].state = JobState::Done(outcome.clone());
            step.persist(request.moved(charged));
        }
        self.judge_speed(step, attempt.worker, &outcome.model, speed);
        if let Some(text) = text {
            tell_rest(step, id, job, attempt.number, &reported, text);
        }
        if !is_void {
            step.tell(id, Event::Result { job, attempt: attempt.number, outcome });
        }
        if let Some(offer) = offer {
            self.offers.take_room(offer, -1);
        }
        self.conclude(step, id);
        if let Some(offer) = offer {
            self.serve(step, offer);
        }
        price.reward
    }

    /// What a worker is told for a delivery.
    pub(super) fn reward_for(&self, spec: &Spec, attempt: &Attempt, delivery: &Delivery) -> Kudos {
        self.price(spec, attempt, delivery).reward
    }

    /// What a job of a request is worth whatever it is; `None`: that depends.
    pub(super) fn flat_price(&self, spec: &Spec) -> Option<Kudos> {
        let is_targeted = !spec.workers.is_empty() && !spec.worker_blacklist;
        (self.rules.matched_targeting && is_targeted).then_some(price::TARGETED)
    }

    fn price(&self, spec: &Spec, attempt: &Attempt, delivery: &Delivery) -> Price {
        let (model, job) = (attempt.model.as_str(), attempt.job);
        let Some(worker) = self.fleet.get(attempt.worker) else {
            return Price { reward: Kudos::ZERO, credit: Kudos::ZERO, charge: Kudos::ZERO, things: 0.0 };
        };
        let is_withheld = delivery.verdict != Verdict::Ok;
        let bridge = &worker.profile.bridge;
        match (&spec.params, &delivery.product) {
            (Params::Text(text), Product::Text(made)) => {
                let trusted = self.accounts.get(worker.owner).is_some_and(|user| user.is(Role::Trusted));
                let billions = self.models.billions(model);
                let job = self
                    .flat_price(spec)
                    .unwrap_or_else(|| price::text_job(text, &spec.prompt, made, billions, bridge, trusted));
                let paid = if is_withheld { Kudos::ZERO } else { job };
                let things = price::tokens(made, text.max_length);
                Price { reward: job, credit: job, charge: paid + Kudos::whole(1), things }
            }
            (Params::Image(image) | Params::Video(image), _) => {
                let factor = price::image_factor(image, self.models.baseline(model));
                let job = self.flat_price(spec).unwrap_or_else(|| price::image_job(image).times(factor));
                let paid = if is_withheld { Kudos::ZERO } else { job };
                Price {
                    reward: job,
                    credit: job.times(bridge.reward_factor()),
                    charge: price::image_charge(spec, image, paid),
                    things: spec.things(),
                }
            }
            (Params::Alchemy(alchemy), _) => {
                let form = alchemy.forms.get(job).map_or("", |form| &form.name);
                let job = price::form_job(form, alchemy.tiles);
                Price { reward: job, credit: job, charge: price::form_charge(spec, job), things: 1.0 }
            }
            (Params::Text(_), Product::Image | Product::Form(_) | Product::Void) => {
                Price { reward: Kudos::ZERO, credit: Kudos::ZERO, charge: Kudos::ZERO, things: 0.0 }
            }
        }
    }

    /// The model that an attempt's job is run with, or its form; `None` once it has ended without a result.
    pub fn model_of(&self, id: AttemptId) -> Option<String> {
        if let Some(model) = self.decoys.model_of(id) {
            return Some(model);
        }
        let (request, job) = self.places.get(&id)?;
        match &self.requests.get(request)?.jobs.get(*job)?.state {
            JobState::Held(lease) if lease.attempt.id == id => Some(lease.attempt.model.clone()),
            JobState::Done(outcome) if outcome.attempt == id => Some(outcome.model.clone()),
            _ => None,
        }
    }

    /// The kind of an open attempt's job, so that a result of the wrong kind is told apart.
    pub fn kind_of(&self, id: AttemptId) -> Option<Kind> {
        let Some((request, _)) = self.places.get(&id) else { return self.decoys.kind_of(id) };
        self.requests.get(request).map(|request| request.kind())
    }
}

/// Completes the tokens of a job, so that they equal its result: what was not reported yet, or all of
/// it again if what was reported is no beginning of it.
fn tell_rest(
    step: &mut Step<'_>,
    request: RequestId,
    job: usize,
    attempt: u32,
    reported: &str,
    text: String,
) {
    let rest = match text.strip_prefix(reported) {
        Some(rest) => rest.to_owned(),
        None => {
            step.effects.push(Effect::Tell { request, event: Event::Reset { job: Some(job) } });
            text
        }
    };
    if !rest.is_empty() {
        step.tell(request, Event::Token { job, attempt, text: rest });
    }
}
