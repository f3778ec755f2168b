//! What Records hold of jobs that are not over, and which of it Redis has still to be told.
//!
//! Kept by following what is committed. What Redis is told is where a job stands, not each step it
//! went: so a step may be heard twice, steps that follow fast become one, and while Redis is away
//! nothing grows but by jobs. Steps are recognised by the number of the attempt, which only rises.

mod hearsay;
mod steps;

use std::{
    collections::{HashMap, HashSet, hash_map::Entry as Slot},
    sync::Arc,
};

use crate::domain::{
    AttemptId, RequestId, Timestamp, WorkerId,
    lease::{Attempt, Closed},
    record::{Snapshot, StoredRequest},
    request::{Accepted, Kind},
};

pub use steps::Step;

/// A job: its request, and its index there.
pub type JobId = (RequestId, usize);

/// Where a job stands.
#[derive(Clone, PartialEq, Debug)]
pub enum Stand {
    /// It waits; the number of its next attempt, the attempt that Redis is to take it from, and how that
    /// was closed. Not at all: Records know nothing of it.
    Waiting { number: u32, taken_from: Option<AttemptId>, how: Option<Closed> },
    /// Somebody has it.
    Held(Attempt),
    /// Somebody has it, by this attempt, and another broker sees to that.
    Away(u32),
    /// It has its result, or will never have one.
    Over,
}

/// What Redis is to be told of a job.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Due {
    /// That its lease moved.
    Lease,
    /// That it waits no more. Whoever was given it just before keeps it; not this attempt, which is over.
    Withdrawal(Option<AttemptId>),
    /// Where it stands.
    Stand,
}

struct Request {
    accepted: Accepted,
    /// It was cancelled, or failed: what comes back does not wait again.
    is_over: bool,
    jobs: Vec<Stand>,
}

/// Jobs that are not over.
#[derive(Default)]
pub struct Ledger {
    requests: HashMap<RequestId, Request>,
    attempts: HashMap<AttemptId, JobId>,
    names: HashMap<WorkerId, Arc<str>>,
    due: HashMap<JobId, (Kind, Due)>,
    /// Attempts that this broker looks after.
    own: HashSet<AttemptId>,
    /// Of jobs: attempts that Redis has of them and Records refused.
    refused: HashMap<JobId, AttemptId>,
}

impl Ledger {
    /// Takes over what Records hold. All of it is due.
    pub fn of(snapshot: &Snapshot) -> Self {
        let mut ledger = Self::default();
        for worker in &snapshot.workers {
            ledger.names.insert(worker.id, worker.name.as_str().into());
        }
        for stored in &snapshot.requests {
            ledger.insert(stored);
            let kind = stored.request.spec.kind();
            let Some(request) = ledger.requests.get(&stored.request.id) else { continue };
            for (job, stand) in request.jobs.iter().enumerate() {
                if *stand != Stand::Over {
                    ledger.due.insert((stored.request.id, job), (kind, Due::Stand));
                }
            }
            ledger.close_if_over(stored.request.id);
        }
        ledger
    }

    /// Puts a request in as Records have it.
    fn insert(&mut self, stored: &StoredRequest) {
        let is_over = stored.cancelled || stored.faulted || stored.done;
        let idle = Stand::Waiting { number: 1, taken_from: None, how: None };
        let mut jobs: Vec<_> =
            (0..stored.request.spec.jobs).map(|_| if is_over { Stand::Over } else { idle.clone() }).collect();
        for (job, closed, ..) in &stored.closed {
            if let Some(Stand::Waiting { number, .. }) = jobs.get_mut(*job) {
                *number = (*number).max(closed + 1);
            }
        }
        for attempt in &stored.open {
            if let Some(stand) = jobs.get_mut(attempt.job) {
                *stand = Stand::Held(attempt.clone());
                self.attempts.insert(attempt.id, (stored.request.id, attempt.job));
            }
        }
        for outcome in &stored.outcomes {
            if let Some(stand) = jobs.get_mut(outcome.job) {
                *stand = Stand::Over;
            }
        }
        let request = Request { accepted: stored.request.clone(), is_over, jobs };
        self.requests.insert(stored.request.id, request);
    }

    /// Takes over who looks after what from a ledger before this one.
    pub fn succeed(&mut self, before: &Self) {
        self.own = before.own.iter().filter(|id| self.attempts.contains_key(id)).copied().collect();
    }

    /// Makes all that this broker looks after due, and nothing else.
    pub fn own_due(&mut self) {
        self.due.clear();
        let own: Vec<_> = self.own.iter().filter_map(|id| self.attempts.get(id).copied()).collect();
        for job in own {
            if let Some(request) = self.requests.get(&job.0) {
                let kind = request.accepted.spec.kind();
                self.due.insert(job, (kind, Due::Stand));
            }
        }
    }

    /// Whether this broker looks after an attempt.
    pub fn is_own(&self, attempt: AttemptId) -> bool {
        self.own.contains(&attempt)
    }

    /// Notes a step. One that was noted before changes nothing. `is_claimed` says of an attempt whether
    /// Redis is known to have it as it should be.
    pub fn note(&mut self, step: Step, is_claimed: impl FnOnce(AttemptId) -> bool) {
        match step {
            Step::Accepted(accepted) => self.accept(accepted),
            Step::Opened { request: id, attempt } => {
                let Some(request) = self.requests.get_mut(&id) else { return };
                let kind = request.accepted.spec.kind();
                let Some(stand) = request.jobs.get_mut(attempt.job) else { return };
                let is_next = match stand {
                    Stand::Waiting { number, .. } => attempt.number >= *number,
                    Stand::Held(held) => attempt.number > held.number,
                    Stand::Away(number) => attempt.number > *number,
                    Stand::Over => false,
                };
                if !is_next {
                    return;
                }
                self.own.insert(attempt.id);
                self.attempts.insert(attempt.id, (id, attempt.job));
                let job = (id, attempt.job);
                self.refused.remove(&job);
                if is_claimed(attempt.id) {
                    // What was due of the job is outdated by its claim.
                    self.due.remove(&job);
                } else {
                    self.due.insert(job, (kind, Due::Stand));
                }
                *stand = Stand::Held(attempt);
            }
            Step::Moved { attempt: id, expires_at } => {
                let Some(job) = self.attempts.get(&id) else { return };
                let Some(request) = self.requests.get_mut(&job.0) else { return };
                if let Some(Stand::Held(attempt)) = request.jobs.get_mut(job.1)
                    && attempt.id == id
                {
                    attempt.expires_at = expires_at;
                    let kind = request.accepted.spec.kind();
                    self.due.entry(*job).or_insert((kind, Due::Lease));
                }
            }
            Step::Learned(stored, adopted) => self.learn(&stored, &adopted),
            Step::Heard(news) => self.hear(&news),
            Step::Refused { request, job, attempt } => {
                self.refused.insert((request, job), attempt);
            }
            Step::Closed { request: id, attempt, how } => {
                self.own.remove(&attempt);
                let Some(job) = self.attempts.remove(&attempt) else { return };
                let Some(request) = self.requests.get_mut(&id) else { return };
                let is_over = request.is_over;
                let Some(stand) = request.jobs.get_mut(job.1) else { return };
                let Stand::Held(held) = stand else { return };
                if held.id != attempt {
                    return;
                }
                *stand = match is_over {
                    true => Stand::Over,
                    false => {
                        Stand::Waiting { number: held.number + 1, taken_from: Some(attempt), how: Some(how) }
                    }
                };
                self.due.insert(job, (request.accepted.spec.kind(), Due::Stand));
                self.close_if_over(id);
            }
            Step::Settled { request, job } => self.end(request, |index, _| index == job),
            Step::Over(id) => self.withdraw(id),
            Step::Dropped(id) => self.end(id, |_, _| true),
            Step::Named(worker, name) => {
                self.names.insert(worker, name);
            }
        }
    }

    fn accept(&mut self, accepted: Accepted) {
        let (id, kind) = (accepted.id, accepted.spec.kind());
        let Slot::Vacant(slot) = self.requests.entry(id) else { return };
        let idle = Stand::Waiting { number: 1, taken_from: None, how: None };
        let jobs = vec![idle; accepted.spec.jobs];
        for job in 0..jobs.len() {
            self.due.insert((id, job), (kind, Due::Stand));
        }
        slot.insert(Request { accepted, is_over: false, jobs });
    }

    /// A request was cancelled, or failed: nothing of it waits any more.
    fn withdraw(&mut self, id: RequestId) {
        if let Some(request) = self.requests.get_mut(&id) {
            request.is_over = true;
        }
        self.end(id, |_, stand| matches!(stand, Stand::Waiting { .. }));
    }

    fn end(&mut self, id: RequestId, ends: impl Fn(usize, &Stand) -> bool) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        let kind = request.accepted.spec.kind();
        for (job, stand) in request.jobs.iter_mut().enumerate() {
            if *stand == Stand::Over || !ends(job, stand) {
                continue;
            }
            if let Stand::Held(attempt) = stand {
                self.attempts.remove(&attempt.id);
                self.own.remove(&attempt.id);
            }
            // What is done is done, whoever else was given it. What is given up is not.
            let due = match stand {
                Stand::Waiting { taken_from, .. } if request.is_over => Due::Withdrawal(*taken_from),
                _ => Due::Stand,
            };
            *stand = Stand::Over;
            self.due.insert((id, job), (kind, due));
        }
        self.close_if_over(id);
    }

    fn close_if_over(&mut self, id: RequestId) {
        if self.requests.get(&id).is_some_and(|request| request.jobs.iter().all(|job| *job == Stand::Over)) {
            self.requests.remove(&id);
        }
    }

    /// Where a job stands. One that nobody knows is over.
    pub fn stand(&self, job: JobId) -> &Stand {
        self.requests.get(&job.0).and_then(|request| request.jobs.get(job.1)).unwrap_or(&Stand::Over)
    }

    /// A request that is not over.
    pub fn request(&self, id: RequestId) -> Option<&Accepted> {
        self.requests.get(&id).map(|request| &request.accepted)
    }

    /// What a worker is called; its ID while its name is not known.
    pub fn name(&self, worker: WorkerId) -> Arc<str> {
        self.names.get(&worker).cloned().unwrap_or_else(|| worker.to_string().into())
    }

    /// Attempts that Redis has, by their jobs, and that Records refused.
    pub fn refused(&self) -> Vec<(JobId, AttemptId)> {
        self.refused.iter().map(|(job, attempt)| (*job, *attempt)).collect()
    }

    /// Has Redis told of a job whose attempt was refused.
    pub fn forget_refused(&mut self, job: JobId) {
        self.refused.remove(&job);
    }

    /// Takes what is due.
    pub fn take_due(&mut self) -> HashMap<JobId, (Kind, Due)> {
        std::mem::take(&mut self.due)
    }

    /// How many jobs are due.
    pub fn due_len(&self) -> usize {
        self.due.len()
    }

    /// Makes something due, or due again.
    pub fn put_due(&mut self, job: JobId, kind: Kind, due: Due) {
        let slot = self.due.entry(job).or_insert((kind, due));
        slot.1 = slot.1.max(due);
    }

    /// Lets a lease count until then at least; Records know nothing of it.
    pub fn hold_on(&mut self, job: JobId, kind: Kind, until: Timestamp) {
        let stand = self.requests.get_mut(&job.0).and_then(|request| request.jobs.get_mut(job.1));
        if let Some(Stand::Held(attempt)) = stand {
            attempt.expires_at = attempt.expires_at.max(until);
            self.put_due(job, kind, Due::Lease);
        }
    }

    /// Says of a job that waits which attempt, of which Records know nothing, Redis is to take it from.
    pub fn take_from(&mut self, job: JobId, kind: Kind, attempt: AttemptId) {
        let stand = self.requests.get_mut(&job.0).and_then(|request| request.jobs.get_mut(job.1));
        if let Some(Stand::Waiting { taken_from, how, .. }) = stand {
            (*taken_from, *how) = (Some(attempt), None);
        }
        self.put_due(job, kind, Due::Stand);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::domain::{
        UserId,
        lease::Held,
        request::{Params, Spec, tests::image},
    };

    const JOBS: usize = 3;

    fn accepted() -> Accepted {
        let spec = Spec {
            prompt: String::new(),
            jobs: JOBS,
            models: vec![],
            nsfw: false,
            trusted_workers: false,
            slow_workers: true,
            validated_backends: false,
            workers: vec![],
            worker_blacklist: false,
            origin: Default::default(),
            webhook: None,
            params: Params::Image(Box::new(image())),
        };
        Accepted {
            id: RequestId(Uuid::from_u128(1)),
            owner: UserId(1),
            created_at: Timestamp(0),
            priority: 0,
            spec: Arc::new(spec),
        }
    }

    fn attempt(job: usize, number: u32) -> Attempt {
        Attempt {
            id: AttemptId(Uuid::from_u128(1000 * job as u128 + u128::from(number))),
            job,
            number,
            worker: WorkerId(Uuid::from_u128(9)),
            model: String::new(),
            seed: 0,
            held: Held::Pop,
            granted_at: Timestamp(0),
            expires_at: Timestamp(60_000),
        }
    }

    /// Turns choices into steps that can follow each other.
    fn history(choices: &[(usize, u8)]) -> Vec<Step> {
        let request = accepted().id;
        let mut steps = vec![Step::Accepted(accepted())];
        let mut numbers = [0; JOBS];
        let mut stands = [0u8; JOBS];
        for (job, choice) in choices {
            let (number, stand) = (&mut numbers[*job], &mut stands[*job]);
            match (*stand, choice) {
                (0, 0..=5) => {
                    *number += 1;
                    *stand = 1;
                    steps.push(Step::Opened { request, attempt: attempt(*job, *number) });
                }
                (1, 0..=2) => {
                    *stand = 0;
                    let (attempt, how) = (attempt(*job, *number).id, Closed::Returned);
                    steps.push(Step::Closed { request, attempt, how });
                }
                (1, 3) => {
                    let expires_at = Timestamp(0).plus(Duration::from_secs(90));
                    steps.push(Step::Moved { attempt: attempt(*job, *number).id, expires_at });
                }
                (1, 4..=5) => {
                    *stand = 2;
                    steps.push(Step::Settled { request, job: *job });
                }
                (_, 6) => {
                    stands.iter_mut().filter(|stand| **stand == 0).for_each(|stand| *stand = 2);
                    steps.push(Step::Over(request));
                }
                _ => {}
            }
        }
        steps
    }

    fn stands(ledger: &Ledger) -> Vec<Stand> {
        (0..JOBS).map(|job| ledger.stand((accepted().id, job)).clone()).collect()
    }

    fn note_all(ledger: &mut Ledger, steps: &[Step]) {
        steps.iter().for_each(|step| ledger.note(step.clone(), |_| true));
    }

    proptest! {
        #[test]
        fn what_is_heard_again_changes_nothing_in_the_end(
            choices in prop::collection::vec((0..JOBS, 0u8..8), 0..40), from in any::<prop::sample::Index>(),
        ) {
            let steps = history(&choices);
            let mut once = Ledger::default();
            note_all(&mut once, &steps);
            let mut twice = Ledger::default();
            note_all(&mut twice, &steps);
            note_all(&mut twice, &steps[from.index(steps.len())..]);
            prop_assert_eq!(stands(&once), stands(&twice));
        }

        #[test]
        fn a_ledger_of_jobs_that_are_over_is_empty(choices in prop::collection::vec((0..JOBS, 0u8..8), 0..40)) {
            let mut ledger = Ledger::default();
            note_all(&mut ledger, &history(&choices));
            note_all(&mut ledger, &[Step::Dropped(accepted().id)]);
            prop_assert!(ledger.requests.is_empty() && ledger.attempts.is_empty());
            prop_assert!(ledger.take_due().len() <= JOBS);
        }
    }

    #[test]
    fn an_attempt_that_redis_has_makes_nothing_due_and_another_does() {
        let mut ledger = Ledger::default();
        note_all(&mut ledger, &[Step::Accepted(accepted())]);
        assert_eq!(ledger.take_due().len(), JOBS);
        let opened = |job| Step::Opened { request: accepted().id, attempt: attempt(job, 1) };
        ledger.note(opened(0), |_| true);
        assert_eq!(ledger.due_len(), 0);
        ledger.note(opened(1), |_| false);
        assert_eq!(ledger.take_due().into_keys().collect::<Vec<_>>(), [(accepted().id, 1)]);
    }

    #[test]
    fn jobs_that_come_back_to_a_cancelled_request_are_over() {
        let mut ledger = Ledger::default();
        let request = accepted().id;
        let held = attempt(0, 1);
        let opened = Step::Opened { request, attempt: held.clone() };
        note_all(&mut ledger, &[Step::Accepted(accepted()), opened, Step::Over(request)]);
        assert_eq!(stands(&ledger), [Stand::Held(held.clone()), Stand::Over, Stand::Over]);
        note_all(&mut ledger, &[Step::Closed { request, attempt: held.id, how: Closed::Returned }]);
        assert!(ledger.requests.is_empty());
    }

    #[test]
    fn a_refused_attempt_is_kept_in_mind_until_redis_has_another_one_or_it_is_forgotten() {
        let mut ledger = Ledger::default();
        let request = accepted().id;
        let refused = |job| Step::Refused { request, job, attempt: attempt(job, 1).id };
        note_all(&mut ledger, &[Step::Accepted(accepted()), refused(0), refused(1)]);
        note_all(&mut ledger, &[Step::Opened { request, attempt: attempt(0, 2) }]);
        assert_eq!(ledger.refused(), [((request, 1), attempt(1, 1).id)]);
        ledger.take_due();
        ledger.take_from((request, 1), Kind::Image, attempt(1, 1).id);
        ledger.forget_refused((request, 1));
        assert_eq!(ledger.refused(), []);
        let taken = Stand::Waiting { number: 1, taken_from: Some(attempt(1, 1).id), how: None };
        assert_eq!(*ledger.stand((request, 1)), taken);
        assert_eq!(ledger.due_len(), 1);
    }

    #[test]
    fn what_records_no_longer_have_open_is_looked_after_no_more() {
        let mut ledger = Ledger::default();
        let (request, held) = (accepted().id, attempt(0, 1));
        let opened = Step::Opened { request, attempt: held.clone() };
        note_all(&mut ledger, &[Step::Accepted(accepted()), opened]);
        let mut stored = StoredRequest {
            request: accepted(),
            expires_at: Timestamp(60_000),
            cancelled: false,
            faulted: false,
            done: false,
            consumed: Default::default(),
            open: vec![held.clone()],
            closed: vec![],
            outcomes: vec![],
        };
        ledger.correct(&stored);
        assert!(ledger.is_own(held.id) && *ledger.stand((request, 0)) == Stand::Held(held.clone()));
        stored.open.clear();
        stored.closed.push((0, 1, held.id, Closed::Returned));
        ledger.correct(&stored);
        assert!(!ledger.is_own(held.id));
        assert!(matches!(ledger.stand((request, 0)), Stand::Waiting { number: 2, .. }));
    }
}
