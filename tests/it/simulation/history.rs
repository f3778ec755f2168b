//! What clients and workers saw, and what of it breaks a promise.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use gridbroker::domain::{
    AttemptId, Kudos, RequestId, Timestamp, WorkerId,
    event::Event,
    lease::{Attempt, Closed, Held},
    record::Record,
    result::Product,
};
use gridbroker::engine::View;

/// Complaints after which a run is not followed further.
const ENOUGH: usize = 5;
/// Events that are shown with a failure.
const TRACE: usize = 60;

/// A lease as its worker may rely on it.
struct Lease {
    held: Held,
    granted_at: Timestamp,
    expires_at: Timestamp,
    ttl: std::time::Duration,
    request: RequestId,
    worker: WorkerId,
    /// The broker may take the job back before the lease ends: not accepted yet, cut, or given up.
    is_void: bool,
    /// As `is_void`, and nothing changes it any more.
    is_cancelled: bool,
}

/// The witness of a run.
#[derive(Default)]
pub struct History {
    complaints: Vec<String>,
    trace: VecDeque<String>,
    keeps_all: bool,
    /// Requests whose clients were told that they are accepted.
    pub acknowledged: HashSet<RequestId>,
    /// Results whose workers were told what they earn.
    pub rewarded: BTreeMap<AttemptId, Kudos>,
    /// What clients saw last: when they asked, how much was finished, and whether all was.
    seen: HashMap<RequestId, (u64, usize, bool)>,
    leases: HashMap<AttemptId, Lease>,
    cancelled: HashSet<RequestId>,
    logs: HashMap<RequestId, Log>,
}

#[derive(Default)]
struct Log {
    is_done: bool,
    texts: HashMap<usize, String>,
}

impl History {
    pub fn complaints(&self) -> &[String] {
        &self.complaints
    }

    /// Keeps every event, not only the last.
    pub fn keep_all(&mut self) {
        self.keeps_all = true;
    }

    pub fn is_broken(&self) -> bool {
        self.complaints.len() >= ENOUGH
    }

    pub fn complain(&mut self, complaint: String) {
        self.note(|| format!("COMPLAINT {complaint}"));
        if !self.is_broken() {
            self.complaints.push(complaint);
        }
    }

    pub fn demand(&mut self, holds: bool, complaint: impl FnOnce() -> String) {
        if !holds {
            self.complain(complaint());
        }
    }

    pub fn note(&mut self, line: impl FnOnce() -> String) {
        if self.trace.len() == TRACE && !self.keeps_all {
            self.trace.pop_front();
        }
        self.trace.push_back(line().chars().take(240).collect());
    }

    pub fn trace(&self) -> String {
        self.trace.iter().cloned().collect::<Vec<_>>().join("\n")
    }

    /// The engine decided something; it is not on disk yet. `now` is the engine's.
    pub fn decided(&mut self, record: &Record, now: Timestamp) {
        match record {
            Record::AttemptOpened { request, attempt } => self.granted(*request, attempt),
            Record::AttemptClosed { attempt, how, .. } => {
                let Some(lease) = self.leases.remove(attempt) else { return };
                let is_early = now < lease.expires_at && !lease.is_void && !lease.is_cancelled;
                self.demand(!is_early, || {
                    let left = lease.expires_at.0 - now.0;
                    format!(
                        "attempt {attempt} ({:?}) was {how:?} {left} ms before its lease ended",
                        lease.held
                    )
                });
                self.demand(*how != Closed::Settled, || format!("attempt {attempt} closed as settled"));
            }
            Record::Settled { outcome, .. } => {
                self.leases.remove(&outcome.attempt);
            }
            _ => {}
        }
    }

    fn granted(&mut self, request: RequestId, attempt: &Attempt) {
        let lease = Lease {
            held: attempt.held,
            granted_at: attempt.granted_at,
            expires_at: attempt.expires_at,
            ttl: attempt.expires_at.since(attempt.granted_at),
            request,
            worker: attempt.worker,
            // The claim may have been out when it was cancelled.
            is_cancelled: self.cancelled.contains(&request),
            // Until it is sent, and on a stream until it is accepted, it may go back without a fault.
            is_void: true,
        };
        self.leases.insert(attempt.id, lease);
    }

    /// A report counted: the job is accepted, and its lease longer.
    pub fn reported(&mut self, attempt: AttemptId, now: Timestamp, is_connected: bool) {
        if let Some(lease) = self.leases.get_mut(&attempt) {
            let longest = lease.granted_at.plus(lease.ttl * 20);
            lease.expires_at = lease.expires_at.max(now.plus(lease.ttl).min(longest));
            lease.is_void &= !is_connected;
        }
    }

    /// A worker on a stream has the job for as long as the stream is there.
    pub fn kept(&mut self, attempt: AttemptId) {
        if let Some(lease) = self.leases.get_mut(&attempt) {
            lease.is_void = false;
            lease.held = Held::Stream;
        }
    }

    /// A grant is on its way to a pop, which has nothing more to say before the result.
    pub fn sent(&mut self, attempts: &[Attempt]) {
        for attempt in attempts.iter().filter(|attempt| attempt.held == Held::Pop) {
            if let Some(lease) = self.leases.get_mut(&attempt.id) {
                lease.is_void = false;
            }
        }
    }

    /// Its worker gave it up, or it never reached its worker.
    pub fn given_up(&mut self, attempt: AttemptId) {
        if let Some(lease) = self.leases.get_mut(&attempt) {
            lease.is_void = true;
        }
    }

    /// A request was cancelled: its attempts may be called back.
    pub fn cancelled(&mut self, request: RequestId) {
        self.cancelled.insert(request);
        self.leases
            .values_mut()
            .filter(|lease| lease.request == request)
            .for_each(|lease| lease.is_cancelled = true);
    }

    /// The stream of a worker ended.
    pub fn cut(&mut self, worker: WorkerId) {
        let on_stream = |lease: &&mut Lease| lease.held == Held::Stream && lease.worker == worker;
        self.leases.values_mut().filter(on_stream).for_each(|lease| lease.is_void = true);
    }

    /// The broker crashed: streams are cut, logs are gone, and leases are what Records say.
    pub fn crashed(&mut self, stored_expiry: impl Fn(AttemptId) -> Option<Timestamp>) {
        self.logs.clear();
        self.leases.retain(|id, lease| {
            lease.is_void |= lease.held == Held::Stream;
            stored_expiry(*id).map(|expiry| lease.expires_at = expiry).is_some()
        });
    }

    /// A client was shown where its request stood when it asked.
    pub fn viewed(&mut self, asked: u64, view: &View) {
        let id = view.accepted.id;
        let (last, finished, done) = self.seen.get(&id).copied().unwrap_or_default();
        if asked < last {
            return;
        }
        self.demand(view.finished >= finished, || {
            format!(
                "request {id} showed {finished} results, now {}: an acknowledged result is gone",
                view.finished
            )
        });
        self.demand(!done || view.done, || format!("request {id} was done and is not any more"));
        let jobs = view.accepted.spec.jobs;
        let sum = view.finished + view.processing + view.waiting;
        self.demand(sum <= jobs, || format!("request {id} counts {sum} of {jobs} jobs"));
        let is_over = view.cancelled || view.faulted || view.done;
        self.demand(is_over || sum == jobs, || {
            format!("request {id} counts {sum} of {jobs} jobs, and is not over")
        });
        let is_complete = !view.done || view.finished == jobs || view.cancelled || view.faulted;
        self.demand(is_complete, || {
            format!("request {id} is done with {} of {jobs} and no reason", view.finished)
        });
        self.seen.insert(id, (asked, view.finished, view.done));
    }

    /// A request's log was dropped.
    pub fn shelved(&mut self, request: RequestId) {
        self.logs.remove(&request);
    }

    /// Something was appended to a request's log.
    pub fn logged(&mut self, request: RequestId, event: &Event) {
        let log = self.logs.entry(request).or_default();
        let was_done = log.is_done;
        log.is_done |= event.is_last();
        let mut wrong = None;
        match event {
            Event::Token { job, text, .. } => log.texts.entry(*job).or_default().push_str(text),
            Event::Reset { job: Some(job) } => {
                log.texts.remove(job);
            }
            Event::Reset { job: None } => log.texts.clear(),
            Event::Result { job, outcome, .. } => {
                if let Product::Text(text) = &outcome.product {
                    let told = log.texts.get(job).cloned().unwrap_or_default();
                    if told != *text {
                        wrong = Some(format!("job {job} of {request} was told as {told:?} but is {text:?}"));
                    }
                }
            }
            _ => {}
        }
        self.demand(!was_done, || format!("the log of {request} goes on after its end: {event:?}"));
        if let Some(wrong) = wrong {
            self.complain(wrong);
        }
    }
}
