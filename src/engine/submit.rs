//! Step 1: check, price, split a request into jobs.

use std::{sync::Arc, time::Duration};

use super::{
    Engine, Step, params,
    queue::Place,
    request::{Job, JobState, Request},
};
use crate::domain::{
    Error, Kudos, RequestId, Result, UserId,
    error::ParamRule,
    event::Event,
    kudos::Posting,
    price,
    record::Record,
    request::{Accepted, Kind, Params, Spec},
    user::Role,
};

/// An accepted request.
#[derive(Clone, Debug, PartialEq)]
pub struct Submitted {
    /// Its ID.
    pub id: RequestId,
    /// Price of one job, before the factor of the model and what the requester pays on top.
    pub job_kudos: Kudos,
    /// Whether a worker online could take it now.
    pub is_possible: bool,
}

impl Engine {
    /// What a request would cost in all, for a dry run.
    pub fn quote(&self, spec: &Spec) -> Kudos {
        price::estimate(spec, &*self.models)
    }

    /// Whether an account may ask for this: all checks but that of room in the queue.
    ///
    /// # Errors
    /// In the contract's order: DeletedUser, WorkerNotFound, RequiresTrust, TooManyPrompts, rules of
    /// parameters.
    pub fn may_submit(&self, owner: UserId, spec: &Spec) -> Result<()> {
        let user = self.accounts.get(owner).ok_or(Error::InvalidApiKey)?;
        if user.is(Role::Deleted) && spec.kind() != Kind::Alchemy {
            return Err(Error::DeletedUser);
        }
        for worker in &spec.workers {
            self.fleet.get(*worker).ok_or_else(|| Error::WorkerNotFound(worker.to_string()))?;
        }
        if spec.jobs > 1 && params::asks_for_single_jobs(spec) && !user.is(Role::Trusted) {
            return Err(Error::params(
                ParamRule::RequiresTrust,
                "only trusted users may turn batching off for several jobs: ask for n = 1, or leave it on",
            ));
        }
        let (waiting, limit) = self.load(user, spec.kind());
        if waiting + spec.jobs > limit {
            return Err(Error::TooManyPrompts { waiting, asked: spec.jobs, limit });
        }
        if !user.is(Role::Special) && spec.params.image().is_some_and(|image| image.special.is_some()) {
            return Err(Error::BadRequest("only special users may send params.special: leave it out".into()));
        }
        params::check(spec)
    }

    /// Accepts a request under an ID chosen before (its source images may be stored by then), and
    /// offers its jobs to the workers that wait.
    ///
    /// # Errors
    /// As [`Engine::may_submit`]; [`Error::QueueFull`].
    pub fn submit(
        &mut self,
        step: &mut Step<'_>,
        id: RequestId,
        owner: UserId,
        spec: Spec,
    ) -> Result<Submitted> {
        self.may_submit(owner, &spec)?;
        let kind = spec.kind();
        let has_room = self.open_bytes + spec.size_bytes() <= self.rules.max_open_bytes;
        if !has_room || self.queue.waiting(kind) + spec.jobs > self.rules.max_waiting_jobs {
            let (threads, _) = self.fleet.capacity(kind);
            let retry_after = Duration::from_secs(if threads == 0 { 60 } else { 10 });
            return Err(Error::QueueFull { retry_after });
        }
        let job_kudos = match &spec.params {
            Params::Image(image) | Params::Video(image) => price::image_job(image),
            Params::Text(_) | Params::Alchemy(_) => Kudos::ZERO,
        };
        let fee = price::activation(&spec);
        let jobs = spec.jobs;
        let (priority, limit) =
            self.accounts.get(owner).map_or((0, 0), |user| (user.priority(), self.waiting_limit(user, kind)));
        let accepted = Accepted { id, owner, created_at: step.now, priority, spec: Arc::new(spec) };
        let expires_at = step.now.plus(self.rules.keep);
        step.persist(Record::RequestAccepted { request: accepted.clone(), expires_at, limit });
        let paid =
            self.accounts.charge(step, owner, fee, |amount, at| Posting::activation(id, owner, amount, at));
        let is_possible = self.is_possible(&accepted, step.now);
        let request = Request {
            place: Place::of(&accepted),
            expires_at,
            alarm_at: expires_at,
            cancelled: false,
            faulted: false,
            done: false,
            consumed: paid,
            faults: 0,
            jobs: (0..jobs).map(|_| Job::new(JobState::Waiting)).collect(),
            is_ours: true,
            closed: Default::default(),
            accepted,
        };
        if paid > Kudos::ZERO {
            step.persist(request.moved(paid));
            // The charge is in its figures too.
        }
        self.open_bytes += request.accepted.spec.size_bytes();
        self.accounts.active(owner, id, true);
        let all: Vec<_> = (0..jobs).collect();
        self.queue.change_jobs(request.place, &request.accepted, &all, true);
        self.requests.insert(id, request);
        self.set_alarm(id, expires_at);
        if let Some((position, seconds)) = self.requests.get(&id).and_then(|request| self.estimate(request)) {
            step.tell(id, Event::Queued { position, eta_seconds: seconds.round() as i64 });
        }
        self.place_request(step, id);
        // One without jobs is over at once.
        self.conclude(step, id);
        Ok(Submitted { id, job_kudos, is_possible })
    }
}
