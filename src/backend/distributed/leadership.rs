//! Who runs the upkeep: whoever holds the one row, and renews it in time.
//!
//! ```text
//!  follower ──row is free or its time is over, epoch + 1──► leader ──renews every second──┐
//!     ▲                                                       │  ▲                         │
//!     └── no renewal answered in time: by itself, on our clock┘  └─────────────────────────┘
//! ```
//!
//! The row's time is the database's, so brokers need not agree on the time of day. A leader counts its
//! own time from before it sent the renewal, on a clock that never jumps, and stops a little early:
//! it has stopped before anybody can take over. Should the database's clock jump ahead, the epoch
//! tells the old leader's orders from the new one's.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use sqlx::PgConnection;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    connect::{ANSWER, Server},
    trouble::{Trouble, within},
};
use crate::{
    backend::{Failure, Leadership},
    config::SecretUrl,
};

/// Takes the row, or keeps it. `$1`: who; `$2`: for how many milliseconds.
const RENEW: &str = "INSERT INTO leadership AS row (id, epoch, holder, expires_at) \
     VALUES (1, 1, $1, (extract(epoch FROM clock_timestamp()) * 1000)::BIGINT + $2) \
     ON CONFLICT (id) DO UPDATE SET \
         epoch = row.epoch + CASE WHEN row.holder = $1 THEN 0 ELSE 1 END, \
         holder = $1, expires_at = (extract(epoch FROM clock_timestamp()) * 1000)::BIGINT + $2 \
     WHERE row.holder = $1 OR row.expires_at <= (extract(epoch FROM clock_timestamp()) * 1000)::BIGINT \
     RETURNING epoch";
const RESIGN: &str = "UPDATE leadership SET expires_at = 0 WHERE holder = $1";
const CURRENT: &str = "SELECT EXISTS (SELECT 1 FROM leadership WHERE holder = $1 AND epoch = $2)";

pub(super) const STATEMENTS: &[&str] = &[RENEW, RESIGN, CURRENT];

/// The times of a leadership.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Silence after which another broker takes over.
    pub ttl: Duration,
    /// How often it is renewed, or tried for.
    pub every: Duration,
}

impl Default for Terms {
    fn default() -> Self {
        Self { ttl: Duration::from_secs(4), every: Duration::from_secs(1) }
    }
}

struct Shared {
    /// What [`Shared::until`] is counted from.
    start: Instant,
    /// Leader until so many milliseconds after the start.
    until: AtomicU64,
    /// Epoch of the last term; 0: none yet.
    epoch: AtomicI64,
}

/// Leadership by a row in PostgreSQL.
pub struct PgLeadership {
    shared: Arc<Shared>,
    server: Server,
    holder: Uuid,
    /// Fires when this steps down; the task gives the row back and ends.
    leaving: CancellationToken,
}

impl PgLeadership {
    /// Begins to try for the leadership. Whether it is ours at once is known when this returns.
    ///
    /// # Errors
    /// The URL cannot be read. A server that cannot be reached is tried again and again.
    pub async fn start(url: &SecretUrl, terms: Terms) -> Result<Self, Failure> {
        let server = Server::of(url)?;
        let (holder, leaving) = (Uuid::new_v4(), CancellationToken::new());
        let (until, epoch) = (AtomicU64::new(0), AtomicI64::new(0));
        let shared = Arc::new(Shared { start: Instant::now(), until, epoch });
        let mut candidate =
            Candidate { server: server.clone(), connection: None, holder, terms, shared: shared.clone() };
        candidate.renew().await;
        let leave = leaving.clone();
        tokio::spawn(candidate.run(leave));
        Ok(Self { shared, server, holder, leaving })
    }

    /// The number of this broker's term, while it is the leader. No two leaders ever have the same,
    /// and later ones have higher ones.
    pub fn epoch(&self) -> Option<i64> {
        self.is_leader().then(|| self.shared.epoch.load(Ordering::Acquire))
    }

    /// Whether the database still has this broker as the leader of a term.
    ///
    /// # Errors
    /// It cannot be reached.
    pub async fn is_current(&self, epoch: i64) -> Result<bool, Failure> {
        let mut connection = self.server.connection().await?;
        let current = async {
            let current = sqlx::query_scalar(CURRENT).bind(self.holder).bind(epoch);
            Ok(current.fetch_one(&mut connection).await?)
        };
        Ok(within(ANSWER, current).await?)
    }
}

impl Leadership for PgLeadership {
    fn is_leader(&self) -> bool {
        // Not past its time even if the task that should renew it is stuck.
        !self.leaving.is_cancelled()
            && millis(self.shared.start.elapsed()) < self.shared.until.load(Ordering::Acquire)
    }

    fn step_down(&self) {
        self.leaving.cancel();
    }
}

impl Drop for PgLeadership {
    fn drop(&mut self) {
        self.step_down();
    }
}

/// The task that tries for the row and renews it.
struct Candidate {
    server: Server,
    connection: Option<PgConnection>,
    holder: Uuid,
    terms: Terms,
    shared: Arc<Shared>,
}

impl Candidate {
    async fn run(mut self, leaving: CancellationToken) {
        let mut ticks = tokio::time::interval(self.terms.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        loop {
            tokio::select! {
                () = leaving.cancelled() => break,
                _ = ticks.tick() => {}
            }
            tokio::select! {
                () = leaving.cancelled() => break,
                () = self.renew() => {}
            }
        }
        self.resign().await;
    }

    async fn renew(&mut self) {
        let sent = Instant::now();
        // A server that is slower than this is of no use: the next try has a new connection.
        let limit = self.terms.ttl / 2;
        let was_leader = self.shared.until.load(Ordering::Acquire) > 0;
        match within(limit, self.ask()).await {
            Ok(Some(epoch)) => {
                let margin = self.terms.ttl / 10;
                let until = sent + self.terms.ttl - margin;
                self.shared.epoch.store(epoch, Ordering::Release);
                self.shared.until.store(millis(until - self.shared.start), Ordering::Release);
                if !was_leader {
                    tracing::info!(epoch, "this broker runs the upkeep");
                }
            }
            Ok(None) => {
                self.shared.until.store(0, Ordering::Release);
                if was_leader {
                    tracing::warn!("another broker runs the upkeep from now on");
                }
            }
            Err(trouble) => {
                self.connection = None;
                tracing::debug!(%trouble, "the leadership could not be renewed");
            }
        }
    }

    async fn ask(&mut self) -> Result<Option<i64>, Trouble> {
        // Taken out, so that it is not used again if its answer does not come.
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.server.connection().await?,
        };
        let ttl = i64::try_from(self.terms.ttl.as_millis()).unwrap_or(i64::MAX);
        let renewal = sqlx::query_scalar(RENEW).bind(self.holder).bind(ttl);
        let epoch = renewal.fetch_optional(&mut connection).await?;
        self.connection = Some(connection);
        Ok(epoch)
    }

    /// Lets another broker take over at once.
    async fn resign(mut self) {
        self.shared.until.store(0, Ordering::Release);
        let resignation = async {
            let mut connection = match self.connection.take() {
                Some(connection) => connection,
                None => self.server.connection().await?,
            };
            sqlx::query(RESIGN).bind(self.holder).execute(&mut connection).await?;
            Ok(())
        };
        // If it fails, the row's time runs out by itself.
        let _ = within(self.terms.ttl, resignation).await;
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
