//! The verbs, as a job meets them; no I/O, no clock, no tasks.
//!
//! ```text
//!  submit                claim, claimed             settle
//! ───────► [waiting] ───────────────► [held] ─────────► [done]
//!              ▲                       │   │
//!              └── expired, returned ──┘   └─ faulted too often ─► [dropped]
//! any open state ─ cancelled, or its request expired ─► [dropped]
//! ```
//!
//! Each verb is a method that takes a [`Step`]: the present instant, dice for IDs and chance, and a
//! list that it appends its [`Effect`]s to. The caller (the host, a test, a simulation) carries the
//! effects out in order, and holds an answer back until the records before it are on disk. What the
//! engine keeps is a picture of Records and of who is waiting; it can be rebuilt from a
//! [`Snapshot`](crate::domain::record::Snapshot) at any time.
//!
//! A grant is two steps: [`Effect::Claim`] asks whoever knows all brokers, [`Engine::claimed`] or
//! [`Engine::lost`] is the answer. Only then is there an attempt, and only when that is on disk does
//! a worker hear of it.

mod accounts;
mod board;
mod census;
mod checkin;
mod decoys;
mod draw;
mod earnings;
mod ending;
mod explain;
mod filters;
mod fleet;
mod forms;
mod holds;
mod lease;
mod lending;
#[cfg(test)]
mod lifecycle;
pub mod matching;
mod media;
mod membership;
mod notes;
mod offer;
mod operations;
mod outlook;
mod params;
mod peers;
#[cfg(test)]
mod peopled;
#[cfg(test)]
mod picks;
mod problems;
mod queue;
mod request;
mod restore;
mod result;
mod routes;
#[cfg(test)]
pub(crate) mod stage;
mod standing;
#[cfg(test)]
mod stories;
mod styles;
mod submit;
mod teams;
mod upkeep;
mod vet;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use uuid::Uuid;

use crate::domain::{
    AttemptId, OfferId, RequestId, Timestamp, UserId, WorkerId,
    board::WorkerMessage,
    earning::Promotion,
    event::Event,
    filters::Filters,
    lease::Attempt,
    news::Delivered,
    price::ModelSizes,
    record::Record,
    request::{Kind, Spec},
};

pub use accounts::NewUser;
pub use board::{ModesUpdate, NewMessage};
pub use census::{ModelLine, Performance};
pub use checkin::{Arrival, PeopleRules};
pub use explain::{Block, Change, Count, Explanation, Gain, KindExplanation, Position, WorkerExplanation};
pub use forms::Standing;
pub use lease::{MAX_EXTENSIONS, Report};
pub use lending::NewSharedKey;
pub use media::Wish;
pub use membership::{Registration, UserUpdate, UserUpdated};
pub use offer::{HeldPop, HeldStream};
pub use peers::Adoption;
pub use problems::Problem;
pub use request::View;
pub use restore::stored_view;
pub use result::Submission;
pub use standing::{WorkerUpdate, WorkerUpdated};
pub use styles::{Styled, count_members, count_style, keep_style};
pub use submit::{Asked, Submitted};
pub use teams::{NewTeam, Roll};
pub use vet::Vetted;

/// What an operator can set of the engine's rules.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Jobs that may wait in all; past it, submits are refused.
    pub max_waiting_jobs: usize,
    /// Bytes of prompts and parameters of requests that are not done; past it, submits are refused.
    pub max_open_bytes: usize,
    /// Requests that are done and still kept in memory; older ones are read from Records.
    pub max_finished_requests: usize,
    /// Bytes of them, prompts and results; past it the oldest are read from Records too.
    pub max_finished_bytes: usize,
    /// How long a request is kept after it was last touched.
    pub keep: Duration,
    /// A pushed attempt that is not reported on for so long goes back.
    pub accept_within: Duration,
    /// How long the attempts of a cut stream wait for their worker.
    pub grace: Duration,
    /// How long a worker may still hand in a job of a cancelled request.
    pub cancel_grace: Duration,
    /// When accounts are trusted by themselves.
    pub promotion: Promotion,
    /// Attempts that may fail before their request does.
    pub max_faults: usize,
    /// Room in its request's log that the reports of one attempt may fill, in bytes; what does not fit
    /// is told with the result.
    pub max_told_bytes: usize,
    /// Who may work here.
    pub people: PeopleRules,
    /// What prompts may not ask for.
    pub filters: Arc<Filters>,
    /// Requests that name workers need kudos up front.
    pub upfront_kudos_on_worker_list: bool,
    /// Requests that name the workers they are for go to those alone that serve who asks first.
    pub matched_targeting: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            max_waiting_jobs: 200_000,
            max_open_bytes: 1 << 30,
            max_finished_requests: 20_000,
            max_finished_bytes: 256 << 20,
            keep: Duration::from_secs(20 * 60),
            accept_within: Duration::from_secs(10),
            grace: Duration::from_secs(15),
            cancel_grace: Duration::from_secs(10),
            promotion: Promotion::default(),
            max_faults: 3,
            max_told_bytes: 4 << 20,
            people: PeopleRules::default(),
            filters: Arc::default(),
            upfront_kudos_on_worker_list: false,
            matched_targeting: false,
        }
    }
}

/// Where IDs and chance come from.
pub trait Dice: Send {
    /// A new ID that nobody can guess.
    fn uuid(&mut self) -> Uuid;
    /// A number from 0 to `bound` − 1, all alike.
    fn below(&mut self, bound: u64) -> u64;
}

/// One verb's surroundings.
pub struct Step<'a> {
    /// The present instant.
    pub now: Timestamp,
    /// IDs and chance.
    pub dice: &'a mut dyn Dice,
    /// What is to be done, in order.
    pub effects: &'a mut Vec<Effect>,
}

impl Step<'_> {
    fn persist(&mut self, record: Record) {
        self.effects.push(Effect::Persist(record));
    }

    /// What comes now is a deed of its own.
    fn cut(&mut self) {
        self.effects.push(Effect::Cut);
    }

    fn tell(&mut self, request: RequestId, event: Event) {
        self.effects.push(Effect::Tell { request, event });
    }

    fn deliver(&mut self, offer: OfferId, push: Push) {
        self.effects.push(Effect::Deliver { offer, push });
    }
}

/// Names a claim between [`Effect::Claim`] and its answer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ClaimId(pub u64);

/// Something the host is to do.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Put this on disk; everything after it waits for that, except [`Effect::Murmur`].
    Persist(Record),
    /// Ask whether these attempts may have their jobs; answer with `claimed` or `lost`.
    Claim(Claim),
    /// Tell those who watch a request.
    Tell {
        /// Whose log.
        request: RequestId,
        /// What happened.
        event: Event,
    },
    /// As `Tell`, at once: rests on nothing that is not on disk yet.
    Murmur {
        /// Whose log.
        request: RequestId,
        /// What happened.
        event: Event,
    },
    /// Send something to a waiting worker.
    Deliver {
        /// The pop or stream it waits on.
        offer: OfferId,
        /// What.
        push: Push,
    },
    /// Other brokers had a part in a request that is over here: read it from Records, and let the engine
    /// [learn](Engine::learn) what it says.
    Reread(RequestId),
    /// What comes after this rests on nothing that came before: should the records before be refused,
    /// those after may hold all the same.
    Cut,
    /// A job was delivered: figures that other brokers add to theirs.
    Delivered(Delivered),
    /// The request is no longer in memory, and its log need not be: Records answer for it.
    Shelve(RequestId),
    /// The request's log and objects are no longer needed.
    Forget {
        /// Whose.
        request: RequestId,
        /// Attempts whose objects go with it.
        attempts: Vec<AttemptId>,
    },
}

/// A wish to give jobs of one request to one worker.
#[derive(Clone, PartialEq, Debug)]
pub struct Claim {
    /// Names the answer.
    pub id: ClaimId,
    /// Whose jobs.
    pub request: RequestId,
    /// Their kind.
    pub kind: Kind,
    /// The attempts, one for each job.
    pub attempts: Vec<Attempt>,
    /// The offer they are meant for.
    pub offer: OfferId,
}

/// What a waiting worker is sent.
#[derive(Clone, Debug)]
pub enum Push {
    /// Jobs.
    Grant(Grant),
    /// A held pop ends without a job; why requests were passed over.
    Empty {
        /// Requests passed over, by reason.
        skipped: BTreeMap<&'static str, usize>,
    },
    /// Stop these.
    Cancel {
        /// The attempts.
        attempts: Vec<AttemptId>,
        /// Why, for people.
        reason: String,
    },
    /// Another stream was opened under the worker's name; this one ends.
    Replaced,
    /// The worker was deleted; its stream ends.
    Dismissed,
    /// A note of an operator, to a stream.
    Note(Arc<WorkerMessage>),
}

/// Jobs of one request, given to one worker.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The attempts, all with one seed and lease, and, forms of alchemy aside, one model.
    pub attempts: Vec<Attempt>,
    /// Whose jobs; not for the worker's eyes.
    pub request: RequestId,
    /// What to make.
    pub spec: Arc<Spec>,
    /// Length of the lease, in seconds.
    pub ttl_seconds: u64,
}

/// What the clock will drive, when its time comes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Timer {
    /// A lease may have ended, or a deadline of its stream.
    Lease(AttemptId),
    /// The lease of a decoy is over.
    Decoy(AttemptId),
    /// A held pop ends.
    Pop(OfferId),
    /// A stream gets back a credit that it left unused.
    Credit(OfferId),
    /// A request may have outlived its time.
    Request(RequestId),
    /// What another broker does with a request is not known for too long.
    Reread(RequestId),
    /// Maintenance began a moment ago: what waits is cancelled.
    Halt,
    /// A worker's time online may be paid for.
    Uptime(WorkerId),
    /// An account may have earned trust.
    Trust(UserId),
}

/// The state machine. See the module's docs.
pub struct Engine {
    rules: Rules,
    models: Arc<dyn ModelSizes>,
    accounts: accounts::Accounts,
    fleet: fleet::Fleet,
    requests: HashMap<RequestId, request::Request>,
    /// Attempts of the requests in memory, open and closed.
    places: HashMap<AttemptId, (RequestId, usize)>,
    /// Open attempts.
    holds: holds::Holds,
    queue: queue::Queue,
    offers: offer::Offers,
    decoys: decoys::Decoys,
    claims: HashMap<ClaimId, Claim>,
    next_claim: u64,
    timers: BTreeSet<(Timestamp, Timer)>,
    /// Done requests in memory, oldest first.
    finished: VecDeque<RequestId>,
    /// Bytes of requests in memory that are not done, and of those that are.
    open_bytes: usize,
    finished_bytes: usize,
    census: census::Census,
    peers: peers::Peers,
    board: board::Noticeboard,
    problems: problems::Problems,
    blocked: filters::Blocked,
}

impl Engine {
    /// An engine that knows the anonymous account and nothing else.
    pub fn new(rules: Rules, models: Arc<dyn ModelSizes>) -> Self {
        Self {
            rules,
            fleet: fleet::Fleet::new(models.clone()),
            queue: queue::Queue::new(models.clone()),
            models,
            accounts: accounts::Accounts::default(),
            requests: HashMap::new(),
            places: HashMap::new(),
            holds: holds::Holds::default(),
            offers: offer::Offers::default(),
            decoys: decoys::Decoys::default(),
            claims: HashMap::new(),
            next_claim: 0,
            timers: BTreeSet::new(),
            finished: VecDeque::new(),
            open_bytes: 0,
            finished_bytes: 0,
            census: census::Census::default(),
            peers: peers::Peers::default(),
            board: board::Noticeboard::default(),
            problems: problems::Problems::default(),
            blocked: filters::Blocked::default(),
        }
    }

    /// Takes over another model reference. What was accepted before stays as it was.
    pub fn learn_models(&mut self, models: Arc<dyn ModelSizes>) {
        self.fleet.learn_models(models.clone());
        let requests = self.requests.values().map(|request| (request.place, &request.accepted));
        self.queue.learn_models(models.clone(), requests);
        self.models = models;
    }
}
