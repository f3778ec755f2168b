//! Step 4: grant, renew, expire, hand back.
//!
//! An attempt begins when its claim is confirmed and ends in one of three ways: settled by a result,
//! faulted (reported, or its lease expired), or returned without blame (never accepted, stream cut
//! and not taken up again, request cancelled). Once it is closed nothing opens it again: a result
//! that comes later is told so.

use std::time::Duration;

use super::{
    Claim, ClaimId, Effect, Engine, Grant, Push, Step, Timer, draw, forms,
    request::{JobState, Lease},
};
use crate::domain::{
    AttemptId, Error, Kudos, OfferId, RequestId, Result, UserId, WorkerId,
    event::Event,
    lease::{Attempt, Closed, Held},
    record::Record,
    request::Kind,
    worker::WorkerChange,
};

/// A lease is extended by reports to this many times its length at most.
pub const MAX_EXTENSIONS: u32 = 20;

/// What a worker says of a job it holds. Nothing but the ID: accepted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// More text.
    pub text: String,
    /// Bytes reported before `text`; `None`: right after the last.
    pub offset: Option<u64>,
    /// Steps done, and steps in all.
    pub progress: Option<(u32, u32)>,
    /// A picture of how far it is was stored; the inner number: after so many steps.
    pub preview: Option<Option<u32>>,
}

/// What of a report was not known yet.
fn fresh_text<'a>(lease: &Lease, id: AttemptId, report: &'a Report) -> Result<&'a str> {
    if lease.is_quiet {
        return Ok("");
    }
    let known = lease.reported.len();
    let offset = report.offset.unwrap_or(known as u64);
    if offset > known as u64 {
        return Err(Error::TokenGap { attempt: id, offset, known: known as u64 });
    }
    let repeated = known - offset as usize;
    let fresh = report.text.get(repeated.min(report.text.len())..);
    fresh.ok_or_else(|| Error::BadRequest("offset falls into the middle of a character".into()))
}

impl Engine {
    /// Marks up to `most` waiting jobs as meant for an offer, and draws their attempts.
    pub(super) fn draw_claim(
        &mut self,
        step: &mut Step<'_>,
        offer: OfferId,
        id: RequestId,
        model: String,
        most: usize,
    ) -> Option<Claim> {
        let to = self.offers.get(offer)?;
        let (worker, held) = (to.worker, if to.is_stream { Held::Stream } else { Held::Pop });
        let request = self.requests.get_mut(&id)?;
        let profile = &self.fleet.get(worker)?.profile;
        let (served, said) = (&profile.models, profile.for_kind(request.kind()));
        let extra_slow = said.and_then(|said| said.skills.image()).is_some_and(|skills| skills.extra_slow);
        let spec = request.accepted.spec.clone();
        let large = spec.models.iter().any(|model| draw::is_large(self.models.baseline(model)));
        let expires_at = step.now.plus(Duration::from_secs(spec.ttl_seconds(large, extra_slow)));
        let waiting_before = request.jobs.iter().filter(|job| matches!(job.state, JobState::Waiting)).count();
        let seed = draw::seed(step.dice, &spec.params, waiting_before);
        let claim = ClaimId(self.next_claim);
        self.next_claim += 1;
        let mut attempts = Vec::new();
        for (index, job) in request.jobs.iter_mut().enumerate() {
            if attempts.len() == most
                || !matches!(job.state, JobState::Waiting)
                || !forms::is_served(&spec, index, served)
            {
                continue;
            }
            let form = forms::form_of(&spec, index).map(ToString::to_string);
            job.state = JobState::Claimed(claim);
            job.attempts += 1;
            attempts.push(Attempt {
                id: AttemptId(step.dice.uuid()),
                job: index,
                number: job.attempts,
                worker,
                model: form.unwrap_or_else(|| model.clone()),
                seed,
                held,
                granted_at: step.now,
                expires_at,
            });
        }
        let jobs: Vec<_> = attempts.iter().map(|attempt| attempt.job).collect();
        self.queue.change_jobs(request.place, &request.accepted, &jobs, false);
        (!attempts.is_empty()).then_some(Claim {
            id: claim,
            request: id,
            kind: request.kind(),
            attempts,
            offer,
        })
    }

    /// The answer to a claim: the jobs are this worker's.
    ///
    /// If the request was cancelled or failed while the claim was out, they are nobody's any more.
    pub fn claimed(&mut self, step: &mut Step<'_>, id: ClaimId) {
        let wanted =
            |claim: &Claim| self.requests.get(&claim.request).is_some_and(|request| !request.is_over());
        if self.claims.get(&id).is_some_and(|claim| !wanted(claim) || !self.is_claimed(claim)) {
            return self.lost(step, id);
        }
        let Some(claim) = self.claims.remove(&id) else { return };
        let Some(request) = self.requests.get_mut(&claim.request) else { return };
        let is_stream = self.offers.get(claim.offer).map(|offer| offer.is_stream);
        let spec = request.accepted.spec.clone();
        let is_extra_slow = claim.attempts.first().is_some_and(|attempt| {
            let skills = self.fleet.get(attempt.worker).and_then(|worker| worker.profile.skills.image());
            skills.is_some_and(|skills| skills.extra_slow)
        });
        let worker_name = claim
            .attempts
            .first()
            .and_then(|attempt| self.fleet.get(attempt.worker))
            .map_or_else(String::new, |worker| worker.name.clone());
        let mut ttl = Duration::ZERO;
        for attempt in &claim.attempts {
            ttl = attempt.expires_at.since(attempt.granted_at);
            let accept_by = step.now.plus(self.rules.accept_within);
            let lease = Lease {
                attempt: attempt.clone(),
                offer: is_stream.unwrap_or(false).then_some(claim.offer),
                accepted: attempt.held == Held::Pop,
                cancelled: false,
                deadline: (attempt.held == Held::Stream).then_some(accept_by),
                ttl,
                stored_expiry: attempt.expires_at,
                reported: String::new(),
                progress: None,
                told_bytes: 0,
                is_quiet: false,
                borrowed_from: None,
            };
            self.timers.insert((lease.due(), Timer::Lease(attempt.id)));
            self.places.insert(attempt.id, (claim.request, attempt.job));
            self.holds.add(request.kind(), attempt.worker, attempt.id);
            request.jobs[attempt.job].state = JobState::Held(Box::new(lease));
            request.is_ours = true;
            step.persist(Record::AttemptOpened { request: claim.request, attempt: attempt.clone() });
            step.tell(
                claim.request,
                Event::Assigned {
                    job: attempt.job,
                    attempt: attempt.number,
                    worker: attempt.worker,
                    worker_name: worker_name.clone(),
                    model: attempt.model.clone(),
                },
            );
        }
        // Who is extra slow gets an hour rather than twenty minutes.
        let keep = self.rules.keep * if is_extra_slow { 3 } else { 1 };
        let keep = step.now.plus(keep).max(step.now.plus(ttl));
        if keep > request.expires_at {
            request.expires_at = keep;
            step.persist(request.moved(Kudos::ZERO));
        }
        let attempts: Vec<_> = claim.attempts.iter().map(|attempt| attempt.id).collect();
        match is_stream {
            // The pop or stream went away while the claim was out.
            None => self.undelivered(step, &attempts),
            Some(_) => {
                let grant = Grant {
                    attempts: claim.attempts,
                    request: claim.request,
                    spec,
                    ttl_seconds: ttl.as_secs(),
                };
                step.deliver(claim.offer, Push::Grant(grant));
                self.offers.granted(claim.offer);
                self.end_if_complete(step, claim.offer);
            }
        }
    }

    /// The answer to a claim: somebody else has the jobs.
    pub fn lost(&mut self, step: &mut Step<'_>, id: ClaimId) {
        let Some(claim) = self.claims.remove(&id) else { return };
        self.offers.drop_claim(claim.offer, claim.attempts.len());
        for attempt in &claim.attempts {
            self.lose(step, id, claim.request, attempt);
        }
        // It may have been cancelled meanwhile, with nothing open but these.
        self.conclude(step, claim.request);
        self.place_request(step, claim.request);
        self.fill(step, claim.offer);
        self.end_if_complete(step, claim.offer);
        if self.offers.is_over(claim.offer, step.now) {
            self.end_pop(step, claim.offer);
        }
    }

    /// Takes a report on an open attempt; true if it counted, false if it was a repetition.
    ///
    /// # Errors
    /// [`Error::InvalidJobId`], [`Error::WrongCredentials`], [`Error::AbortedGen`] once the attempt is
    /// closed, [`Error::TokenGap`], [`Error::BadRequest`] for an offset inside a character.
    pub fn report(
        &mut self,
        step: &mut Step<'_>,
        caller: UserId,
        id: AttemptId,
        report: Report,
    ) -> Result<bool> {
        if let Some(answer) = self.report_decoy(step.now, caller, id) {
            return answer;
        }
        let (request_id, job) = self.find_attempt(caller, id)?;
        let rules = &self.rules;
        let Some(request) = self.requests.get_mut(&request_id) else {
            return Err(Error::InvalidJobId(id.to_string()));
        };
        let JobState::Held(lease) = &mut request.jobs[job].state else { return Err(Error::AbortedGen(id)) };
        if lease.attempt.id != id {
            return Err(Error::AbortedGen(id));
        }
        let fresh = fresh_text(lease, id, &report)?;
        let is_new =
            !lease.accepted || !fresh.is_empty() || report.progress.is_some() || report.preview.is_some();
        if !lease.accepted {
            lease.accepted = true;
            if let Some(offer) = lease.offer {
                self.offers.heard(offer);
                if !lease.cancelled {
                    lease.deadline = None;
                }
            }
        }
        let longest = lease.attempt.granted_at.plus(lease.ttl * MAX_EXTENSIONS);
        lease.attempt.expires_at = lease.attempt.expires_at.max(step.now.plus(lease.ttl).min(longest));
        // Records need not follow every report: a lease that is behind there is never shorter than half.
        if lease.attempt.expires_at.since(lease.stored_expiry) > lease.ttl / 2 {
            lease.stored_expiry = lease.attempt.expires_at;
            step.persist(Record::LeaseMoved { attempt: id, expires_at: lease.stored_expiry });
        }
        let (worker, number) = (lease.attempt.worker, lease.attempt.number);
        if !fresh.is_empty() {
            let event = Event::Token { job, attempt: number, text: fresh.to_owned() };
            // What no longer fits is told with the result.
            if lease.may_tell(&event, rules.max_told_bytes) {
                lease.reported.push_str(fresh);
                step.effects.push(Effect::Murmur { request: request_id, event });
            } else {
                lease.is_quiet = true;
            }
        }
        if let Some((current_step, total_steps)) = report.progress
            && lease.progress != report.progress
        {
            let event = Event::Progress { job, attempt: number, current_step, total_steps };
            if lease.may_tell(&event, rules.max_told_bytes) {
                lease.progress = report.progress;
                step.effects.push(Effect::Murmur { request: request_id, event });
            }
        }
        if let Some(step_count) = report.preview {
            let event = Event::Preview { job, attempt: number, id, step: step_count };
            if lease.may_tell(&event, rules.max_told_bytes) {
                step.effects.push(Effect::Murmur { request: request_id, event });
            }
        }
        self.seen(step.now, worker);
        Ok(is_new)
    }

    /// Whether an attempt is open.
    pub fn is_open(&self, id: AttemptId) -> bool {
        let place = self.places.get(&id).and_then(|(request, job)| Some((self.requests.get(request)?, *job)));
        self.decoys.is_open(id)
            || place.is_some_and(|(request, job)| {
                matches!(&request.jobs[job].state, JobState::Held(lease) if lease.attempt.id == id)
            })
    }

    /// Where an attempt of the caller's is.
    pub(super) fn find_attempt(&self, caller: UserId, id: AttemptId) -> Result<(RequestId, usize)> {
        let unknown = || Error::InvalidJobId(id.to_string());
        let (request_id, job) = *self.places.get(&id).ok_or_else(unknown)?;
        let request = self.requests.get(&request_id).ok_or_else(unknown)?;
        let worker = match &request.jobs[job].state {
            JobState::Held(lease) if lease.attempt.id == id => Some(lease.attempt.worker),
            JobState::Done(outcome) if outcome.attempt == id => Some(outcome.worker),
            _ => None,
        };
        let owner = worker.and_then(|worker| self.fleet.get(worker)).map(|worker| worker.owner);
        if owner.is_some_and(|owner| owner != caller) {
            return Err(Error::WrongCredentials);
        }
        Ok((request_id, job))
    }

    /// Gives an attempt back to a worker that presents it on a new stream.
    pub(super) fn reattach(
        &mut self,
        step: &mut Step<'_>,
        id: AttemptId,
        worker: WorkerId,
        offer: OfferId,
    ) -> bool {
        let Some((request, job)) = self.places.get(&id) else { return false };
        let Some(request) = self.requests.get_mut(request) else { return false };
        let JobState::Held(lease) = &mut request.jobs[*job].state else { return false };
        if lease.attempt.id != id || lease.attempt.worker != worker || lease.cancelled {
            return false;
        }
        lease.offer = Some(offer);
        lease.accepted = true;
        lease.deadline = None;
        lease.attempt.held = Held::Stream;
        self.timers.insert((lease.attempt.expires_at.max(step.now), Timer::Lease(id)));
        true
    }

    /// Ends an attempt without a result.
    pub(super) fn close(&mut self, step: &mut Step<'_>, id: AttemptId, how: Closed) {
        let Some((request_id, job)) = self.places.get(&id).copied() else { return };
        let Some(request) = self.requests.get_mut(&request_id) else { return };
        let JobState::Held(lease) = &request.jobs[job].state else { return };
        if lease.attempt.id != id {
            return;
        }
        let (worker, offer, cancelled) = (lease.attempt.worker, lease.offer, lease.cancelled);
        let how = if cancelled { Closed::Returned } else { how };
        request.closed.insert(id, how);
        request.jobs[job].state = JobState::Dropped;
        self.holds.remove(request.kind(), worker, id);
        step.persist(Record::AttemptClosed { request: request_id, attempt: id, how });
        if how == Closed::Faulted {
            request.faults += 1;
            request.jobs[job].failed.insert(id);
            let change = WorkerChange { uncompleted: 1, ..WorkerChange::default() };
            if let Some(worker) = self.fleet.get_mut(worker) {
                worker.stats.add(&change);
            }
            step.persist(Record::WorkerCounted { worker, change });
        }
        // Also if nothing was said yet: who watches was told that a worker has it.
        if !cancelled {
            step.tell(request_id, Event::Reset { job: Some(job) });
        }
        // One whose time is over waits all the same: its own timer ends it, and says why.
        let is_over = request.cancelled || request.faulted;
        let counts = request.kind() != Kind::Alchemy;
        if !is_over && counts && request.faults >= self.rules.max_faults {
            request.faulted = true;
            let faults = request.faults;
            step.persist(request.moved(Kudos::ZERO));
            let message = self.why_it_failed(faults);
            step.tell(request_id, Event::Faulted { message });
            self.drop_waiting(request_id);
        } else if !is_over {
            self.requeue(request_id, job);
        }
        if let Some(offer) = offer {
            self.offers.take_room(offer, -1);
        }
        if how == Closed::Faulted {
            self.count_drop(step, worker);
        }
        self.conclude(step, request_id);
        self.place_request(step, request_id);
        if let Some(offer) = offer {
            self.serve(step, offer);
        }
    }

    /// Why a request failed after so many faults, for people.
    pub(super) fn why_it_failed(&self, faults: usize) -> String {
        match faults >= self.rules.max_faults {
            true => format!("{faults} attempts at this request failed"),
            false => "the request expired before it was done".into(),
        }
    }

    /// Puts a job back to its place in the lanes.
    pub(super) fn requeue(&mut self, id: RequestId, job: usize) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        if request.cancelled || request.faulted || request.done || request.is_spent(job) {
            request.jobs[job].state = JobState::Dropped;
            return;
        }
        request.jobs[job].state = JobState::Waiting;
        self.queue.change_jobs(request.place, &request.accepted, &[job], true);
    }

    /// Tells the workers of a cancelled request; those on streams have a while to hand in or stop.
    pub(super) fn cancel_held(&mut self, step: &mut Step<'_>, id: RequestId) {
        if self.kind_of_request(id) == Some(Kind::Alchemy) {
            return self.void_held(step, id);
        }
        let Some(request) = self.requests.get_mut(&id) else { return };
        let deadline = step.now.plus(self.rules.cancel_grace);
        for job in &mut request.jobs {
            let JobState::Held(lease) = &mut job.state else { continue };
            if lease.cancelled || !lease.is_stream() {
                continue;
            }
            lease.cancelled = true;
            lease.deadline = Some(deadline);
            self.timers.insert((deadline, Timer::Lease(lease.attempt.id)));
            if let Some(offer) = lease.offer {
                let attempts = vec![lease.attempt.id];
                step.deliver(offer, Push::Cancel { attempts, reason: "the request was cancelled".into() });
            }
        }
    }
}
