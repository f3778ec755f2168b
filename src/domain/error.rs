//! What can go wrong, in words that mean the same over gRPC, over HTTP and in the log.

mod rule;

use std::time::Duration;

use super::{AttemptId, Kudos, account::AccountRule, request::Kind, transfer::KudosRule};

pub use rule::ParamRule;

/// A result with this room's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call is refused.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The key in the header belongs to nobody.
    #[error("no user matching the API key was found; register, or use the anonymous key 0000000000")]
    InvalidApiKey,
    /// An account that is asked for does not exist.
    #[error("no user matches this ID or key")]
    UserNotFound,
    /// The account is scheduled for deletion.
    #[error("this account is scheduled for deletion")]
    DeletedUser,
    /// A rule of accounts is broken.
    #[error(transparent)]
    Account(#[from] AccountRule),
    /// The call makes no sense as a whole.
    #[error("{0}")]
    BadRequest(String),
    /// The server that is to answer in our place cannot be reached, or breaks off.
    #[error("this is answered by another server, which cannot be reached; try again later")]
    LegacyUnreachable,
    /// The same, and it takes too long.
    #[error("this is answered by another server, which did not answer in time; try again later")]
    LegacyTooSlow,
    /// A text request without a prompt.
    #[error("the prompt is empty: say what should be generated")]
    MissingPrompt,
    /// A rule of image or text parameters is broken: a stable code of the contract, and what to change.
    #[error("{message}")]
    BadParams {
        /// The return code.
        rule: ParamRule,
        /// What to change.
        message: String,
    },
    /// As many jobs wait as the account may have.
    #[error(
        "{waiting} of your jobs are waiting and {asked} more would exceed your limit of {limit}; wait until some are done"
    )]
    TooManyPrompts {
        /// Jobs waiting now.
        waiting: usize,
        /// Jobs asked for.
        asked: usize,
        /// Jobs allowed.
        limit: usize,
    },
    /// The broker's queue is full.
    #[error("the queue is full; retry in {} s", .retry_after.as_secs())]
    QueueFull {
        /// How long to wait.
        retry_after: Duration,
    },
    /// Unknown ID, or its request expired.
    #[error("no request with ID {0} (it may have expired)")]
    RequestNotFound(String),
    /// Unknown worker.
    #[error("no worker with ID or name {0}")]
    WorkerNotFound(String),
    /// The anonymous account cannot own workers.
    #[error("anonymous users cannot run workers; create an account and use its key")]
    AnonForbiddenWorker,
    /// A worker or a job of another account.
    #[error("wrong credentials: this worker or job belongs to another user")]
    WrongCredentials,
    /// A worker of another kind has the name.
    #[error("a worker of another kind has the name {0}; choose another name")]
    PolymorphicNameConflict(String),
    /// Too many workers for the account.
    #[error("this account has {count} workers, and no more are let in{}", if *.trusted { "" } else { " until it is trusted" })]
    TooManyWorkers {
        /// Workers that exist.
        count: usize,
        /// Workers that an account of its kind should have; one more is let in.
        limit: usize,
        /// Whether the account is trusted.
        trusted: bool,
    },
    /// The worker's owner is flagged.
    #[error("the worker's owner is flagged; this worker is in forced maintenance mode")]
    WorkerFlagged,
    /// The worker is in maintenance and its owner has nothing waiting.
    #[error("worker is in maintenance mode: {0}")]
    WorkerMaintenance(String),
    /// A priority name that is not `alias#id`.
    #[error("priority user name {0:?} is not of the form alias#id")]
    InvalidPriorityUsername(String),
    /// No attempt with this ID.
    #[error("Processing Job with ID {0} does not exist")]
    InvalidJobId(String),
    /// The attempt has its result already.
    #[error("Processing Generation with ID {attempt} already submitted; it was rewarded with {reward} kudos")]
    DuplicateGen {
        /// The attempt.
        attempt: AttemptId,
        /// What it was paid.
        reward: Kudos,
    },
    /// The attempt was closed before its result came.
    #[error("Processing Generation with ID {0} aborted: its lease ended. Please check your worker speed")]
    AbortedGen(AttemptId),
    /// Reported text begins after what is known.
    #[error(
        "reported text of job {attempt} begins at byte {offset}, but only {known} bytes are known; send again from byte {known}"
    )]
    TokenGap {
        /// The attempt.
        attempt: AttemptId,
        /// Where the report begins.
        offset: u64,
        /// Where it should begin.
        known: u64,
    },
    /// A NUL character in text that would be stored.
    #[error("the text contains a NUL character; remove it")]
    NulByte,
    /// Neither the owner of a worker or a team nor a moderator.
    #[error("only the owner, or a moderator, may change this")]
    NotOwner,
    /// No moderator, and not the owner where owners may.
    #[error("this takes a moderator, or the owner of what is to change")]
    NotModerator,
    /// The anonymous account asks for what takes one of one's own.
    #[error("this takes an account of your own: the anonymous key 0000000000 is everybody's")]
    AnonForbidden,
    /// No administrator.
    #[error("this takes an administrator")]
    NotAdmin,
    /// A word in a worker's name is not wanted.
    #[error("the worker's name contains a word that is not wanted here; choose another name")]
    ProfaneWorkerName,
    /// A word in a worker's bridge agent is not wanted.
    #[error("bridge_agent contains a word that is not wanted here; choose another one")]
    ProfaneBridgeAgent,
    /// A word in what a worker's owner says of it is not wanted.
    #[error("info contains a word that is not wanted here; say it in other words")]
    ProfaneWorkerInfo,
    /// A worker's new name is too long.
    #[error("the worker's name is longer than 100 characters; choose a shorter one")]
    TooLongWorkerName,
    /// Another worker has the name.
    #[error("another worker has the name {0}; choose another one")]
    WorkerNameAlreadyExists(String),
    /// Unknown team.
    #[error("no team with ID {0}")]
    TeamNotFound(String),
    /// A shared key is to be changed, and nothing of it.
    #[error(
        "nothing of the shared key is to change: give at least one of kudos, expiry, name and the max_ fields"
    )]
    NoSharedKeyModSelected,
    /// Unknown message to workers.
    #[error("no message with ID {0} (it may have expired)")]
    MessageNotFound(String),
    /// A team is founded by whoever is not trusted.
    #[error("teams are founded by trusted accounts alone; join one, or ask a moderator")]
    UntrustedTeamCreation,
    /// Another team has the name, in whichever case of letters.
    #[error("another team has the name {0}; choose another one")]
    TeamNameAlreadyExists(String),
    /// A word in a team's name is not wanted.
    #[error("the team's name contains a word that is not wanted here; choose another name")]
    ProfaneTeamName,
    /// A word in what a team says of itself is not wanted.
    #[error("info contains a word that is not wanted here; say it in other words")]
    ProfaneTeamInfo,
    /// A team is to be changed, and nothing of it.
    #[error("nothing of the team is to change: give name, info or both")]
    NoTeamModSelected,
    /// A worker is to be changed, and nothing of it.
    #[error(
        "nothing of the worker is to change: give at least one of maintenance, info, paused, name and team"
    )]
    NoWorkerModSelected,
    /// A worker cannot be deleted while it holds jobs.
    #[error("this worker holds jobs; delete it once they are done")]
    WorkerLocked,
    /// New workers are let in by invitation only.
    #[error(
        "new workers are let in by invitation only; this account has {count} and is invited to have {invited}"
    )]
    WorkerInviteOnly {
        /// Workers that exist.
        count: usize,
        /// Workers that the account is invited to have.
        invited: usize,
    },
    /// Too many workers of an account behind one address.
    #[error("this account has {count} workers behind this address, and no more are let in beyond {limit}")]
    TooManySameIps {
        /// Workers that exist there.
        count: usize,
        /// Workers that an account of its kind should have there; one more is let in.
        limit: usize,
    },
    /// The address hides who is behind it.
    #[error("workers are not let in from this network, as it hides who is behind it; ask a moderator")]
    UnsafeIp,
    /// Whether the address hides who is behind it could not be found out.
    #[error("this address is new here and could not be checked, as too many are: come back in a while")]
    TooManyNewIps,
    /// The address is in timeout.
    #[error("nothing is taken from this address {}", time_left(*.retry_after))]
    TimeoutIp {
        /// How long it lasts.
        retry_after: Duration,
    },
    /// While many attack, who is not trusted is not heard from an address that hides who is behind it.
    #[error("at the moment only trusted users are served from this network, as it hides who is behind it")]
    UntrustedUnsafeIp,
    /// What the prompt asks for is not made here.
    #[error("this prompt asks for what is not made here{}", if *.is_suspect { "; asking for more of it shuts you out" } else { "" })]
    CorruptPrompt {
        /// Whoever asked is under suspicion for it.
        is_suspect: bool,
    },
    /// The whole broker is in maintenance.
    #[error("this server is in maintenance mode and takes no requests at the moment; try again later")]
    MaintenanceMode,
    /// Modes are to be changed, and none of them.
    #[error("no mode is to change: give at least one of maintenance_mode, invite_only_mode and raid_mode")]
    NoHordeModSelected,
    /// Unknown prompt filter.
    #[error("no filter with ID {0}")]
    FilterNotFound(String),
    /// A prompt filter is to be changed, and nothing of it.
    #[error(
        "nothing of the filter is to change: give at least one of regex, filter_type, description and replacement; \
         an empty text changes nothing"
    )]
    NoFilterModSelected,
    /// Images are to be rated that are not all there.
    #[error("this request is not done yet: rate its images when all of them are there")]
    AestheticsNotCompleted,
    /// Images are to be rated that are their requester's alone.
    #[error(
        "the images of this request are not shared, so that they cannot be rated: keep your rating to yourself"
    )]
    AestheticsNotPublic,
    /// Unknown style.
    #[error("no style with ID or name {0:?}")]
    StyleNotFound(String),
    /// Unknown style, where its kind is known.
    #[error("no {} style with ID {}", .0.word(), .1)]
    StyleOfKindNotFound(Kind, String),
    /// Unknown example of a style.
    #[error("this style has no example with ID {0}")]
    StyleExampleNotFound(String),
    /// Unknown collection.
    #[error("no collection with ID or name {0:?}")]
    CollectionNotFound(String),
    /// Another style or collection of the account has the name.
    #[error("you have a {0} with the name {1:?}: choose another name, or change that one")]
    NameTaken(&'static str, String),
    /// Styles are made by those who may.
    #[error("styles are made by customizers and trusted accounts: ask a moderator to become one")]
    StylesRequiresCustomizer,
    /// Styles and collections have an author.
    #[error("styles and collections have an author: the anonymous account can have none")]
    StylesAnonForbidden,
    /// A shared key that pays for styles pays for nothing else.
    #[error(
        "this shared key pays for what is asked for with its styles alone: ask for one of them, with a key of your own"
    )]
    SharedKeyAssignedStyles,
    /// Not for this account.
    #[error("{0}")]
    Forbidden(String),
    /// Nothing may be spent with a shared key any more.
    #[error("this shared key has no kudos left: ask whoever lent it for more, or send allow_downgrade")]
    SharedKeyEmpty,
    /// A shared key's time is over.
    #[error("the time of this shared key is over: ask whoever lent it for another one")]
    SharedKeyExpired,
    /// A shared key cannot pay for what is asked for.
    #[error(
        "this request costs {needed} kudos, and {left} are left of this shared key: ask for less, or send allow_downgrade"
    )]
    SharedKeyInsufficientKudos {
        /// What it costs.
        needed: Kudos,
        /// What is left.
        left: Kudos,
    },
    /// Kudos are not transferred or awarded.
    #[error(transparent)]
    Kudos(#[from] KudosRule),
    /// What is asked for needs kudos up front.
    #[error(
        "this request needs {needed} kudos up front, which the account cannot set aside{}",
        if *.may_shrink { ": ask for less, let slow workers take it, or send allow_downgrade" } else { ": leave the worker list out" }
    )]
    KudosUpfront {
        /// How many.
        needed: Kudos,
        /// Whether a smaller request would do without.
        may_shrink: bool,
    },
    /// The key that an account should get is in use.
    #[error("this API key is in use; choose another one")]
    KeyExists,
    /// The broker is going down.
    #[error("the broker is shutting down; retry in {} s", .retry_after.as_secs())]
    Draining {
        /// How long to wait.
        retry_after: Duration,
    },
    /// Another broker changed the same at the same moment, and was faster.
    #[error("another node of this broker changed the same just now; try again")]
    Overtaken,
    /// Records cannot be reached. The cause is in our log.
    #[error("the broker could not reach its storage; retry in {} s", .retry_after.as_secs())]
    StoreUnavailable {
        /// How long to wait.
        retry_after: Duration,
    },
}

/// How long a timeout lasts, as far as whoever is in it is told. Source: the timeouts of the v2 contract.
fn time_left(left: Duration) -> String {
    const TOLD: u64 = 4 * 24 * 3600;
    match left.as_secs() {
        seconds if seconds <= TOLD => format!("for another {seconds} s"),
        _ => "for days; ask a moderator".into(),
    }
}

impl Error {
    /// A broken parameter rule.
    pub fn params(rule: ParamRule, message: impl Into<String>) -> Self {
        Self::BadParams { rule, message: message.into() }
    }

    /// An account lends as many keys as it may.
    pub fn too_many_keys(limit: usize) -> Self {
        Self::Forbidden(format!("this account may lend {limit} keys at a time: delete one first"))
    }

    /// How long to wait before the same call may succeed; `None`: it will not.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::QueueFull { retry_after }
            | Self::Draining { retry_after }
            | Self::StoreUnavailable { retry_after } => Some(*retry_after),
            Self::TooManyPrompts { .. } => Some(Duration::from_secs(2)),
            Self::Overtaken => Some(Duration::from_secs(1)),
            _ => None,
        }
    }
}
