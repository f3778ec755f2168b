//! Who holds which job, among several brokers: a live queue in Redis.
//!
//! ```text
//!  jobs:<kind>                 stream: an entry for each job that is not over; the group "workers"
//!                              shows people who holds what (XPENDING, XINFO CONSUMERS)
//!  {jobs:<kind>}:open          hash, job → entry, number, attempt, held, broker, worker: this decides
//!  {jobs:<kind>}:expiry        sorted set, job → end of its lease by Redis' own clock
//!  {jobs:<kind>}:log           stream of claims, returns and settlements, for other brokers
//!  {jobs:<kind>}:generation    the word that every script names; gone with a flush
//! ```
//!
//! A job is `<request>:<index>`. A claim is asked for at once, by whoever matches; all else follows
//! what is committed, by a task that tells Redis where jobs stand ([`ledger`], [`keeper`]).
//!
//! Failure by failure:
//! - *Redis does not answer, or the connection breaks*: the answer to a claim is unknown, and it is
//!   asked for again. The rest stays due and is told later; what was told twice changes nothing.
//! - *Redis lost all (flush, restart without a file)*: its generation is gone, which is looked at once a
//!   second and by each script. The queue is built again from Records, open attempts included, under
//!   a word of the builder's, so that nobody claims from half a queue.
//! - *Too much became due meanwhile*: it is dropped, and the queue is built again instead.
//! - *A claim that nobody wants any more* (its request was cancelled while it was under way, a broker
//!   died before it wrote the attempt down): Records do not know it, and its expiry brings it up.
//! - *A claim whose attempt Records refused*: whoever claimed asks Records until the job is free or over.
//! - *This broker died*: the leader finds its jobs by its silence; those popped over HTTP keep their lease.
//!
//! Several brokers share the queue. A start joins the one it finds; the leader alone builds it, looks
//! after claims whose time is over, and [compares](audit) it with Records. Each broker tells Redis what
//! it committed itself, and follows in its ledger what others told (see [`super::RedisPeers`]). After a
//! loss each tells again which attempts it looks after: Records do not say.

mod audit;
mod entry;
mod keeper;
mod ledger;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use fred::types::Value;
use parking_lot::{Mutex, RwLock};
use tokio::{sync::Notify, task::JoinSet};

use self::{
    keeper::Keeper,
    ledger::{Ledger, Step},
};
use super::{Link, scripts};
use crate::{
    backend::{ClaimAnswer, Claims, Failure, Leadership, Records},
    domain::{
        AttemptId, Clock, RequestId, WorkerId,
        lease::{Attempt, Held},
        news::News,
        record::{Record, Snapshot, StoredRequest},
        request::Kind,
    },
};

/// The group whose pending entries show who holds what.
const GROUP: &str = "workers";
/// The broker of jobs whose broker is not known.
pub(super) const NOBODY: &str = "?";
/// How long Redis is waited for when the broker ends.
const FLUSH_WITHIN: Duration = Duration::from_secs(3);
/// Steps that may wait for the task; past it they are dropped, and the queue is built again.
const MAX_STEPS: usize = 500_000;
/// Claims that are remembered until their attempt is committed. One that is forgotten is told twice.
const MAX_CLAIMED: usize = 100_000;

/// Claims kept in Redis.
pub struct RedisClaims {
    shared: Arc<Shared>,
    tasks: Mutex<JoinSet<()>>,
}

/// What the task and those who call share.
struct Shared {
    link: Arc<Link>,
    records: Arc<dyn Records>,
    leadership: Arc<dyn Leadership>,
    clock: Arc<dyn Clock>,
    /// Who is told of attempts that nobody has ended in time.
    tell_overdue: Mutex<Option<Box<dyn Fn(News) + Send + Sync>>>,
    /// The word of the live queue; `None` while it has to be built.
    generation: RwLock<Option<Arc<str>>>,
    /// Committed steps of which the task has not heard yet, in order.
    steps: Mutex<VecDeque<Step>>,
    /// Part of the live queue is gone, and its word is not.
    is_broken: AtomicBool,
    /// Steps were dropped.
    has_overflown: AtomicBool,
    /// Attempts that Redis has, and Records perhaps not yet.
    claimed: Mutex<HashSet<AttemptId>>,
    /// Workers by name, for claims. Ahead of the task's own list.
    names: RwLock<HashMap<WorkerId, Arc<str>>>,
    /// Steps and jobs that Redis has still to be told of.
    owes: AtomicUsize,
    /// There is something for the task.
    wake: Notify,
}

impl RedisClaims {
    /// Claims over this link. Records are read when Redis has lost what it held.
    pub fn new(
        link: Arc<Link>,
        records: Arc<dyn Records>,
        leadership: Arc<dyn Leadership>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let shared = Arc::new(Shared {
            link,
            records,
            leadership,
            clock,
            tell_overdue: Mutex::default(),
            generation: RwLock::default(),
            steps: Mutex::default(),
            is_broken: AtomicBool::new(false),
            has_overflown: AtomicBool::new(false),
            claimed: Mutex::default(),
            names: RwLock::default(),
            owes: AtomicUsize::new(0),
            wake: Notify::new(),
        });
        Self { shared, tasks: Mutex::default() }
    }

    /// The word of the live queue, while there is one.
    pub(super) fn generation(&self) -> Option<Arc<str>> {
        self.shared.generation.read().clone()
    }

    /// Hears what other brokers told Redis.
    pub(super) fn heard(&self, news: &[News]) {
        let is_of_jobs =
            |news: &&News| matches!(news, News::Waits { .. } | News::Held(_) | News::Over { .. });
        self.shared.take_steps(news.iter().filter(is_of_jobs).cloned().map(Step::Heard).collect());
    }

    /// Where attempts are told that nobody has ended in time.
    pub(super) fn tell_overdue_to(&self, tell: impl Fn(News) + Send + Sync + 'static) {
        *self.shared.tell_overdue.lock() = Some(Box::new(tell));
    }
}

#[async_trait]
impl Claims for RedisClaims {
    async fn claim(&self, request: RequestId, kind: Kind, attempts: &[Attempt]) -> ClaimAnswer {
        self.shared.claim(request, kind, attempts).await
    }

    async fn restore(&self, snapshot: &Snapshot) -> Result<(), Failure> {
        self.tasks.lock().abort_all();
        let ledger = Ledger::of(snapshot);
        self.shared.know(snapshot);
        let mut keeper = Keeper::new(self.shared.clone(), ledger);
        keeper.begin().await?;
        self.tasks.lock().spawn(keeper.run());
        Ok(())
    }

    async fn flush(&self) {
        let told = async {
            while self.shared.generation.read().is_some() && self.shared.owes.load(Ordering::Relaxed) > 0 {
                self.shared.wake.notify_one();
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(FLUSH_WITHIN, told).await.is_err() {
            tracing::warn!("Redis could not be told all before the end");
        }
    }

    fn learned(&self, stored: &[StoredRequest]) {
        self.shared.learn(stored, &[]);
    }

    async fn adopt(&self, stored: &[StoredRequest], attempts: &[AttemptId], at_once: bool) {
        self.shared.learn(stored, attempts);
        if at_once {
            self.shared.tell_adopted(stored, attempts).await;
        }
    }

    fn committed(&self, records: &mut (dyn Iterator<Item = &Record> + Send)) {
        self.shared.take_steps(records.filter_map(Step::of).collect());
    }

    fn refused(&self, records: &mut (dyn Iterator<Item = &Record> + Send)) {
        self.shared.take_steps(records.filter_map(Step::refused).collect());
    }
}

impl Shared {
    fn learn(&self, stored: &[StoredRequest], adopted: &[AttemptId]) {
        let learned = |stored: &StoredRequest| Step::Learned(Box::new(stored.clone()), adopted.to_vec());
        self.take_steps(stored.iter().map(learned).collect());
    }

    /// Tells Redis at once who looks after attempts now. What cannot be told is told when their leases move.
    async fn tell_adopted(&self, stored: &[StoredRequest], attempts: &[AttemptId]) {
        let Some(generation) = self.generation.read().clone() else { return };
        let now = self.clock.now();
        for stored in stored {
            let mut arguments = claim_head(&generation, self.link.broker(), "each");
            let head = arguments.len();
            for attempt in stored.open.iter().filter(|attempt| attempts.contains(&attempt.id)) {
                let name = self.names.read().get(&attempt.worker).cloned();
                let name = name.unwrap_or_else(|| attempt.worker.to_string().into());
                let left = attempt.expires_at.since(now).as_millis();
                push_claim(&mut arguments, stored.request.id, attempt, &name, left);
            }
            if arguments.len() == head {
                continue;
            }
            let keys = self.link.lane_keys(stored.request.spec.kind());
            if let Err(error) = self.link.run(&scripts::CLAIM, keys, arguments).await {
                super::link::complain(&error, "could not tell at once who looks after an attempt now");
            }
        }
    }

    /// Takes steps that the task is to follow.
    fn take_steps(&self, news: Vec<Step>) {
        if news.is_empty() {
            return;
        }
        for step in &news {
            if let Step::Named(worker, name) = step {
                self.names.write().insert(*worker, name.clone());
            }
        }
        {
            let mut steps = self.steps.lock();
            if steps.len() + news.len() > MAX_STEPS {
                steps.clear();
                self.has_overflown.store(true, Ordering::Relaxed);
            } else {
                self.owes.fetch_add(news.len(), Ordering::Relaxed);
                steps.extend(news);
            }
        }
        self.wake.notify_one();
    }

    /// Passes on an attempt that nobody has ended in time.
    fn hear(&self, news: News) {
        if let Some(tell) = &*self.tell_overdue.lock() {
            tell(news);
        }
    }

    async fn claim(&self, request: RequestId, kind: Kind, attempts: &[Attempt]) -> ClaimAnswer {
        let Some(generation) = self.generation.read().clone() else { return ClaimAnswer::Unknown };
        if !self.link.is_up() {
            return ClaimAnswer::Unknown;
        }
        let mut arguments = claim_head(&generation, self.link.broker(), "all");
        let mut has_names = true;
        for attempt in attempts {
            let name = self.names.read().get(&attempt.worker).cloned();
            has_names &= name.is_some();
            let name = name.unwrap_or_else(|| attempt.worker.to_string().into());
            let lease = attempt.expires_at.since(attempt.granted_at);
            push_claim(&mut arguments, request, attempt, &name, lease.as_millis());
        }
        match self.link.run(&scripts::CLAIM, self.link.lane_keys(kind), arguments).await {
            Ok(answer) => match answer.as_i64() {
                Some(held) if held == attempts.len() as i64 => {
                    if has_names {
                        self.remember(&generation, attempts);
                    }
                    ClaimAnswer::Claimed
                }
                Some(-1) => {
                    self.lose(&generation);
                    ClaimAnswer::Unknown
                }
                _ => ClaimAnswer::Lost,
            },
            Err(error) => {
                super::link::complain(&error, "a claim has no answer");
                if self.note_loss(&error) {
                    self.lose(&generation);
                }
                ClaimAnswer::Unknown
            }
        }
    }

    /// Notes that Redis has attempts as it should, if it is the same Redis still.
    fn remember(&self, generation: &Arc<str>, attempts: &[Attempt]) {
        let mut claimed = self.claimed.lock();
        if claimed.len() > MAX_CLAIMED {
            claimed.clear();
        }
        // Under the lock: whoever builds the queue again takes the word away first, then clears these.
        if self.generation.read().as_ref() == Some(generation) {
            claimed.extend(attempts.iter().map(|attempt| attempt.id));
        }
    }

    /// Whether an error says that a stream or its group is not there.
    fn note_loss(&self, error: &fred::error::Error) -> bool {
        let is_loss = error.details().contains("NOGROUP");
        if is_loss {
            self.is_broken.store(true, Ordering::Relaxed);
        }
        is_loss
    }

    /// Says that the live queue of this word is no more.
    fn lose(&self, generation: &str) {
        {
            let mut present = self.generation.write();
            if present.as_deref() != Some(generation) {
                return;
            }
            *present = None;
        }
        self.wake.notify_one();
    }

    fn know(&self, snapshot: &Snapshot) {
        let mut names = self.names.write();
        names.extend(snapshot.workers.iter().map(|worker| (worker.id, worker.name.as_str().into())));
    }
}

/// The name of a job in Redis.
fn job_name(request: RequestId, job: usize) -> String {
    format!("{request}:{job}")
}

/// Reads [`job_name`].
pub(super) fn parse_job_name(name: &str) -> Option<(RequestId, usize)> {
    let (request, job) = name.split_once(':')?;
    Some((RequestId::parse(request)?, job.parse().ok()?))
}

fn claim_head(generation: &str, broker: &str, mode: &'static str) -> Vec<Value> {
    vec![generation.into(), GROUP.into(), broker.into(), mode.into()]
}

fn push_claim(arguments: &mut Vec<Value>, request: RequestId, attempt: &Attempt, name: &str, lease_ms: u128) {
    let held = match attempt.held {
        Held::Pop => "pop",
        Held::Stream => "stream",
    };
    arguments.extend([
        job_name(request, attempt.job).into(),
        i64::from(attempt.number).into(),
        attempt.id.to_string().into(),
        name.into(),
        i64::try_from(lease_ms).unwrap_or(i64::MAX).into(),
        held.into(),
    ]);
}
