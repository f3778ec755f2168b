//! Records in SQLite: WAL, `synchronous=FULL`, one writer, a few readers.
//!
//! The host hands in whole batches, so each commit syncs once for many changes. What a batch is made
//! of is in `commit.rs`.

pub(super) mod filters;
pub(super) mod identities;
pub(super) mod stats;

use std::{fmt::Display, path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use sqlx::{
    Connection, Row, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous},
};
use tokio::sync::Mutex;

use super::{DirectoryLock, commit, webhooks};
use crate::{
    backend::{
        Deed, Failure, RankedUsers, Ranking, Records, Verdict, WebhookEnd,
        cells::{self, Cells},
        rows,
    },
    domain::{
        AttemptId, RequestId, TeamId, Timestamp, UserId, WorkerId,
        board::Board,
        record::{PastAttempt, Record, Snapshot, StoredRequest},
        team::TeamFigures,
        user::{KeyHash, User},
        webhook::Webhook,
        worker::Worker,
    },
};

/// Most requests that one sweep deletes, so that it never holds the writer long.
const SWEEP: i64 = 500;

/// The schema.
pub(super) static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("migrations/sqlite");

/// Accounts with what they have, and the keys that they lend; what follows FROM may be narrowed down.
macro_rules! users {
    ($narrowed:literal) => {
        concat!(
            "SELECT users.*, coalesce(balances.amount, 0) AS balance, coalesce(escrows.amount, 0) AS escrow, \
     (SELECT json_group_array(json_object('id', id, 'owner', owner, 'name', name, 'budget', budget, \
         'utilized', utilized, 'expires_at', expires_at, 'max_image_pixels', max_image_pixels, \
         'max_image_steps', max_image_steps, 'max_text_tokens', max_text_tokens, 'created_at', created_at) \
         ORDER BY created_at, id) FROM shared_keys WHERE owner = users.id) AS shared_keys_json \
     FROM users LEFT JOIN balances ON balances.account = users.id \
     LEFT JOIN balances AS escrows ON escrows.account = users.id + 1099511627776 ",
            $narrowed
        )
    };
}
const USERS: &str = users!("");
/// Those of which something is left.
const RICHEST: &str = users!(
    "WHERE identity IS NULL OR identity NOT LIKE '<wiped>%' ORDER BY balance DESC, id LIMIT $1 OFFSET $2"
);
const OLDEST: &str = users!(
    "WHERE identity IS NULL OR identity NOT LIKE '<wiped>%' ORDER BY created_at, id LIMIT $1 OFFSET $2"
);
/// By its own key, or one that it lends.
const USER_BY_KEY: &str = users!(
    "WHERE users.key_hash = $1 OR users.id = (SELECT owner FROM shared_keys WHERE shared_keys.key_hash = $1)"
);
const USERS_BY_ID: &str = users!("WHERE users.id IN (SELECT value FROM json_each($1))");
const WORKERS: &str = "SELECT * FROM workers";
const WORKERS_BY_ID: &str = "SELECT * FROM workers WHERE id IN (SELECT value FROM json_each($1))";
const WORKER_BY_NAME: &str = "SELECT * FROM workers WHERE name = $1";
const MODES: &str = "SELECT * FROM modes";
const MESSAGES: &str = "SELECT * FROM worker_messages";
const TIMEOUTS: &str = "SELECT * FROM timeouts";
const TEAMS: &str = "SELECT * FROM teams";
const TEAM: &str = "SELECT * FROM teams WHERE id = $1";
const OPEN_REQUESTS: &str = "SELECT * FROM requests WHERE done = 0";
const REQUESTS: &str = "SELECT * FROM requests WHERE id IN (SELECT value FROM json_each($1))";
const OPEN_ATTEMPTS: &str =
    "SELECT attempts.* FROM attempts JOIN requests ON requests.id = request WHERE done = 0";
const ATTEMPTS: &str = "SELECT * FROM attempts WHERE request IN (SELECT value FROM json_each($1))";
const OPEN_OUTCOMES: &str = "SELECT outcomes.request, outcome_json FROM outcomes JOIN requests ON requests.id = request WHERE done = 0";
const OUTCOMES: &str =
    "SELECT request, outcome_json FROM outcomes WHERE request IN (SELECT value FROM json_each($1))";
const ATTEMPT: &str = "SELECT attempts.request, state, worker, reward FROM attempts \
     LEFT JOIN outcomes ON attempt = id WHERE attempts.id = $1";
/// What a webhook is told is read from its request, which is kept until then.
const EXPIRED: &str = "SELECT id FROM requests WHERE done = 1 AND expires_at < $1 \
     AND NOT EXISTS (SELECT 1 FROM webhooks WHERE request = requests.id) LIMIT $2";
const WEBHOOK_DUE: &str = "SELECT attempt FROM webhooks WHERE due_at <= $1 LIMIT 1";
const SECRET_PUT: &str = "INSERT INTO settings (name, value) VALUES ('secret', $1) ON CONFLICT DO NOTHING";
const SECRET_GET: &str = "SELECT value FROM settings WHERE name = 'secret'";

pub(super) const STATEMENTS: &[&str] = &[
    USERS,
    USER_BY_KEY,
    USERS_BY_ID,
    RICHEST,
    OLDEST,
    WORKERS,
    WORKERS_BY_ID,
    WORKER_BY_NAME,
    MODES,
    MESSAGES,
    TIMEOUTS,
    TEAMS,
    TEAM,
    OPEN_REQUESTS,
    REQUESTS,
    OPEN_ATTEMPTS,
    ATTEMPTS,
    OPEN_OUTCOMES,
    OUTCOMES,
    ATTEMPT,
    EXPIRED,
    WEBHOOK_DUE,
    SECRET_PUT,
    SECRET_GET,
];

/// Records in one SQLite file.
pub struct SqliteRecords {
    /// The one connection that writes; the lock guards its transaction.
    writer: Mutex<SqliteConnection>,
    pub(super) readers: SqlitePool,
    /// The data directory is ours as long as these records are open; `None`: the file alone is open.
    _lock: Option<DirectoryLock>,
}

impl SqliteRecords {
    /// Opens (and if need be makes) the file, and brings its schema up to date.
    ///
    /// # Errors
    /// The file cannot be opened, or a migration fails.
    pub async fn open(path: &Path) -> Result<Self, Failure> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .pragma("cache_size", "-65536")
            // Pages; the file beside the database grows to some 64 MiB before it is worked in.
            .pragma("wal_autocheckpoint", "16000")
            .busy_timeout(std::time::Duration::from_secs(10));
        // Over a pool: with a plain connection the compiler does not see that this may change threads.
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await?;
        MIGRATIONS.run(&pool).await?;
        pool.close().await;
        let mut writer = SqliteConnection::connect_with(&options).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(4)
            .max_lifetime(None)
            .idle_timeout(None)
            .connect_with(options.read_only(true))
            .await?;
        let known = sqlx::query("SELECT 1 FROM users WHERE id = 0").fetch_optional(&readers).await?;
        if known.is_none() {
            commit::commit(&mut writer, &[vec![Record::UserMade(Arc::new(User::anonymous()))]]).await?;
        }
        Ok(Self { writer: Mutex::new(writer), readers, _lock: None })
    }

    /// Connections that read.
    pub(super) fn readers(&self) -> &SqlitePool {
        &self.readers
    }

    /// Keeps the directory locked until these records are dropped.
    pub fn holding(mut self, lock: DirectoryLock) -> Self {
        self._lock = Some(lock);
        self
    }
}

#[async_trait]
impl Records for SqliteRecords {
    async fn load(&self) -> Result<Snapshot, Failure> {
        let pool = &self.readers;
        let users =
            sqlx::query(USERS).fetch_all(pool).await?.iter().map(cells::user).collect::<Result<_, _>>()?;
        let workers = sqlx::query(WORKERS)
            .fetch_all(pool)
            .await?
            .iter()
            .map(cells::worker)
            .collect::<Result<_, _>>()?;
        let rows = sqlx::query(OPEN_REQUESTS).fetch_all(pool).await?;
        let attempts = sqlx::query(OPEN_ATTEMPTS).fetch_all(pool).await?;
        let outcomes = sqlx::query(OPEN_OUTCOMES).fetch_all(pool).await?;
        let requests = cells::stored(&rows, &attempts, &outcomes)?;
        Ok(Snapshot { users, workers, requests, board: self.board().await? })
    }

    async fn commit_each(&self, deeds: &[Deed]) -> Result<Vec<Verdict>, Failure> {
        let mut writer = self.writer.lock().await;
        commit::commit(&mut writer, deeds).await
    }

    async fn requests(&self, ids: &[RequestId]) -> Result<Vec<StoredRequest>, Failure> {
        let (pool, ids) = (&self.readers, list(ids)?);
        let rows = sqlx::query(REQUESTS).bind(&ids).fetch_all(pool).await?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let attempts = sqlx::query(ATTEMPTS).bind(&ids).fetch_all(pool).await?;
        let outcomes = sqlx::query(OUTCOMES).bind(&ids).fetch_all(pool).await?;
        cells::stored(&rows, &attempts, &outcomes)
    }

    async fn people(
        &self,
        users: &[UserId],
        workers: &[WorkerId],
    ) -> Result<(Vec<User>, Vec<Worker>), Failure> {
        let (mut found, mut known) = (Vec::new(), Vec::new());
        if !users.is_empty() {
            found = sqlx::query(USERS_BY_ID).bind(rows::text(users)?).fetch_all(&self.readers).await?;
        }
        if !workers.is_empty() {
            known = sqlx::query(WORKERS_BY_ID).bind(list(workers)?).fetch_all(&self.readers).await?;
        }
        let users = found.iter().map(cells::user).collect::<Result<_, _>>()?;
        Ok((users, known.iter().map(cells::worker).collect::<Result<_, _>>()?))
    }

    async fn board(&self) -> Result<Board, Failure> {
        let modes = sqlx::query(MODES).fetch_all(&self.readers).await?;
        let messages = sqlx::query(MESSAGES).fetch_all(&self.readers).await?;
        let timeouts = sqlx::query(TIMEOUTS).fetch_all(&self.readers).await?;
        let teams = sqlx::query(TEAMS).fetch_all(&self.readers).await?;
        cells::board(&modes, &messages, &timeouts, &teams)
    }

    async fn team_figures(&self, only: Option<TeamId>) -> Result<Vec<(TeamId, TeamFigures)>, Failure> {
        let query = match only {
            Some(id) => sqlx::query(TEAM).bind(id.to_string()),
            None => sqlx::query(TEAMS),
        };
        query.fetch_all(&self.readers).await?.iter().map(cells::team_figures).collect()
    }

    async fn worker_by_name(&self, name: &str) -> Result<Option<Worker>, Failure> {
        let row = sqlx::query(WORKER_BY_NAME).bind(name).fetch_optional(&self.readers).await?;
        row.as_ref().map(cells::worker).transpose()
    }

    async fn attempt(&self, attempt: AttemptId) -> Result<Option<PastAttempt>, Failure> {
        let row = sqlx::query(ATTEMPT).bind(attempt.to_string()).fetch_optional(&self.readers).await?;
        row.as_ref().map(cells::past_attempt).transpose()
    }

    async fn user_by_key(&self, key: KeyHash) -> Result<Option<User>, Failure> {
        let row = sqlx::query(USER_BY_KEY).bind(rows::hex(&key.0)).fetch_optional(&self.readers).await?;
        row.as_ref().map(cells::user).transpose()
    }

    async fn sweep(&self, before: Timestamp) -> Result<Vec<(RequestId, Vec<AttemptId>)>, Failure> {
        let rows = sqlx::query(EXPIRED).bind(before.0).bind(SWEEP).fetch_all(&self.readers).await?;
        let mut swept = Vec::new();
        for row in rows {
            let request = RequestId(row.id("id")?);
            let attempts = sqlx::query(ATTEMPTS).bind(list(&[request])?).fetch_all(&self.readers).await?;
            let attempts =
                attempts.iter().map(|row| Ok(AttemptId(row.id("id")?))).collect::<Result<_, Failure>>()?;
            swept.push((request, attempts));
        }
        let drop = |(request, _): &_| vec![Record::RequestDropped { request: *request, before }];
        let drops: Vec<_> = swept.iter().map(drop).collect();
        if drops.is_empty() {
            return Ok(swept);
        }
        // One whose time was made longer just now stays.
        let verdicts = self.commit_each(&drops).await?.into_iter();
        let gone = swept.into_iter().zip(verdicts).filter(|(_, verdict)| *verdict == Verdict::Kept);
        Ok(gone.map(|(request, _)| request).collect())
    }

    async fn take_webhooks(
        &self,
        now: Timestamp,
        hold: Duration,
        most: usize,
        except: &[String],
    ) -> Result<Vec<Webhook>, Failure> {
        // Mostly there is none, and nothing is written.
        let due = sqlx::query(WEBHOOK_DUE).bind(now.0).fetch_optional(&self.readers).await?;
        if due.is_none() {
            return Ok(Vec::new());
        }
        let mut writer = self.writer.lock().await;
        webhooks::take(&mut writer, now, hold, most, except).await
    }

    async fn end_webhooks(&self, now: Timestamp, ends: &[WebhookEnd]) -> Result<(), Failure> {
        let mut writer = self.writer.lock().await;
        webhooks::end(&mut writer, now, ends).await
    }

    async fn crop_webhooks(&self, most: usize) -> Result<u64, Failure> {
        let mut writer = self.writer.lock().await;
        webhooks::crop(&mut writer, most).await
    }

    async fn secret(&self, proposal: [u8; 32]) -> Result<[u8; 32], Failure> {
        let mut writer = self.writer.lock().await;
        sqlx::query(SECRET_PUT).bind(rows::hex(&proposal)).execute(&mut *writer).await?;
        let text: String = sqlx::query_scalar(SECRET_GET).fetch_one(&mut *writer).await?;
        cells::unhex(&text)
    }

    async fn ping(&self) -> Result<(), Failure> {
        sqlx::query("SELECT 1").fetch_one(&self.readers).await?;
        Ok(())
    }
}

#[async_trait]
impl RankedUsers for SqliteRecords {
    async fn ranked_users(&self, by: Ranking, skip: u32, most: u32) -> Result<Vec<User>, Failure> {
        let query = sqlx::query(match by {
            Ranking::Kudos => RICHEST,
            Ranking::Age => OLDEST,
        });
        let rows = query.bind(i64::from(most)).bind(i64::from(skip)).fetch_all(&self.readers).await?;
        rows.iter().map(cells::user).collect()
    }
}

/// IDs as a JSON array.
pub(super) fn list(ids: &[impl Display]) -> Result<String, Failure> {
    rows::text(&ids.iter().map(ToString::to_string).collect::<Vec<_>>())
}

impl Cells for SqliteRow {
    fn text(&self, column: &str) -> Result<Option<&str>, Failure> {
        Ok(self.try_get(column)?)
    }

    fn number(&self, column: &str) -> Result<Option<i64>, Failure> {
        Ok(self.try_get(column)?)
    }

    fn decimal(&self, column: &str) -> Result<f64, Failure> {
        Ok(self.try_get(column)?)
    }

    fn flag(&self, column: &str) -> Result<bool, Failure> {
        Ok(self.try_get(column)?)
    }

    fn id(&self, column: &str) -> Result<uuid::Uuid, Failure> {
        cells::uuid(self.text(column)?)
    }
}
