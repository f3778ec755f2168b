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
mod addresses;
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
mod kudos;
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
mod rules;
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
};

use uuid::Uuid;

use crate::domain::{
    AttemptId, OfferId, RequestId, Timestamp, UserId, WorkerId,
    board::WorkerMessage,
    event::Event,
    lease::Attempt,
    news::Delivered,
    price::ModelSizes,
    record::Record,
    request::{Kind, Spec},
};

pub use accounts::NewUser;
pub use addresses::Doubt;
pub use board::{ModesUpdate, NewMessage};
pub use census::{ModelLine, Performance};
pub use checkin::{Arrival, PeopleRules};
pub use explain::{Block, Change, Count, Explanation, Gain, KindExplanation, Position, WorkerExplanation};
pub use forms::Standing;
pub use kudos::{NewTransfer, Receiver};
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
pub use rules::Rules;
pub use standing::{WorkerUpdate, WorkerUpdated};
pub use styles::{Styled, count_members, count_style, keep_style};
pub use submit::{Asked, Submitted};
pub use teams::{NewTeam, Roll};
pub use vet::Vetted;

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

    /// The same, and whoever asked for the verb need not know whether it holds.
    fn part(&mut self) {
        self.effects.push(Effect::Apart);
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
    /// those after may hold all the same. Whoever asked for the verb waits for all of them, and is told of
    /// the first that is refused.
    Cut,
    /// As `Cut`, for what follows from the verb and is not what was asked for: whoever asked is told that it
    /// is done even if Records refuse this, because another broker did it, or something else, meanwhile.
    Apart,
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
    doubts: addresses::Doubts,
    problems: problems::Problems,
    blocked: filters::Blocked,
    months: kudos::Months,
}

impl Engine {
    /// An engine that knows the anonymous account and nothing else.
    pub fn new(rules: Rules, models: Arc<dyn ModelSizes>) -> Self {
        Self {
            months: kudos::Months::of(&rules),
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
            doubts: addresses::Doubts::default(),
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
