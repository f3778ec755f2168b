//! What other brokers over the same records did, as far as this one must know of it.

use std::sync::Arc;

use super::{AttemptId, RequestId, Timestamp, UserId, WorkerId, request::Kind};

/// One piece of news. May come late, twice, or (after [`News::Missed`]) not at all; what it is about is
/// in Records already, except a hold, which is written down a moment later.
#[derive(Clone, PartialEq, Debug)]
pub enum News {
    /// A job waits; the number of its next attempt.
    Waits {
        /// Whose job.
        request: RequestId,
        /// Its index.
        job: usize,
        /// The number of its next attempt.
        number: u32,
    },
    /// Another broker has given a job to a worker.
    Held(Hold),
    /// An attempt ended without a result. That its job waits again is news of its own.
    Returned {
        /// Whose job.
        request: RequestId,
        /// Its index.
        job: usize,
        /// Which attempt.
        attempt: AttemptId,
        /// It counts as a fault.
        is_fault: bool,
    },
    /// A job has its result, or will never have one.
    Over {
        /// Whose job.
        request: RequestId,
        /// Its index.
        job: usize,
    },
    /// A request was cancelled, or failed.
    Ended(RequestId),
    /// The lease of an attempt is over by far, and nobody has ended it. For the leader.
    Overdue {
        /// Whose job.
        request: RequestId,
        /// Which attempt.
        attempt: AttemptId,
    },
    /// Rows of these changed in Records.
    People {
        /// Accounts.
        users: Vec<UserId>,
        /// Workers.
        workers: Vec<WorkerId>,
    },
    /// What holds for everybody changed in Records.
    Board,
    /// Filters that moderators keep changed in Records.
    Filters,
    /// When workers were last heard of, elsewhere.
    Seen(Vec<(WorkerId, Timestamp)>),
    /// A worker opened a stream elsewhere at this instant: the newest wins.
    StreamOpened(WorkerId, Timestamp),
    /// A job was delivered elsewhere.
    Delivered(Delivered),
    /// News may have been missed: everything is to be read again.
    Missed,
}

/// A job that a worker has from another broker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hold {
    /// Whose job.
    pub request: RequestId,
    /// Its index.
    pub job: usize,
    /// Number of the attempt.
    pub number: u32,
    /// The attempt.
    pub attempt: AttemptId,
    /// The broker that talks to the worker; empty: nobody knows which.
    pub broker: Arc<str>,
    /// It was pushed on a stream of that broker's.
    pub is_stream: bool,
    /// That broker took it over from this one.
    pub is_taken_from_us: bool,
}

/// What a delivery adds to the figures of its model.
#[derive(Clone, PartialEq, Debug)]
pub struct Delivered {
    /// Kind of the job.
    pub kind: Kind,
    /// Model that made it.
    pub model: String,
    /// Work done: pixel-steps, or tokens.
    pub things: f64,
    /// Things per second.
    pub speed: f64,
}
