//! Carries on from what Records hold.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Engine, Timer,
    queue::Place,
    request::{Job, JobState, Lease, Request, View},
};
use crate::domain::{
    Timestamp,
    lease::{Closed, Held},
    record::{Snapshot, StoredRequest},
};

impl Engine {
    /// Takes over a snapshot. Attempts that were held over streams get a while to be presented again;
    /// popped ones keep their lease.
    pub fn restore(&mut self, now: Timestamp, snapshot: Snapshot) {
        for user in snapshot.users {
            self.accounts.insert(user);
        }
        for worker in snapshot.workers {
            self.fleet.restore(worker);
        }
        self.board.restore(snapshot.board);
        for stored in snapshot.requests {
            self.restore_request(now, stored);
        }
        self.count_capacity(now);
    }

    fn restore_request(&mut self, now: Timestamp, stored: StoredRequest) {
        let mut request = rebuild(stored);
        if !request.done {
            // A request must not end because nobody was there to serve it.
            request.expires_at = request.expires_at.max(now.plus(self.rules.keep));
        }
        match self.peers.are_possible() {
            true => self.give_away(now, &mut request),
            false => self.take_up(now, &mut request),
        }
        self.admit(request, now);
    }

    /// Goes on with the leases of a request.
    fn take_up(&mut self, now: Timestamp, request: &mut Request) {
        let (id, kind) = (request.id(), request.kind());
        // A broker that was down long must not punish workers that were not.
        let reprieve = now.plus(self.rules.grace * 2);
        for (index, job) in request.jobs.iter_mut().enumerate() {
            let JobState::Held(lease) = &mut job.state else { continue };
            lease.attempt.expires_at = lease.attempt.expires_at.max(reprieve);
            if lease.attempt.held == Held::Stream {
                lease.deadline = Some(reprieve);
            }
            self.timers.insert((lease.due(), Timer::Lease(lease.attempt.id)));
            self.places.insert(lease.attempt.id, (id, index));
            self.holds.add(kind, lease.attempt.worker, lease.attempt.id);
        }
    }

    /// Takes a request in that was read from Records, once its leases are seen to.
    pub(super) fn admit(&mut self, request: Request, now: Timestamp) {
        let id = request.id();
        for (index, job) in request.jobs.iter().enumerate() {
            if let JobState::Done(outcome) = &job.state {
                self.places.insert(outcome.attempt, (id, index));
            }
        }
        for attempt in request.closed.keys() {
            self.places.entry(*attempt).or_insert((id, 0));
        }
        let waiting = request.waiting_jobs();
        if !waiting.is_empty() {
            self.queue.change_jobs(request.place, &request.accepted, &waiting, true);
        }
        if request.done {
            self.finished_bytes += request.size_bytes();
            self.finished.push_back(id);
        } else {
            self.open_bytes += request.accepted.spec.size_bytes();
            self.accounts.active(request.accepted.owner, id, true);
        }
        self.requests.insert(id, request);
        // It is looked at once at the first tick: all its jobs may have ended already, if the last one
        // was a claim that went down with the broker.
        self.set_alarm(id, now);
    }
}

/// Where a request that is not in memory stands, as Records have it.
pub fn stored_view(stored: StoredRequest) -> View {
    let request = rebuild(stored);
    View {
        finished: request.delivered().count(),
        processing: request.held().count(),
        restarted: request.faults,
        waiting: request.waiting(),
        done: request.done || request.faulted,
        faulted: request.faulted,
        cancelled: request.cancelled,
        wait_seconds: 0,
        position: 0,
        consumed: request.consumed,
        is_possible: request.done && !request.faulted,
        outcomes: request.delivered().cloned().collect(),
        standings: request.standings(),
        accepted: request.accepted,
    }
}

pub(super) fn rebuild(stored: StoredRequest) -> Request {
    let is_over = stored.cancelled || stored.faulted || stored.done;
    let idle = || if is_over { JobState::Dropped } else { JobState::Waiting };
    let mut jobs: Vec<Job> = (0..stored.request.spec.jobs).map(|_| Job::new(idle())).collect();
    let mut closed = BTreeMap::new();
    let mut faults = 0;
    for (job, number, id, how) in stored.closed {
        jobs[job].attempts = jobs[job].attempts.max(number);
        if how == Closed::Faulted {
            faults += 1;
            jobs[job].failed.insert(id);
        }
        closed.insert(id, how);
    }
    for attempt in stored.open {
        let job = &mut jobs[attempt.job];
        job.attempts = job.attempts.max(attempt.number);
        // Reports may have made the lease longer; what each one adds must not grow with it.
        let longest = Duration::from_secs(stored.request.spec.ttl_seconds(true, true));
        let ttl = attempt.expires_at.since(attempt.granted_at).min(longest);
        job.state = JobState::Held(Box::new(Lease {
            offer: None,
            accepted: true,
            cancelled: stored.cancelled && attempt.held == Held::Stream,
            deadline: None,
            ttl,
            stored_expiry: attempt.expires_at,
            reported: String::new(),
            progress: None,
            told_bytes: 0,
            is_quiet: false,
            borrowed_from: None,
            attempt,
        }));
    }
    for outcome in stored.outcomes {
        let job = &mut jobs[outcome.job];
        job.attempts = job.attempts.max(outcome.number);
        job.state = JobState::Done(outcome);
    }
    let mut request = Request {
        place: Place::of(&stored.request),
        accepted: stored.request,
        expires_at: stored.expires_at,
        alarm_at: stored.expires_at,
        cancelled: stored.cancelled,
        faulted: stored.faulted,
        done: stored.done,
        consumed: stored.consumed,
        faults,
        jobs,
        is_ours: true,
        closed,
    };
    for job in 0..request.jobs.len() {
        if request.is_spent(job) && matches!(request.jobs[job].state, JobState::Waiting) {
            request.jobs[job].state = JobState::Dropped;
        }
    }
    request
}
