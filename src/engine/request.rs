//! A request in memory: its jobs, and what can be said of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use super::{ClaimId, Engine, Timer, forms::Standing, queue::Place};
use crate::domain::{
    AttemptId, Kudos, OfferId, RequestId, Timestamp,
    event::Event,
    lease::{Attempt, Closed, Held},
    record::Record,
    request::{Accepted, Kind},
    result::Outcome,
};

/// A request and its jobs.
#[derive(Debug)]
pub(super) struct Request {
    pub accepted: Accepted,
    pub place: Place,
    pub expires_at: Timestamp,
    /// When its timer rings.
    pub alarm_at: Timestamp,
    pub cancelled: bool,
    pub faulted: bool,
    pub done: bool,
    pub consumed: Kudos,
    /// Attempts that failed.
    pub faults: usize,
    pub jobs: Vec<Job>,
    /// It was accepted here, or workers here had jobs of it: this broker has a part in its log.
    pub is_ours: bool,
    /// How attempts ended that had no result.
    pub closed: BTreeMap<AttemptId, Closed>,
}

/// One unit of work.
#[derive(Debug)]
pub(super) struct Job {
    pub state: JobState,
    /// Attempts so far.
    pub attempts: u32,
    /// Those that failed.
    pub failed: BTreeSet<AttemptId>,
}

impl Job {
    pub fn new(state: JobState) -> Self {
        Self { state, attempts: 0, failed: BTreeSet::new() }
    }
}

#[derive(Debug)]
pub(super) enum JobState {
    Waiting,
    /// Meant for a worker; the answer of Claims is awaited.
    Claimed(ClaimId),
    Held(Box<Lease>),
    /// Another broker has given it to a worker.
    Away(Box<Away>),
    Done(Arc<Outcome>),
    Dropped,
    /// It ended at another broker, as was heard at this time; Records know how.
    Gone(Timestamp),
}

/// A worker's hold on a job, at another broker.
#[derive(Debug)]
pub(super) struct Away {
    /// `None`: a claim was lost to it, and nothing more is known.
    pub attempt: Option<AttemptId>,
    pub number: u32,
    /// Empty: nobody knows which.
    pub broker: Arc<str>,
    /// It was pushed on a stream there.
    pub is_stream: bool,
    /// When this was heard of.
    pub since: Timestamp,
    /// The worker's stream is here all the same, and a credit of it is in use for the job.
    pub offer: Option<OfferId>,
}

/// A worker's hold on a job.
#[derive(Debug)]
pub(super) struct Lease {
    pub attempt: Attempt,
    /// The stream it was pushed on, while that is open.
    pub offer: Option<OfferId>,
    /// The worker reported on it.
    pub accepted: bool,
    /// Its request was cancelled.
    pub cancelled: bool,
    /// Goes back without blame at this time: not accepted, stream cut, or cancelled.
    pub deadline: Option<Timestamp>,
    /// What each report extends it by.
    pub ttl: Duration,
    /// The end of the lease that Records have.
    pub stored_expiry: Timestamp,
    /// Text reported so far, as far as it was told.
    pub reported: String,
    /// Progress last told.
    pub progress: Option<(u32, u32)>,
    /// Bytes that what was told of it takes in the log.
    pub told_bytes: usize,
    /// Its log is full: what it says from now on is told with its result.
    pub is_quiet: bool,
    /// It was taken over for its result to be handed in, and is this broker's again if that does not come:
    /// which, and whether it was pushed on a stream there.
    pub borrowed_from: Option<(Arc<str>, bool)>,
}

impl Lease {
    /// When it is to be looked at next.
    pub fn due(&self) -> Timestamp {
        self.deadline.map_or(self.attempt.expires_at, |deadline| deadline.min(self.attempt.expires_at))
    }

    /// Whether an event still fits into the part of the log that this attempt may fill; counts it if so.
    pub fn may_tell(&mut self, event: &Event, most: usize) -> bool {
        let size = event.size_bytes();
        let fits = self.told_bytes + size <= most;
        if fits {
            self.told_bytes += size;
        }
        fits
    }

    pub fn is_stream(&self) -> bool {
        self.attempt.held == Held::Stream
    }
}

/// Where a request stands.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// The request.
    pub accepted: Accepted,
    /// Jobs delivered.
    pub finished: usize,
    /// Jobs that workers hold.
    pub processing: usize,
    /// Attempts that failed.
    pub restarted: usize,
    /// Jobs that wait.
    pub waiting: usize,
    /// Nothing more will come; or it failed, and only workers that still hold jobs may hand something in.
    pub done: bool,
    /// Failed too often.
    pub faulted: bool,
    /// What was waiting was cancelled.
    pub cancelled: bool,
    /// Seconds until done, estimated.
    pub wait_seconds: i64,
    /// 1 is next; 0: nothing of it waits.
    pub position: usize,
    /// Kudos spent.
    pub consumed: Kudos,
    /// Some worker online could take it, or none has to.
    pub is_possible: bool,
    /// What was delivered, by job.
    pub outcomes: Vec<Arc<Outcome>>,
    /// Where each job stands.
    pub standings: Vec<Standing>,
}

impl View {
    /// Whether nothing more will come, from nobody.
    pub fn is_over(&self) -> bool {
        self.done && self.processing == 0
    }
}

impl Request {
    pub fn id(&self) -> RequestId {
        self.accepted.id
    }

    pub fn kind(&self) -> Kind {
        self.accepted.spec.kind()
    }

    /// Bytes it takes in memory, roughly.
    pub fn size_bytes(&self) -> usize {
        let results: usize = self.outcomes().map(|outcome| outcome.size_bytes()).sum();
        self.accepted.spec.size_bytes() + results
    }

    /// Whether nothing of it waits any more, or will again.
    pub fn is_over(&self) -> bool {
        self.cancelled || self.faulted || self.done
    }

    pub fn waiting(&self) -> usize {
        self.jobs.iter().filter(|job| matches!(job.state, JobState::Waiting | JobState::Claimed(_))).count()
    }

    pub fn held(&self) -> impl Iterator<Item = &Lease> {
        self.jobs.iter().filter_map(|job| match &job.state {
            JobState::Held(lease) => Some(&**lease),
            _ => None,
        })
    }

    /// Jobs that workers have from other brokers.
    pub fn away(&self) -> impl Iterator<Item = &Away> {
        self.jobs.iter().filter_map(|job| match &job.state {
            JobState::Away(away) => Some(&**away),
            _ => None,
        })
    }

    /// What was delivered, as far as there is anything to show.
    pub fn delivered(&self) -> impl Iterator<Item = &Arc<Outcome>> {
        self.outcomes().filter(|outcome| !outcome.product.is_void())
    }

    pub fn outcomes(&self) -> impl Iterator<Item = &Arc<Outcome>> {
        self.jobs.iter().filter_map(|job| match &job.state {
            JobState::Done(outcome) => Some(outcome),
            _ => None,
        })
    }

    /// The record of its present state, and of kudos spent now.
    pub fn moved(&self, spent: Kudos) -> Record {
        Record::RequestMoved {
            request: self.id(),
            expires_at: self.expires_at,
            cancelled: self.cancelled,
            faulted: self.faulted,
            spent,
        }
    }

    /// Every ID under which an object of it may be stored.
    pub fn attempt_ids(&self) -> Vec<AttemptId> {
        let open = self.held().map(|lease| lease.attempt.id);
        let away = self.away().filter_map(|away| away.attempt);
        let ended = self.outcomes().map(|o| o.attempt).chain(self.closed.keys().copied());
        open.chain(away).chain(ended).collect()
    }
}

impl Engine {
    /// The kind of a request; `None` if it is not in memory.
    pub fn kind_of_request(&self, id: RequestId) -> Option<Kind> {
        self.requests.get(&id).map(Request::kind)
    }

    /// Where a request stands; `None` if it is not in memory.
    pub fn view(&self, id: RequestId, now: Timestamp) -> Option<View> {
        let request = self.requests.get(&id)?;
        let waiting = request.waiting();
        let queued = (waiting > 0).then(|| self.estimate(request)).flatten();
        let longest = request.held().map(|lease| self.seconds_left(lease, request, now)).fold(0.0, f64::max);
        Some(View {
            accepted: request.accepted.clone(),
            finished: request.delivered().count(),
            processing: request.held().count() + request.away().count(),
            restarted: request.faults,
            waiting,
            // What is still held of one that failed may come, and is waited for by nobody.
            done: request.done || request.faulted,
            faulted: request.faulted,
            cancelled: request.cancelled,
            wait_seconds: if request.done || request.faulted {
                0
            } else {
                (queued.map_or(0.0, |q| q.1) + longest).round() as i64
            },
            position: queued.map_or(0, |q| q.0),
            consumed: request.consumed,
            is_possible: !request.faulted
                && (request.done
                    || request.held().next().is_some()
                    || request.away().next().is_some()
                    || self.is_possible(&request.accepted, now)),
            outcomes: request.delivered().cloned().collect(),
            standings: request.standings(),
        })
    }

    /// Sets when a request is looked at next.
    pub(super) fn set_alarm(&mut self, id: RequestId, at: Timestamp) {
        if let Some(request) = self.requests.get_mut(&id) {
            self.timers.remove(&(request.alarm_at, Timer::Request(id)));
            request.alarm_at = at;
            self.timers.insert((at, Timer::Request(id)));
        }
    }
}
