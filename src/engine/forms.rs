//! Forms of alchemy: jobs of one request that are not alike.
//!
//! Job `i` is form `i`. A worker takes only forms that it declares, so a request stands in the lanes of
//! the forms of which a job waits, and nowhere else. A form that failed too often is given up by itself;
//! the others go on, and the request is over once none of them can.

#[cfg(test)]
mod stories;

use std::sync::Arc;

use super::{
    Engine, Push, Step,
    request::{Job, JobState, Request},
};
use crate::domain::{
    Kudos, OfferId, RequestId, UserId,
    event::Event,
    request::{Kind, Params, Spec},
    result::{Delivery, Product, Verdict},
    user::User,
};

/// Attempts at one form that may fail; with the last of them the form is given up. Source: the v2 contract.
const MAX_FAULTS: usize = 4;
/// Forms that an account may have, for each job of another kind. Source: the v2 contract.
const FORMS_PER_JOB: usize = 10;

/// Where one job stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// It waits.
    Waiting,
    /// A worker has it.
    Processing,
    /// It has its result.
    Done,
    /// It was cancelled before it had one.
    Cancelled,
    /// It failed too often, or its request outlived its time.
    Faulted,
}

/// The form that a job asks for; `None` if it is no job of alchemy.
pub(super) fn form_of(spec: &Spec, job: usize) -> Option<&Arc<str>> {
    match &spec.params {
        Params::Alchemy(alchemy) => alchemy.forms.get(job).map(|form| &form.name),
        Params::Image(_) | Params::Text(_) | Params::Video(_) => None,
    }
}

/// Whether a worker that serves these does this job of a request that it may take.
pub(super) fn is_served(spec: &Spec, job: usize, models: &[Arc<str>]) -> bool {
    form_of(spec, job).is_none_or(|form| models.contains(form))
}

impl Job {
    /// Whether it was given up. Only forms are, one by one.
    fn is_spent(&self, kind: Kind) -> bool {
        kind == Kind::Alchemy && self.failed.len() >= MAX_FAULTS
    }
}

impl Request {
    /// Indexes of jobs that wait, those included that are meant for a worker.
    pub fn waiting_jobs(&self) -> Vec<usize> {
        let waits = |(index, job): (usize, &Job)| {
            matches!(job.state, JobState::Waiting | JobState::Claimed(_)).then_some(index)
        };
        self.jobs.iter().enumerate().filter_map(waits).collect()
    }

    /// Whether a job waits that a worker serving these could have.
    pub fn waits_for(&self, models: &[Arc<str>]) -> bool {
        let spec = &self.accepted.spec;
        let mut jobs = self.jobs.iter().enumerate();
        jobs.any(|(index, job)| matches!(job.state, JobState::Waiting) && is_served(spec, index, models))
    }

    /// Whether a job was given up.
    pub fn is_spent(&self, job: usize) -> bool {
        self.jobs[job].is_spent(self.kind())
    }

    /// Where each job stands.
    pub fn standings(&self) -> Vec<Standing> {
        self.jobs.iter().map(|job| self.standing(job)).collect()
    }

    fn standing(&self, job: &Job) -> Standing {
        match &job.state {
            JobState::Done(outcome) if !outcome.product.is_void() => Standing::Done,
            JobState::Done(_) => Standing::Cancelled,
            _ if job.is_spent(self.kind()) => Standing::Faulted,
            _ if self.cancelled => Standing::Cancelled,
            JobState::Waiting | JobState::Claimed(_) => Standing::Waiting,
            JobState::Held(_) | JobState::Away(_) | JobState::Gone(_) => Standing::Processing,
            JobState::Dropped => Standing::Faulted,
        }
    }

    /// Forms that workers have, or are about to have.
    fn busy(&self) -> usize {
        let is_busy = |job: &&Job| {
            matches!(
                job.state,
                JobState::Claimed(_) | JobState::Held(_) | JobState::Away(_) | JobState::Gone(_)
            )
        };
        self.jobs.iter().filter(is_busy).count()
    }
}

impl Engine {
    /// Jobs of an account that count against its limit, and the limit. Of alchemy those count, too, that
    /// workers have.
    pub(super) fn load(&self, user: &User, kind: Kind) -> (usize, usize) {
        let waiting = self.queue.waiting_of(kind, user.id);
        match kind {
            Kind::Alchemy => {
                (waiting + self.busy_forms(user.id), user.concurrency.saturating_mul(FORMS_PER_JOB))
            }
            Kind::Image | Kind::Text | Kind::Video => (waiting, user.concurrency),
        }
    }

    /// Jobs of a kind that an account may have waiting in Records, which know only of those.
    pub(super) fn waiting_limit(&self, user: &User, kind: Kind) -> usize {
        let (_, limit) = self.load(user, kind);
        match kind {
            Kind::Alchemy => limit.saturating_sub(self.busy_forms(user.id)),
            Kind::Image | Kind::Text | Kind::Video => limit,
        }
    }

    fn busy_forms(&self, owner: UserId) -> usize {
        let open = self.active_requests(owner, Kind::Alchemy);
        open.iter().filter_map(|id| self.requests.get(id)).map(Request::busy).sum()
    }

    /// Forms that wait or that workers have.
    pub fn queued_forms(&self) -> usize {
        let (waiting, held) = self.depth(Kind::Alchemy);
        waiting + held + self.away_of(Kind::Alchemy)
    }

    /// Takes a job out of the queue that was given up. It may have been heard to wait before it was heard
    /// to have failed once more.
    ///
    /// Whether it was.
    pub(super) fn drop_if_spent(&mut self, id: RequestId, job: usize) -> bool {
        let Some(request) = self.requests.get(&id) else { return false };
        let is_spent = request.is_spent(job) && matches!(request.jobs[job].state, JobState::Waiting);
        if is_spent {
            self.vacate(id, job);
        }
        is_spent
    }

    /// A request of which nothing can come any more, and not all came: says so.
    pub(super) fn give_up(&mut self, step: &mut Step<'_>, id: RequestId) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        let given_up = request.jobs.iter().filter(|job| matches!(job.state, JobState::Dropped)).count();
        if request.kind() != Kind::Alchemy || request.is_over() || (given_up == 0 && !request.jobs.is_empty())
        {
            return;
        }
        request.faulted = true;
        step.persist(request.moved(Kudos::ZERO));
        if request.is_ours {
            let message = match request.jobs.len() {
                0 => "the request names no forms".into(),
                all => format!("{given_up} of {all} forms failed too often"),
            };
            step.tell(id, Event::Faulted { message });
        }
    }

    /// Settles the forms of a cancelled request that workers have as if they were delivered, and tells
    /// the workers.
    pub(super) fn void_held(&mut self, step: &mut Step<'_>, id: RequestId) {
        let Some(request) = self.requests.get(&id).filter(|request| request.cancelled) else { return };
        let held = request.jobs.iter().enumerate().filter_map(|(index, job)| match &job.state {
            JobState::Held(lease) => Some((index, lease.attempt.id, lease.offer)),
            _ => None,
        });
        for (job, attempt, offer) in held.collect::<Vec<_>>() {
            // Another broker may have ended it meanwhile; the cancellation holds all the same.
            step.part();
            if let Some(offer) = offer {
                let (attempts, reason) = (vec![attempt], "the request was cancelled".into());
                step.deliver(offer, Push::Cancel { attempts, reason });
            }
            let nothing = Delivery {
                product: Product::Void,
                seed: 0,
                verdict: Verdict::Ok,
                remarks: vec![],
                extras: Default::default(),
            };
            self.deliver(step, id, job, nothing);
        }
    }

    /// Ends a pop that has all it will get. Its jobs are on their way already, each with what it rests on.
    pub(super) fn end_gathering(&mut self, step: &mut Step<'_>, offer: OfferId) {
        self.offers.remove(offer);
        step.cut();
        step.deliver(offer, Push::Empty { skipped: Default::default() });
    }
}
