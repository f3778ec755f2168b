//! What must be on disk before anybody is told: one entry per durable change.
//!
//! Figures and states of requests are written as changes, not as values: several brokers over one
//! store may count at the same time, and none of them knows the sum.

use std::sync::Arc;

use super::{
    AttemptId, Kudos, RequestId, SharedKeyId, TeamId, Timestamp, UserId, WorkerId,
    account::Amendment,
    board::{Board, BoardChange},
    filters::FilterChange,
    kudos::Posting,
    lease::{Attempt, Closed},
    request::Accepted,
    result::Outcome,
    shared_key::{KeyChange, SharedKey},
    standing::Ruling,
    stats::Counted,
    style::StyleChange,
    team::TeamFigures,
    transfer::Transfer,
    user::{Role, User, UserStats},
    webhook::Webhook,
    worker::{Worker, WorkerChange},
};

/// A durable change. Applied in order; a batch is on disk whole or not at all.
#[derive(Clone, Debug)]
pub enum Record {
    /// An account was made.
    UserMade(Arc<User>),
    /// A worker popped for the first time. Its owner is an account that was made before. Its figures
    /// are not in it.
    WorkerMade {
        /// The worker.
        worker: Arc<Worker>,
        /// Workers that its owner may have without it; past it, it is refused.
        limit: usize,
        /// Whether its owner is trusted.
        trusted: bool,
    },
    /// A worker says something new of itself. Refused if it was not made. Its figures are not in it, nor
    /// what a [`Record::WorkerRuled`] changes.
    WorkerSaid(Arc<Worker>),
    /// A worker did something.
    WorkerCounted {
        /// Which.
        worker: WorkerId,
        /// What to add to its figures.
        change: WorkerChange,
    },
    /// Something else is said of a worker. Refused if another one has the name that it should get, or if
    /// it was not made.
    WorkerRuled {
        /// Which.
        worker: WorkerId,
        /// What is said now.
        ruling: Box<Ruling>,
    },
    /// A worker goes, and all that is known of it. Refused while it holds a job.
    WorkerDropped(WorkerId),
    /// Something changed that holds for everybody.
    BoardChanged(BoardChange),
    /// Something changed of the filters that moderators keep.
    FilterChanged(FilterChange),
    /// A job was delivered that figures tell of.
    JobCounted(Counted),
    /// A request was accepted.
    RequestAccepted {
        /// The request.
        request: Accepted,
        /// Until when it is kept.
        expires_at: Timestamp,
        /// Jobs of the kind that its owner may have waiting, these included; past it, it is refused.
        limit: usize,
    },
    /// Kudos were set aside for a request that is accepted with it: refused if its owner's balance, down
    /// to the floor, does not cover this and what is set aside for others of its requests. What the request
    /// costs is taken from them; what is left is free again once it is done.
    KudosHeld {
        /// Which request.
        request: RequestId,
        /// Whose kudos.
        owner: UserId,
        /// How many.
        amount: Kudos,
        /// What the balance may not fall below.
        floor: Kudos,
    },
    /// Kudos of a key that is lent were kept for a request that is accepted with it: refused if its budget
    /// does not cover this and what is kept for others. What is spent with the key for the request is taken
    /// from them; what is left is free again once it is done.
    KeyHeld {
        /// Which request.
        request: RequestId,
        /// Which key.
        key: SharedKeyId,
        /// Who lends it.
        owner: UserId,
        /// How many.
        amount: Kudos,
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
        /// Whose job.
        request: RequestId,
        /// Which.
        attempt: AttemptId,
        /// How: never [`Closed::Settled`].
        how: Closed,
    },
    /// An attempt ended with a result, which was paid.
    Settled {
        /// Whose job.
        request: RequestId,
        /// The result.
        outcome: Arc<Outcome>,
    },
    /// A webhook is to be told of a job that is settled by the same deed. It was not tried before.
    WebhookDue(Webhook),
    /// Kudos moved.
    Posted(Posting),
    /// An account gives kudos to another; they are posted in the same deed. Refused if there is a transfer
    /// with its ID, if the receiver sent some to the sender within [`COOL_DOWN`](super::transfer::COOL_DOWN),
    /// and if the sender's balance then does not cover the floor and what is set aside.
    KudosTransferred {
        /// The transfer.
        transfer: Arc<Transfer>,
        /// What the sender's balance may not fall below.
        floor: Kudos,
    },
    /// A lent key may be spent on more, if what may be spent with it is bounded.
    SharedKeyFilled {
        /// Which.
        key: SharedKeyId,
        /// Who lends it.
        owner: UserId,
        /// How many kudos more.
        amount: Kudos,
    },
    /// An account gets more or less each month, down to nothing; the months count from then if they did
    /// not before.
    MonthlyChanged {
        /// Which.
        user: UserId,
        /// How much more.
        delta: Kudos,
        /// When.
        at: Timestamp,
    },
    /// A month is paid for; the kudos are posted in the same deed. Refused if the last payment was for
    /// another instant.
    MonthlyPaid {
        /// To whom.
        user: UserId,
        /// The instant that the last payment was for.
        before: Option<Timestamp>,
        /// The instant that this one is for.
        at: Timestamp,
    },
    /// An account's figures changed.
    UserCounted {
        /// Whose.
        user: UserId,
        /// What to add to the figures.
        change: UserStats,
    },
    /// An account has a role from now on, if it had it not.
    RoleGiven {
        /// Whose.
        user: UserId,
        /// Which.
        role: Role,
    },
    /// Something else is said of an account. Refused if another one has the key, the identity or the passkey
    /// that it should get.
    UserAmended {
        /// Whose.
        user: UserId,
        /// What is said now.
        amendment: Box<Amendment>,
    },
    /// An account lends a key. Refused if there is one with this ID.
    SharedKeyMade {
        /// The key.
        key: Arc<SharedKey>,
        /// Keys that the account may lend, this one included; past it, it is refused. `None`: any number.
        limit: Option<usize>,
    },
    /// Something else is said of a key that is lent. Refused if there is none.
    SharedKeyChanged {
        /// Which.
        key: SharedKeyId,
        /// Who lends it.
        owner: UserId,
        /// What changes.
        change: Box<KeyChange>,
    },
    /// A key is lent no more. Refused if there is none.
    SharedKeyDropped {
        /// Which.
        key: SharedKeyId,
        /// Who lent it.
        owner: UserId,
    },
    /// Kudos were spent with a key that is lent, as far as it has any.
    SharedKeyUsed {
        /// Which.
        key: SharedKeyId,
        /// For which request.
        request: RequestId,
        /// Who lends it.
        owner: UserId,
        /// How many.
        amount: Kudos,
    },
    /// Something changed of styles or collections, or one was asked for.
    Style(Box<StyleChange>),
    /// A worker did something while it was in a team.
    TeamCounted {
        /// Which team.
        team: TeamId,
        /// What to add to its figures.
        figures: TeamFigures,
    },
    /// A worker's time online is paid for: refused if its rewards before this one are not `number` − 1.
    UptimeRewarded {
        /// Which.
        worker: WorkerId,
        /// Counts its rewards; the first is 1.
        number: i64,
    },
    /// A request's state changed. It is done once every job has its result, or once it is cancelled
    /// or faulted and no attempt is open: the store finds that out by itself.
    RequestMoved {
        /// Which.
        request: RequestId,
        /// It is kept until then at least.
        expires_at: Timestamp,
        /// What was waiting is cancelled from now on.
        cancelled: bool,
        /// It failed too often, or outlived its time.
        faulted: bool,
        /// Kudos spent now.
        spent: Kudos,
    },
    /// A request's time is over; everything of it goes. Refused if it is kept for longer than that by
    /// now, or a worker holds a job of it.
    RequestDropped {
        /// Which.
        request: RequestId,
        /// Its time is over if it is kept until then at most.
        before: Timestamp,
    },
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
    /// What holds for everybody.
    pub board: Board,
}

/// What became of an attempt that the engine no longer knows.
#[derive(Clone, Debug)]
pub struct PastAttempt {
    /// Whose job it was.
    pub request: RequestId,
    /// How it ended; `None`: it is open in Records.
    pub how: Option<Closed>,
    /// Who had it.
    pub worker: WorkerId,
    /// What was paid, if it was settled.
    pub reward: Kudos,
}
