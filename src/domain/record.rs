//! What must be on disk before anybody is told: one entry per durable change.

use std::sync::Arc;

use super::{
    AttemptId, Kudos, RequestId, Timestamp, UserId, WorkerId,
    kudos::Posting,
    lease::{Attempt, Closed},
    request::Accepted,
    result::Outcome,
    user::{User, UserStats},
    worker::{Worker, WorkerStats},
};

/// A durable change. Applied in order; a batch is on disk whole or not at all.
#[derive(Clone, Debug)]
pub enum Record {
    /// An account was made.
    UserMade(Arc<User>),
    /// A worker popped for the first time, or says something new of itself.
    WorkerSaid(Arc<Worker>),
    /// A request was accepted.
    RequestAccepted {
        /// The request.
        request: Accepted,
        /// Until when it is kept.
        expires_at: Timestamp,
    },
    /// A job was granted. On disk before the worker hears of it.
    AttemptOpened {
        /// Whose job.
        request: RequestId,
        /// The grant.
        attempt: Attempt,
    },
    /// A lease moved.
    LeaseMoved {
        /// Whose lease.
        attempt: AttemptId,
        /// Its new end.
        expires_at: Timestamp,
    },
    /// An attempt ended without a result.
    AttemptClosed {
        /// Which.
        attempt: AttemptId,
        /// How: never [`Closed::Settled`].
        how: Closed,
        /// The worker's figures after it.
        worker: Option<(WorkerId, WorkerStats)>,
    },
    /// An attempt ended with a result, which was paid.
    Settled {
        /// Whose job.
        request: RequestId,
        /// The result.
        outcome: Arc<Outcome>,
        /// The worker's figures after it.
        stats: WorkerStats,
    },
    /// Kudos moved.
    Posted(Posting),
    /// An account's figures changed.
    UserCounted {
        /// Whose.
        user: UserId,
        /// The figures.
        stats: UserStats,
    },
    /// A request's state changed.
    RequestMoved {
        /// Which.
        request: RequestId,
        /// Until when it is kept.
        expires_at: Timestamp,
        /// What was waiting was cancelled.
        cancelled: bool,
        /// It failed too often.
        faulted: bool,
        /// Nothing more will come.
        done: bool,
        /// Kudos spent so far.
        consumed: Kudos,
    },
    /// A request's time is over; everything of it goes.
    RequestDropped(RequestId),
}

/// A request as Records know it: what the engine needs to carry on, or to answer for it.
#[derive(Clone, Debug)]
pub struct StoredRequest {
    /// The request.
    pub request: Accepted,
    /// Until when it is kept.
    pub expires_at: Timestamp,
    /// What was waiting was cancelled.
    pub cancelled: bool,
    /// It failed too often.
    pub faulted: bool,
    /// Nothing more will come.
    pub done: bool,
    /// Kudos spent so far.
    pub consumed: Kudos,
    /// Attempts in progress.
    pub open: Vec<Attempt>,
    /// Of attempts that ended without a result: job, number, how.
    pub closed: Vec<(usize, u32, AttemptId, Closed)>,
    /// Results.
    pub outcomes: Vec<Arc<Outcome>>,
}

/// All that an engine starts from.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Accounts.
    pub users: Vec<User>,
    /// Workers.
    pub workers: Vec<Worker>,
    /// Requests that are not done.
    pub requests: Vec<StoredRequest>,
}

/// What became of an attempt that the engine no longer knows.
#[derive(Clone, Debug)]
pub struct PastAttempt {
    /// How it ended; `None`: it is open in Records.
    pub how: Option<Closed>,
    /// Who had it.
    pub worker: WorkerId,
    /// What was paid, if it was settled.
    pub reward: Kudos,
}
