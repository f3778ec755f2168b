//! The two keepers, each over a store of its own, and a look at their tables.

use std::{path::PathBuf, sync::Arc, time::Duration};

use gridbroker::{
    backend::{
        Blobs, Records,
        distributed::{self, PgLeadership},
        embedded,
        s3::S3Blobs,
    },
    config::SecretUrl,
    domain::clock::SystemClock,
};
use serde_json::Value;
use sqlx::{Connection, PgConnection, Row, SqliteConnection};

use crate::harness::{postgres, s3};

/// Which of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keeper {
    Sqlite,
    Postgres,
    /// As SQLite, with objects in a bucket.
    Bucket,
}

enum Place {
    File(PathBuf),
    Database(SecretUrl),
}

/// A keeper over a fresh store.
pub struct Store {
    pub keeper: Keeper,
    pub records: Arc<dyn Records>,
    pub blobs: Arc<dyn Blobs>,
    place: Place,
    _dir: Option<tempfile::TempDir>,
    leadership: Option<Arc<PgLeadership>>,
}

impl Store {
    pub async fn fresh(keeper: Keeper) -> Self {
        match keeper {
            Keeper::Sqlite => {
                let dir = tempfile::tempdir().unwrap();
                let backend = embedded::open(dir.path()).await.unwrap();
                Self {
                    keeper,
                    records: backend.records,
                    blobs: backend.blobs,
                    place: Place::File(dir.path().join("gridbroker.sqlite")),
                    _dir: Some(dir),
                    leadership: None,
                }
            }
            Keeper::Bucket => {
                let bucket = s3().bucket().await.bucket().unwrap();
                let blobs = S3Blobs::open(&bucket, Arc::new(SystemClock)).await.unwrap();
                let mut store = Box::pin(Self::fresh(Keeper::Sqlite)).await;
                store.keeper = keeper;
                store.blobs = Arc::new(blobs);
                store
            }
            Keeper::Postgres => {
                let name = postgres().database().await;
                Self::over(postgres().url(&name)).await
            }
        }
    }

    /// Over a database that is there.
    pub async fn over(url: SecretUrl) -> Self {
        let kept = distributed::open_postgres(&url, Duration::from_secs(20)).await.unwrap();
        Self {
            keeper: Keeper::Postgres,
            records: kept.records,
            blobs: kept.blobs,
            place: Place::Database(url),
            _dir: None,
            leadership: Some(kept.leadership),
        }
    }

    /// Where the database is.
    pub fn url(&self) -> &SecretUrl {
        match &self.place {
            Place::Database(url) => url,
            Place::File(path) => panic!("{} is no database", path.display()),
        }
    }

    /// Where the file is, for whoever only reads it.
    pub fn file_url(&self) -> String {
        match &self.place {
            Place::File(path) => format!("sqlite://{}?mode=ro", path.display()),
            Place::Database(url) => panic!("{url} is no file"),
        }
    }

    /// A connection past the keeper.
    pub async fn connection(&self) -> PgConnection {
        PgConnection::connect(self.url().expose()).await.unwrap()
    }

    /// The leadership that came with the database.
    pub fn leadership(&self) -> &PgLeadership {
        self.leadership.as_ref().unwrap()
    }

    /// Has it given up.
    pub fn end_leadership(&mut self) {
        self.leadership = None;
    }

    /// Rows of a query, each cell as text; a cell that holds JSON as that.
    pub async fn rows(&self, query: &str) -> Vec<Vec<Value>> {
        match &self.place {
            Place::File(_) => {
                let mut connection = SqliteConnection::connect(&self.file_url()).await.unwrap();
                let rows = sqlx::raw_sql(sqlx::AssertSqlSafe(query.to_owned()))
                    .fetch_all(&mut connection)
                    .await
                    .unwrap();
                rows.iter().map(|row| (0..row.len()).map(|i| cell(row.get(i))).collect()).collect()
            }
            Place::Database(_) => {
                let mut connection = self.connection().await;
                let rows = sqlx::query(sqlx::AssertSqlSafe(query.to_owned()))
                    .fetch_all(&mut connection)
                    .await
                    .unwrap();
                rows.iter().map(|row| (0..row.len()).map(|i| cell(row.get(i))).collect()).collect()
            }
        }
    }

    /// Some columns of a table, in order.
    pub async fn table(&self, table: &str, columns: &[&str]) -> Vec<Vec<Value>> {
        let texts: Vec<_> = columns.iter().map(|column| format!("CAST({column} AS TEXT)")).collect();
        let mut rows = self.rows(&format!("SELECT {} FROM {table}", texts.join(", "))).await;
        rows.sort_by_cached_key(|row| format!("{row:?}"));
        rows
    }

    /// Balances of all accounts, by what each keeper keeps of them.
    pub async fn balances(&self) -> Vec<(i64, i64)> {
        let system = match self.keeper {
            Keeper::Sqlite | Keeper::Bucket => "",
            Keeper::Postgres => " UNION ALL SELECT account, amount FROM system_balances",
        };
        self.pairs(&format!("SELECT account, amount FROM balances{system}")).await
    }

    /// Balances of all accounts, by the ledger.
    pub async fn ledger(&self) -> Vec<(i64, i64)> {
        let moves = "SELECT debit AS account, -amount AS amount FROM postings \
                     UNION ALL SELECT credit, amount FROM postings";
        self.pairs(&format!("SELECT account, sum(amount) FROM ({moves}) AS moves GROUP BY account")).await
    }

    /// Fails unless the figures of waiting jobs are those that counting gives.
    pub async fn check_waiting(&self) {
        let counted = self
            .rows(
                "SELECT CAST(owner AS TEXT), kind, CAST(sum(waiting) AS TEXT) FROM requests \
                 GROUP BY owner, kind HAVING sum(waiting) <> 0 ORDER BY owner, kind",
            )
            .await;
        let kept = self
            .rows(
                "SELECT CAST(owner AS TEXT), kind, CAST(jobs AS TEXT) FROM waiting WHERE jobs <> 0 \
                 ORDER BY owner, kind",
            )
            .await;
        assert_eq!(kept, counted, "the figures are the sums");
    }

    async fn pairs(&self, query: &str) -> Vec<(i64, i64)> {
        let texts = format!(
            "WITH pairs(account, amount) AS ({query}) \
             SELECT CAST(account AS TEXT), CAST(amount AS TEXT) FROM pairs"
        );
        let rows = self.rows(&texts).await;
        let mut pairs: Vec<_> =
            rows.iter().map(|row| (row[0].as_i64().unwrap(), row[1].as_i64().unwrap())).collect();
        pairs.sort_unstable();
        pairs
    }
}

fn cell(text: Option<&str>) -> Value {
    match text {
        None => Value::Null,
        Some("true") => 1.into(),
        Some("false") => 0.into(),
        Some(text) => serde_json::from_str(text).unwrap_or_else(|_| text.into()),
    }
}

/// Every table of Records with the columns that both keepers have.
pub const TABLES: &[(&str, &[&str])] = &[
    (
        "users",
        &[
            "id",
            "alias",
            "key_hash",
            "roles_json",
            "concurrency",
            "worker_invites",
            "created_at",
            "requested_image_jobs",
            "requested_image_things",
            "requested_text_jobs",
            "requested_text_things",
            "fulfilled_image_jobs",
            "fulfilled_image_things",
            "fulfilled_text_jobs",
            "fulfilled_text_things",
            "accumulated",
            "granted",
            "suspicion",
            "gifted",
            "donated",
            "received",
            "recurring",
            "awarded",
            "styled",
            "lifts",
            "monthly",
            "monthly_at",
            "requested_video_jobs",
            "requested_video_things",
            "requested_alchemy_jobs",
            "requested_alchemy_things",
            "fulfilled_video_jobs",
            "fulfilled_video_things",
            "fulfilled_alchemy_jobs",
            "fulfilled_alchemy_things",
            "identity",
            "contact",
            "admin_comment",
            "public_workers",
            "usage_multiplier",
            "proxy_passkey",
            "active_at",
            "image_style_uses",
            "text_style_uses",
        ],
    ),
    ("holds", &["request", "owner", "amount"]),
    ("postings", &["key", "debit", "credit", "amount", "at"]),
    ("transfers", &["id", "sender", "receiver", "shared_key", "amount", "at"]),
    (
        "workers",
        &[
            "id",
            "name",
            "owner",
            "created_at",
            "seen_at",
            "profile_json",
            "maintenance",
            "fulfilled",
            "uncompleted",
            "things",
            "generated",
            "uptime_seconds",
            "speeds_json",
            "uptime_kudos",
            "uptime_rewards",
            "unpaid_seconds",
            "kind",
            "address",
            "info",
            "paused",
            "team",
            "suspected_once",
            "suspected_again",
        ],
    ),
    (
        "requests",
        &[
            "id",
            "owner",
            "created_at",
            "priority",
            "spec_json",
            "expires_at",
            "jobs",
            "open",
            "settled",
            "cancelled",
            "faulted",
            "consumed",
            "done",
            "kind",
            "waiting",
        ],
    ),
    (
        "attempts",
        &[
            "id",
            "request",
            "job",
            "number",
            "worker",
            "model",
            "seed",
            "held",
            "granted_at",
            "expires_at",
            "state",
        ],
    ),
    ("outcomes", &["attempt", "request", "reward", "outcome_json"]),
    ("waiting", &["owner", "kind", "jobs"]),
    ("webhooks", &["attempt", "request", "host", "tries", "made_at", "due_at"]),
];
