//! Step 1: check, price, split a request into jobs.

use std::{net::IpAddr, sync::Arc, time::Duration};

use super::{
    Engine, Step,
    lending::Payer,
    outlook::Effort,
    queue::Place,
    request::{Job, JobState, Request},
    styles::Styled,
    vet::Vetted,
};
use crate::domain::{
    Error, Kudos, RequestId, Result, SharedKeyId, UserId, WorkerId,
    event::Event,
    kudos::Posting,
    price,
    record::Record,
    request::{Accepted, Params, Spec},
    warning::Warning,
};

/// An accepted request.
#[derive(Clone, Debug, PartialEq)]
pub struct Submitted {
    /// Its ID.
    pub id: RequestId,
    /// Price of one job, before the factor of the model and what the requester pays on top.
    pub job_kudos: Kudos,
    /// Whether a worker online could take it now; in raid mode that is said of all.
    pub is_possible: bool,
    /// What may not go as expected.
    pub warnings: Vec<Warning>,
}

/// What a submit asks for, and what it says besides of how to take that.
#[derive(Clone, Debug)]
pub struct Asked {
    /// What is asked for.
    pub spec: Spec,
    /// Rather than be refused for want of kudos, be done smaller.
    pub allow_downgrade: bool,
    /// Records refused to set kudos aside for it: if it may be smaller, it is.
    pub must_shrink: bool,
    /// Records refused to keep kudos of its key for it: if it may be smaller and later, it is.
    pub key_is_short: bool,
    /// Every worker that it names; the spec has those that count.
    pub workers: Vec<WorkerId>,
    /// What it names as a worker and is no ID: nobody is called so.
    pub unknown_worker: Option<String>,
    /// Extra source images that came with a text.
    pub extra_images: usize,
    /// A text that is to go to workers job by job; images say so in their parameters.
    pub single_jobs: bool,
    /// The key that was lent to who asks, or that pays for the style.
    pub shared_key: Option<SharedKeyId>,
    /// That key pays for styles alone, and none of them is asked for.
    pub key_is_for_styles: bool,
    /// The style that made it what it is.
    pub styled: Option<Styled>,
    /// Words of its prompt may be replaced, rather than the prompt refused.
    pub replacement_filter: bool,
    /// A NUL stands in one of its texts.
    pub has_nul: bool,
    /// Where it comes from.
    pub address: Option<IpAddr>,
    /// Its medium is none of its models'.
    pub misfit: Option<Error>,
}

impl From<Spec> for Asked {
    fn from(spec: Spec) -> Self {
        Self {
            spec,
            allow_downgrade: false,
            must_shrink: false,
            key_is_short: false,
            workers: Vec::new(),
            unknown_worker: None,
            extra_images: 0,
            single_jobs: false,
            shared_key: None,
            key_is_for_styles: false,
            styled: None,
            replacement_filter: true,
            has_nul: false,
            address: None,
            misfit: None,
        }
    }
}

impl Engine {
    /// Accepts a request under an ID chosen before (its source images may be stored by then), and
    /// offers its jobs to the workers that wait.
    ///
    /// # Errors
    /// As [`Engine::vet`]; [`Error::QueueFull`].
    pub fn submit(
        &mut self,
        step: &mut Step<'_>,
        id: RequestId,
        owner: UserId,
        asked: impl Into<Asked>,
    ) -> Result<Submitted> {
        // It may have begun while source images were fetched.
        self.refuse_in_maintenance()?;
        let asked = asked.into();
        let styled = asked.styled.clone();
        let Vetted { payer: Payer { owner, key, priority: place, .. }, spec, limit, warnings } =
            self.screen(step, owner, asked)?;
        let kind = spec.kind();
        let has_room = self.open_bytes + spec.size_bytes() <= self.rules.max_open_bytes;
        if !has_room || self.queue.waiting(kind) + spec.jobs > self.rules.max_waiting_jobs {
            let (threads, _) = self.fleet.capacity(kind);
            let retry_after = Duration::from_secs(if threads == 0 { 60 } else { 10 });
            return Err(Error::QueueFull { retry_after });
        }
        let job_kudos = match &spec.params {
            Params::Image(image) | Params::Video(image) => {
                self.flat_price(&spec).unwrap_or_else(|| price::image_job(image))
            }
            Params::Text(_) | Params::Alchemy(_) => Kudos::ZERO,
        };
        let fee = price::activation(&spec) + Self::style_fee(styled.as_ref(), owner);
        let jobs = spec.jobs;
        let (priority, floor) =
            self.accounts.get(owner).map_or((0, Kudos::ZERO), |user| (user.priority(), user.floor()));
        let priority = place.unwrap_or(priority);
        let (amount, lent) = (spec.origin.upfront, spec.origin.lent);
        let accepted = Accepted { id, owner, created_at: step.now, priority, spec: Arc::new(spec) };
        let expires_at = step.now.plus(self.rules.keep);
        step.persist(Record::RequestAccepted { request: accepted.clone(), expires_at, limit });
        self.note_active(step, owner);
        if amount > Kudos::ZERO {
            step.persist(Record::KudosHeld { request: id, owner, amount, floor });
        }
        if let Some(key) = key.filter(|_| lent > Kudos::ZERO) {
            step.persist(Record::KeyHeld { request: id, key, owner, amount: lent });
        }
        let paid =
            self.accounts.charge(step, owner, fee, |amount, at| Posting::activation(id, owner, amount, at));
        self.spend(step, id, owner, key, fee);
        self.use_style(step, id, styled.as_ref(), owner);
        // While many attack, nobody is told how busy it is.
        let is_possible = self.modes().raid || self.is_possible(&accepted, step.now);
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
        let request = self.requests.get(&id);
        if let Some(outlook) =
            request.and_then(|request| self.outlook_with(Effort::LITTLE, request, step.now))
        {
            step.tell(id, Event::Queued(outlook));
        }
        self.place_request(step, id);
        // One without jobs is over at once.
        self.conclude(step, id);
        Ok(Submitted { id, job_kudos, is_possible, warnings })
    }
}
