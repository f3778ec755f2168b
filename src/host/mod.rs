//! Runs the engine: one owner task; verbs in, effects out; group commit; streams.
//!
//! ```text
//!  rpc ──act(verb)──► owner task ──effects──► records batch ──commit──► answers, events, pushes
//!                        ▲   ▲                                            (in the order of effects)
//!             clock ─────┘   └── claims answered, streams ended
//! ```
//!
//! Whatever a verb answers or sends is held back until every record before it is on disk. While one
//! batch is being written the next one gathers, so a busy broker syncs once for many verbs.
//! The exception is what rests on nothing durable: tokens and progress go out at once.

mod accounts;
mod addresses;
mod batch;
mod bulletin;
mod desk;
mod dice;
mod documents;
pub mod files;
mod filters;
mod keys;
mod kudos;
mod links;
mod objects;
mod owner;
mod peers;
mod seals;
mod sign_in;
mod sources;
mod stats;
mod styles;
mod sweep;
#[cfg(test)]
mod tests;
mod unwritten;
mod views;
mod watch;
mod webhooks;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::{
    backend::{Backend, Failure},
    domain::{AttemptId, Clock, Error, OfferId, RequestId, Result, Timestamp, price::ModelSizes},
    engine::{self, Engine, Rules, Step},
};

pub use crate::backend::{Cursor, Ranking};
pub use addresses::Porter;
pub use bulletin::Bulletin;
pub use desk::{Desk, Parcel, StreamPush, Ticket};
pub use documents::{Document, Documents};
pub use keys::new_key;
pub use links::Links;
pub use objects::{MAX_PREVIEW, ObjectKey, Objects, dimensions};
pub use sign_in::{PASS_TTL, SESSION_TTL, Session, SignIn, Unfinished, callback};
pub use sources::SourceImage;
pub use styles::{Authors, Picked};
pub use watch::Watching;
pub use webhooks::Webhooks;

/// Verbs that may wait for the owner task; past it callers wait their turn.
const MAILBOX: usize = 4096;
/// What a caller is told to wait when the store or the broker is not there, at least.
pub const RETRY_AFTER: Duration = Duration::from_secs(1);

type Release = Box<dyn FnOnce(Result<(), Error>) + Send>;
type Verb = Box<dyn FnOnce(&mut Engine, &mut Step<'_>, &mut Desk) -> Release + Send>;

/// What the owner task is sent.
enum Letter {
    Act(Verb),
    Undelivered(Vec<AttemptId>),
    Withdraw(OfferId),
    StreamClosed(OfferId),
    Claim { id: engine::ClaimId, is_ours: bool },
}

/// A handle on the running engine. Cheap to clone.
#[derive(Clone)]
pub struct Host {
    letters: mpsc::Sender<Letter>,
    shared: Arc<Shared>,
}

struct Shared {
    /// The owner task alone changes it; others look, for as long as a few lines take.
    engine: Mutex<Engine>,
    /// All that the engine knows is on disk. Set false under the engine's lock.
    is_stored: AtomicBool,
    backend: Backend,
    clock: Arc<dyn Clock>,
    /// Accounts by key; grows with each look-up that Records answer.
    keys: RwLock<keys::Keys>,
    is_storing: AtomicBool,
    /// Filters of prompts, as files and Records have them.
    filters: tokio::sync::Mutex<filters::Sieve>,
    /// What was made, as it was read last.
    stats: tokio::sync::Mutex<stats::Reading>,
    /// Deliveries that were written here.
    counted: AtomicU64,
    /// Somebody sees to it that what holds for everybody is read, as it could not be yet.
    is_board_late: AtomicBool,
    /// Kept if there may be other brokers.
    unwritten: Mutex<unwritten::Unwritten>,
    /// Told when webhooks are due that were not before.
    webhooks: Notify,
    /// Turns of accounts that give kudos.
    turns: kudos::Turns,
    /// Of those who check the books.
    auditing: tokio::sync::Mutex<()>,
    /// When it was last told what accounts hold.
    holdings_told_at: Mutex<Option<Timestamp>>,
    /// Counts looks at what requests have to expect.
    looks: watch::Looks,
    /// Up to which name objects were looked at by the last sweep; empty: all were.
    objects_swept_to: Mutex<String>,
    stopping: CancellationToken,
}

/// The running owner task.
pub struct Running {
    /// For callers.
    pub host: Host,
    /// Ends when the engine has stopped and all that was accepted is on disk; an error means that
    /// the records could not be written and the process must end.
    pub task: tokio::task::JoinHandle<Result<(), Failure>>,
}

/// Starts an engine over a back end, from what the records hold.
///
/// # Errors
/// The records cannot be read.
pub async fn start(
    backend: Backend,
    rules: Rules,
    models: Arc<dyn ModelSizes>,
    clock: Arc<dyn Clock>,
    stopping: CancellationToken,
) -> Result<Running, Failure> {
    let is_shared = backend.peers.are_possible();
    // Before the records are read: what happens from then on will be heard.
    backend.peers.begin().await?;
    let snapshot = backend.records.load().await?;
    let now = clock.now();
    let mut keys = keys::Keys::default();
    snapshot.users.iter().for_each(|user| keys.learn(user));
    // At most as many as moderators keep: callers wait for it as they do for the rest.
    let sieve = filters::Sieve::of(rules.filters.clone(), backend.records.filters().await?);
    let mut engine = Engine::new(Rules { filters: sieve.ready(), ..rules }, models);
    if is_shared {
        engine.share();
        engine.lead(now, backend.leadership.is_leader());
    }
    let open: Vec<RequestId> = snapshot.requests.iter().map(|stored| stored.request.id).collect();
    backend.claims.restore(&snapshot).await?;
    engine.restore(now, snapshot);
    // Logs of several brokers are begun by those who have something to say.
    for id in open.into_iter().filter(|_| !is_shared) {
        if let Some(view) = engine.view(id, now) {
            backend.signals.begin(id, now, watch::retell(&view, engine.outlook(id, now))).await?;
        }
    }
    let (letters, mailbox) = mpsc::channel(MAILBOX);
    let shared = Shared {
        engine: Mutex::new(engine),
        is_stored: AtomicBool::new(true),
        backend,
        turns: kudos::Turns::default(),
        auditing: tokio::sync::Mutex::default(),
        holdings_told_at: Mutex::default(),
        objects_swept_to: Mutex::default(),
        clock,
        keys: RwLock::new(keys),
        is_storing: AtomicBool::new(true),
        filters: tokio::sync::Mutex::new(sieve),
        stats: tokio::sync::Mutex::default(),
        counted: AtomicU64::new(0),
        is_board_late: AtomicBool::new(false),
        unwritten: Mutex::default(),
        webhooks: Notify::new(),
        looks: watch::Looks::default(),
        stopping,
    };
    let host = Host { letters, shared: Arc::new(shared) };
    let owner = owner::Owner::new(host.clone(), mailbox);
    if is_shared {
        tokio::spawn(peers::follow(host.clone()));
        tokio::spawn(peers::tend(host.clone()));
    }
    Ok(Running { host, task: tokio::spawn(owner.run()) })
}

impl Host {
    /// Runs a verb; its answer comes once all that it rests on is on disk.
    ///
    /// # Errors
    /// The verb's own; [`Error::StoreUnavailable`] or [`Error::Draining`] when it cannot be carried out.
    pub async fn act<T, F>(&self, verb: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Engine, &mut Step<'_>, &mut Desk) -> Result<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let verb: Verb = Box::new(move |engine, step, desk| {
            let outcome = verb(engine, step, desk);
            Box::new(move |stored| {
                // A caller that went away needs no answer; what it asked for is done all the same.
                let _ = reply.send(stored.and(outcome));
            })
        });
        let gone = Error::Draining { retry_after: RETRY_AFTER };
        let away = Error::StoreUnavailable { retry_after: RETRY_AFTER };
        if self.is_store_away() {
            return Err(away);
        }
        self.letters.send(Letter::Act(verb)).await.map_err(|_| gone.clone())?;
        let mut answer = answer;
        loop {
            match tokio::time::timeout(RETRY_AFTER, &mut answer).await {
                Ok(answer) => return answer.unwrap_or(Err(gone)),
                // Nobody knows yet whether it will be on disk.
                Err(_) if self.is_store_away() => return Err(away),
                Err(_) => {}
            }
        }
    }

    /// Has the owner run something without an answer.
    async fn order(&self, verb: impl FnOnce(&mut Engine, &mut Step<'_>, &mut Desk) + Send + 'static) {
        let verb: Verb = Box::new(move |engine, step, desk| {
            verb(engine, step, desk);
            Box::new(|_| ())
        });
        // One that has stopped has no use for it.
        let _ = self.letters.send(Letter::Act(verb)).await;
    }

    /// Looks at the engine. The answer rests on what is on disk, as any other: at once if everything
    /// is, or else behind what is being written.
    ///
    /// # Errors
    /// As [`Host::act`].
    pub async fn read<T, F>(&self, look: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Engine, Timestamp) -> T + Send + 'static,
    {
        {
            let engine = self.shared.engine.lock();
            if self.shared.is_stored.load(Ordering::Acquire) {
                return Ok(look(&engine, self.now()));
            }
        }
        self.act(move |engine, step, _| Ok(look(engine, step.now))).await
    }

    /// Looks at the engine without waiting for the store: for what does not change, or is not told on.
    pub fn glance<T>(&self, look: impl FnOnce(&Engine, Timestamp) -> T) -> T {
        look(&self.shared.engine.lock(), self.now())
    }

    /// Waits until other brokers can see all that this one did, for a while at most.
    pub async fn flush(&self) {
        let backend = &self.shared.backend;
        tokio::join!(backend.signals.flush(), backend.claims.flush());
    }

    /// Whether the records can be reached.
    pub async fn is_healthy(&self) -> bool {
        self.shared.is_storing.load(Ordering::Relaxed) && self.shared.backend.records.ping().await.is_ok()
    }

    /// Verbs that wait for the owner task, and how many may.
    pub fn backlog(&self) -> (usize, usize) {
        let most = self.letters.max_capacity();
        (most - self.letters.capacity(), most)
    }

    /// The present instant.
    pub fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// Leaves the upkeep to other brokers, as this one ends.
    pub fn step_down(&self) {
        self.shared.backend.leadership.step_down();
    }

    /// Fires when the broker goes down.
    pub fn stopping(&self) -> &CancellationToken {
        &self.shared.stopping
    }

    /// Logs why the store failed, and says no more than that it did.
    fn stored<T>(&self, outcome: Result<T, Failure>) -> Result<T> {
        outcome.map_err(|error| {
            tracing::error!(%error, "the store failed");
            Error::StoreUnavailable { retry_after: RETRY_AFTER }
        })
    }

    /// Posts a letter from where nothing can wait; from a destructor, for one.
    fn post(&self, letter: Letter) {
        if let Err(mpsc::error::TrySendError::Full(letter)) = self.letters.try_send(letter) {
            let letters = self.letters.clone();
            tokio::spawn(async move {
                let _ = letters.send(letter).await;
            });
        }
    }
}
