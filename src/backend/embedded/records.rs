//! Records in SQLite: WAL, `synchronous=FULL`, one writer, a few readers.
//!
//! The host hands in whole batches, so each commit syncs once for many changes. What a batch is made
//! of is in `commit.rs`.

use std::{collections::HashMap, path::Path, str::FromStr, sync::Arc};

use async_trait::async_trait;
use sqlx::{
    Connection, Row, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous},
};
use tokio::sync::Mutex;

use super::{DirectoryLock, commit};
use crate::{
    backend::{Failure, Records, rows},
    domain::{
        AttemptId, Kudos, RequestId, Timestamp, UserId, WorkerId,
        lease::{Attempt, Closed},
        record::{PastAttempt, Record, Snapshot, StoredRequest},
        request::Accepted,
        user::{KeyHash, User, UserStats, Work},
        worker::{Worker, WorkerStats},
    },
};

/// Most requests that one sweep deletes, so that it never holds the writer long.
const SWEEP: i64 = 500;

const USERS: &str =
    "SELECT users.*, coalesce(amount, 0) AS balance FROM users LEFT JOIN balances ON account = id";
const USER_BY_KEY: &str = "SELECT users.*, coalesce(amount, 0) AS balance FROM users LEFT JOIN balances ON account = id \
     WHERE key_hash = $1";
const WORKERS: &str = "SELECT * FROM workers";
const OPEN_REQUESTS: &str = "SELECT * FROM requests WHERE done = 0";
const REQUEST: &str = "SELECT * FROM requests WHERE id = $1";
const OPEN_ATTEMPTS: &str =
    "SELECT attempts.* FROM attempts JOIN requests ON requests.id = request WHERE done = 0";
const ATTEMPTS: &str = "SELECT * FROM attempts WHERE request = $1";
const OPEN_OUTCOMES: &str = "SELECT outcomes.request, outcome_json FROM outcomes JOIN requests ON requests.id = request WHERE done = 0";
const OUTCOMES: &str = "SELECT request, outcome_json FROM outcomes WHERE request = $1";
const ATTEMPT: &str =
    "SELECT state, worker, reward FROM attempts LEFT JOIN outcomes ON attempt = id WHERE attempts.id = $1";
const EXPIRED: &str = "SELECT id FROM requests WHERE done = 1 AND expires_at < $1 LIMIT $2";
const SECRET_PUT: &str = "INSERT INTO settings (name, value) VALUES ('secret', $1) ON CONFLICT DO NOTHING";
const SECRET_GET: &str = "SELECT value FROM settings WHERE name = 'secret'";

/// Records in one SQLite file.
pub struct SqliteRecords {
    /// The one connection that writes; the lock guards its transaction.
    writer: Mutex<SqliteConnection>,
    readers: SqlitePool,
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
        let mut writer = SqliteConnection::connect_with(&options).await?;
        sqlx::migrate!("migrations/sqlite").run(&mut writer).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(4)
            .max_lifetime(None)
            .idle_timeout(None)
            .connect_with(options.read_only(true))
            .await?;
        let known = sqlx::query("SELECT 1 FROM users WHERE id = 0").fetch_optional(&readers).await?;
        if known.is_none() {
            commit::commit(&mut writer, &[Record::UserMade(Arc::new(User::anonymous()))]).await?;
        }
        Ok(Self { writer: Mutex::new(writer), readers, _lock: None })
    }

    /// Keeps the directory locked until these records are dropped.
    pub fn holding(mut self, lock: DirectoryLock) -> Self {
        self._lock = Some(lock);
        self
    }

    async fn stored(
        &self,
        rows: Vec<SqliteRow>,
        attempts: Vec<SqliteRow>,
        outcomes: Vec<SqliteRow>,
    ) -> Stored {
        let mut requests = HashMap::new();
        let mut order = Vec::new();
        for row in rows {
            let stored = request(&row)?;
            order.push(stored.request.id);
            requests.insert(stored.request.id, stored);
        }
        for row in attempts {
            let Some(stored) = requests.get_mut(&RequestId(id(&row, "request")?)) else { continue };
            let attempt = attempt(&row)?;
            match row.try_get::<&str, _>("state")? {
                "open" => stored.open.push(attempt),
                "settled" => {}
                word => {
                    let how = Closed::from_word(word).ok_or("an attempt has a known state")?;
                    stored.closed.push((attempt.job, attempt.number, attempt.id, how));
                }
            }
        }
        for row in outcomes {
            if let Some(stored) = requests.get_mut(&RequestId(id(&row, "request")?)) {
                stored.outcomes.push(Arc::new(json(&row, "outcome_json")?));
            }
        }
        Ok(order.iter().filter_map(|id| requests.remove(id)).collect())
    }
}

type Stored = Result<Vec<StoredRequest>, Failure>;

#[async_trait]
impl Records for SqliteRecords {
    async fn load(&self) -> Result<Snapshot, Failure> {
        let pool = &self.readers;
        let users =
            sqlx::query(USERS).fetch_all(pool).await?.iter().map(user).collect::<Result<Vec<_>, _>>()?;
        let workers =
            sqlx::query(WORKERS).fetch_all(pool).await?.iter().map(worker).collect::<Result<_, _>>()?;
        let rows = sqlx::query(OPEN_REQUESTS).fetch_all(pool).await?;
        let attempts = sqlx::query(OPEN_ATTEMPTS).fetch_all(pool).await?;
        let outcomes = sqlx::query(OPEN_OUTCOMES).fetch_all(pool).await?;
        let requests = self.stored(rows, attempts, outcomes).await?;
        Ok(Snapshot { users, workers, requests })
    }

    async fn commit(&self, batch: &[Record]) -> Result<(), Failure> {
        let mut writer = self.writer.lock().await;
        commit::commit(&mut writer, batch).await
    }

    async fn request(&self, id: RequestId) -> Result<Option<StoredRequest>, Failure> {
        let (pool, id) = (&self.readers, id.to_string());
        let rows = sqlx::query(REQUEST).bind(&id).fetch_all(pool).await?;
        if rows.is_empty() {
            return Ok(None);
        }
        let attempts = sqlx::query(ATTEMPTS).bind(&id).fetch_all(pool).await?;
        let outcomes = sqlx::query(OUTCOMES).bind(&id).fetch_all(pool).await?;
        Ok(self.stored(rows, attempts, outcomes).await?.pop())
    }

    async fn attempt(&self, attempt: AttemptId) -> Result<Option<PastAttempt>, Failure> {
        let row = sqlx::query(ATTEMPT).bind(attempt.to_string()).fetch_optional(&self.readers).await?;
        row.map(|row| {
            Ok(PastAttempt {
                how: Closed::from_word(row.try_get("state")?),
                worker: WorkerId(id(&row, "worker")?),
                reward: Kudos(row.try_get::<Option<i64>, _>("reward")?.unwrap_or(0)),
            })
        })
        .transpose()
    }

    async fn user_by_key(&self, key: KeyHash) -> Result<Option<User>, Failure> {
        let row = sqlx::query(USER_BY_KEY).bind(rows::hex(&key.0)).fetch_optional(&self.readers).await?;
        row.as_ref().map(user).transpose()
    }

    async fn sweep(&self, before: Timestamp) -> Result<Vec<(RequestId, Vec<AttemptId>)>, Failure> {
        let rows = sqlx::query(EXPIRED).bind(before.0).bind(SWEEP).fetch_all(&self.readers).await?;
        let mut swept = Vec::new();
        for row in rows {
            let request = RequestId(id(&row, "id")?);
            let attempts = sqlx::query(ATTEMPTS).bind(request.to_string()).fetch_all(&self.readers).await?;
            let attempts =
                attempts.iter().map(|row| Ok(AttemptId(id(row, "id")?))).collect::<Result<_, Failure>>()?;
            swept.push((request, attempts));
        }
        let drops: Vec<_> = swept.iter().map(|(request, _)| Record::RequestDropped(*request)).collect();
        if !drops.is_empty() {
            self.commit(&drops).await?;
        }
        Ok(swept)
    }

    async fn secret(&self, proposal: [u8; 32]) -> Result<[u8; 32], Failure> {
        let mut writer = self.writer.lock().await;
        sqlx::query(SECRET_PUT).bind(rows::hex(&proposal)).execute(&mut *writer).await?;
        let text: String = sqlx::query_scalar(SECRET_GET).fetch_one(&mut *writer).await?;
        Ok(unhex(&text)?)
    }

    async fn ping(&self) -> Result<(), Failure> {
        sqlx::query("SELECT 1").fetch_one(&self.readers).await?;
        Ok(())
    }
}

fn unhex(text: &str) -> Result<[u8; 32], Failure> {
    let mut bytes = [0; 32];
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * i..2 * i + 2).ok_or("64 hex digits")?, 16)?;
    }
    Ok(bytes)
}

fn id(row: &SqliteRow, column: &str) -> Result<uuid::Uuid, Failure> {
    Ok(uuid::Uuid::from_str(row.try_get(column)?)?)
}

fn json<T: serde::de::DeserializeOwned>(row: &SqliteRow, column: &str) -> Result<T, Failure> {
    Ok(serde_json::from_str(row.try_get(column)?)?)
}

fn at(row: &SqliteRow, column: &str) -> Result<Timestamp, Failure> {
    Ok(Timestamp(row.try_get(column)?))
}

fn user(row: &SqliteRow) -> Result<User, Failure> {
    Ok(User {
        id: UserId(row.try_get("id")?),
        alias: row.try_get("alias")?,
        key: KeyHash(unhex(row.try_get("key_hash")?)?),
        roles: json(row, "roles_json")?,
        concurrency: usize::try_from(row.try_get::<i64, _>("concurrency")?)?,
        worker_invites: usize::try_from(row.try_get::<i64, _>("worker_invites")?)?,
        created_at: at(row, "created_at")?,
        balance: Kudos(row.try_get("balance")?),
        stats: user_stats(row)?,
    })
}

fn user_stats(row: &SqliteRow) -> Result<UserStats, Failure> {
    let work = |jobs: &str, things: &str| {
        Ok::<_, Failure>(Work { jobs: row.try_get(jobs)?, things: row.try_get(things)? })
    };
    Ok(UserStats {
        requested: [
            work("requested_image_jobs", "requested_image_things")?,
            work("requested_text_jobs", "requested_text_things")?,
        ],
        fulfilled: [
            work("fulfilled_image_jobs", "fulfilled_image_things")?,
            work("fulfilled_text_jobs", "fulfilled_text_things")?,
        ],
        accumulated: Kudos(row.try_get("accumulated")?),
        granted: Kudos(row.try_get("granted")?),
    })
}

fn worker(row: &SqliteRow) -> Result<Worker, Failure> {
    Ok(Worker {
        id: WorkerId(id(row, "id")?),
        name: row.try_get("name")?,
        owner: UserId(row.try_get("owner")?),
        created_at: at(row, "created_at")?,
        seen_at: at(row, "seen_at")?,
        profile: json(row, "profile_json")?,
        maintenance: row.try_get("maintenance")?,
        stats: WorkerStats {
            fulfilled: row.try_get("fulfilled")?,
            uncompleted: row.try_get("uncompleted")?,
            things: row.try_get("things")?,
            generated: Kudos(row.try_get("generated")?),
            uptime_seconds: row.try_get("uptime_seconds")?,
            speeds: json(row, "speeds_json")?,
        },
    })
}

fn request(row: &SqliteRow) -> Result<StoredRequest, Failure> {
    Ok(StoredRequest {
        request: Accepted {
            id: RequestId(id(row, "id")?),
            owner: UserId(row.try_get("owner")?),
            created_at: at(row, "created_at")?,
            priority: row.try_get("priority")?,
            spec: Arc::new(json(row, "spec_json")?),
        },
        expires_at: at(row, "expires_at")?,
        cancelled: row.try_get("cancelled")?,
        faulted: row.try_get("faulted")?,
        done: row.try_get("done")?,
        consumed: Kudos(row.try_get("consumed")?),
        open: Vec::new(),
        closed: Vec::new(),
        outcomes: Vec::new(),
    })
}

fn attempt(row: &SqliteRow) -> Result<Attempt, Failure> {
    Ok(Attempt {
        id: AttemptId(id(row, "id")?),
        job: usize::try_from(row.try_get::<i64, _>("job")?)?,
        number: u32::try_from(row.try_get::<i64, _>("number")?)?,
        worker: WorkerId(id(row, "worker")?),
        model: row.try_get("model")?,
        seed: u32::try_from(row.try_get::<i64, _>("seed")?)?,
        held: serde_json::from_value(serde_json::Value::String(row.try_get("held")?))?,
        granted_at: at(row, "granted_at")?,
        expires_at: at(row, "expires_at")?,
    })
}
