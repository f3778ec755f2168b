//! Other brokers: what they did, and whether they live.
//!
//! ```text
//!  jobs:<kind>, {jobs:<kind>}:log ──one blocking read per kind──► tail ─┬─► whoever hears
//!  {jobs:image}:news  (Pub/Sub: rows that changed, workers seen) ─► gossip ┘   └─► the ledger of claims
//!  {jobs:image}:tallies  (Pub/Sub: calls that came) ◄──► whoever counts them
//!  {jobs:image}:brokers ◄── a beat each second; silence for 5 s is death
//! ```
//!
//! A tail begins at a noted place, before Records are read: what happened before is there, what comes
//! after is heard. It begins anew (and says that news may have been missed) when its connection broke,
//! when the live queue is another one, when it fell so far behind that the log was cut, and when this
//! broker was silent for so long that others took it for dead.

mod gossip;
mod tail;
mod tallies;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};

use self::gossip::Gossip;
use super::{
    Link, RedisClaims,
    link::{SILENCE, complain},
};
use crate::{
    backend::{Failure, Peers},
    domain::{news::News, request::Kind, tally::Tallies},
};

/// How often a broker says that it lives.
const BEAT_EVERY: Duration = Duration::from_secs(1);
/// Batches of news that may wait to be heard; past it tails read no further.
const BUFFERED: usize = 256;

/// Other brokers, over Redis.
pub struct RedisPeers {
    shared: Arc<Shared>,
    inbox: tokio::sync::Mutex<mpsc::Receiver<Vec<News>>>,
    tasks: Mutex<JoinSet<()>>,
}

struct Shared {
    link: Arc<Link>,
    claims: Arc<RedisClaims>,
    news: mpsc::Sender<Vec<News>>,
    gossip: Gossip,
    start: Instant,
    /// Beats went well from then on without a gap, in ms after the start plus one; 0: they do not.
    steady_since: AtomicU64,
    /// Counts the times at which news may have been missed.
    begin_again: watch::Sender<u64>,
}

impl RedisPeers {
    /// Brokers over this link. What is heard of jobs is told to these claims, too.
    pub fn new(link: Arc<Link>, claims: Arc<RedisClaims>) -> Self {
        let (news, inbox) = mpsc::channel(BUFFERED);
        let overdue = news.clone();
        claims.tell_overdue_to(move |piece| {
            // One that finds no room is found again at the next look.
            let _ = overdue.try_send(vec![piece]);
        });
        let shared = Arc::new(Shared {
            link,
            claims,
            news,
            gossip: Gossip::default(),
            start: Instant::now(),
            steady_since: AtomicU64::new(0),
            begin_again: watch::Sender::new(0),
        });
        Self { shared, inbox: tokio::sync::Mutex::new(inbox), tasks: Mutex::default() }
    }
}

#[async_trait]
impl Peers for RedisPeers {
    fn are_possible(&self) -> bool {
        true
    }

    async fn begin(&self) -> Result<(), Failure> {
        // Before anything is written: whoever is not known to live has no say in logs.
        self.shared.link.beat().await?;
        let mut tasks = JoinSet::new();
        for kind in Kind::ALL {
            let tail = tail::Tail::begin(self.shared.clone(), kind).await?;
            tasks.spawn(tail.run());
        }
        tasks.spawn(beat(self.shared.clone()));
        tasks.spawn(gossip::listen(self.shared.clone()));
        tasks.spawn(gossip::publish(self.shared.clone()));
        *self.tasks.lock() = tasks;
        Ok(())
    }

    async fn hear(&self) -> Vec<News> {
        match self.inbox.lock().await.recv().await {
            Some(news) => news,
            None => std::future::pending().await,
        }
    }

    fn living(&self) -> Option<Vec<Arc<str>>> {
        let since = self.shared.steady_since.load(Ordering::Acquire).checked_sub(1)?;
        let steady = self.shared.now_ms().saturating_sub(since);
        // The others may have had as little of a chance to beat as this one.
        (steady > SILENCE.as_millis() as u64).then(|| self.shared.link.brokers())
    }

    fn tell(&self, news: News) {
        self.shared.gossip.add(news);
    }

    fn count_together(&self, counter: Arc<dyn Tallies>) {
        let mut tasks = self.tasks.lock();
        tasks.spawn(tallies::listen(self.shared.clone(), counter.clone()));
        tasks.spawn(tallies::publish(self.shared.clone(), counter));
    }
}

impl Shared {
    fn now_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    async fn pass_on(&self, news: Vec<News>) {
        if !news.is_empty() {
            // Without a hearer the broker is going down.
            let _ = self.news.send(news).await;
        }
    }

    /// Says that news may have been missed: tails begin again.
    fn miss(&self) {
        self.begin_again.send_modify(|times| *times += 1);
    }
}

/// Says each second that this broker lives, until it is aborted.
async fn beat(shared: Arc<Shared>) {
    let mut every = tokio::time::interval(BEAT_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // By the clock of the machine, which goes on while the process is stopped.
    let mut last = std::time::Instant::now();
    loop {
        every.tick().await;
        let outcome = shared.link.beat().await;
        let gap = last.elapsed();
        match outcome {
            Ok(()) => {
                last = std::time::Instant::now();
                if gap > SILENCE {
                    tracing::warn!(
                        seconds = gap.as_secs(),
                        "was silent for so long that other brokers took this one for dead"
                    );
                    shared.steady_since.store(shared.now_ms() + 1, Ordering::Release);
                    shared.miss();
                } else if shared.steady_since.load(Ordering::Acquire) == 0 {
                    shared.steady_since.store(shared.now_ms() + 1, Ordering::Release);
                }
            }
            Err(error) => {
                complain(&error, "could not tell other brokers that this one lives");
                shared.steady_since.store(0, Ordering::Release);
            }
        }
    }
}
