//! Records in PostgreSQL, over a pool. What a batch is made of is in `commit.rs`.

pub(super) mod filters;
pub(super) mod identities;
pub(super) mod stats;
pub(super) mod teams;

use std::time::Duration;

use async_trait::async_trait;
use sqlx::{Connection, PgPool, Row, postgres::PgRow};
use uuid::Uuid;

use super::{
    commit::Writer,
    connect::ANSWER,
    session::Session,
    trouble::{Trouble, again, within},
    webhooks,
};
use crate::{
    backend::{
        Deed, Failure, RankedUsers, Ranking, Records, Verdict, WebhookEnd,
        cells::{self, Cells},
        rows,
    },
    domain::{
        AttemptId, RequestId, TeamId, Timestamp, UserId, WorkerId,
        board::Board,
        record::{PastAttempt, Snapshot, StoredRequest},
        team::TeamFigures,
        user::{KeyHash, User},
        webhook::Webhook,
        worker::Worker,
    },
};

/// Most requests that one sweep deletes, so that it is over soon.
const SWEEP: i64 = 500;
/// For all that an engine starts from.
const LOAD: Duration = Duration::from_secs(300);

/// What is read in several statements is read as of one instant.
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
const PATIENTLY: &str = "SELECT set_config('statement_timeout', '300s', true)";
/// Accounts with what they have, and the keys that they lend; what follows FROM may be narrowed down.
macro_rules! users {
    ($narrowed:literal) => {
        concat!(
            "SELECT users.*, coalesce(balances.amount, 0) AS balance, coalesce(escrows.amount, 0) AS escrow, \
     (SELECT coalesce(json_agg(json_build_object('id', id, 'owner', owner, 'name', name, 'budget', budget, \
         'utilized', utilized, 'expires_at', expires_at, 'max_image_pixels', max_image_pixels, \
         'max_image_steps', max_image_steps, 'max_text_tokens', max_text_tokens, 'created_at', created_at) \
         ORDER BY created_at, id), '[]')::TEXT FROM shared_keys WHERE owner = users.id) AS shared_keys_json \
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
const USERS_BY_ID: &str = users!("WHERE users.id = ANY($1)");
const WORKERS: &str = "SELECT * FROM workers";
const WORKERS_BY_ID: &str = "SELECT * FROM workers WHERE id = ANY($1)";
const WORKER_BY_NAME: &str = "SELECT * FROM workers WHERE name = $1";
const MODES: &str = "SELECT * FROM modes";
const MESSAGES: &str = "SELECT * FROM worker_messages";
const TIMEOUTS: &str = "SELECT * FROM timeouts";
const OPEN_REQUESTS: &str = "SELECT * FROM requests WHERE NOT done";
const REQUESTS: &str = "SELECT * FROM requests WHERE id = ANY($1)";
const OPEN_ATTEMPTS: &str =
    "SELECT attempts.* FROM attempts JOIN requests ON requests.id = request WHERE NOT done";
const ATTEMPTS: &str = "SELECT * FROM attempts WHERE request = ANY($1)";
const OPEN_OUTCOMES: &str = "SELECT outcomes.request, outcome_json FROM outcomes JOIN requests ON requests.id = request WHERE NOT done";
const OUTCOMES: &str = "SELECT request, outcome_json FROM outcomes WHERE request = ANY($1)";
const ATTEMPT: &str = "SELECT attempts.request, state, worker, reward FROM attempts \
     LEFT JOIN outcomes ON attempt = id WHERE attempts.id = $1";
/// Brokers that sweep at the same time share the work. What a webhook is told is read from its request,
/// which is kept until then.
const SWEPT: &str = "WITH old AS MATERIALIZED (SELECT id FROM requests WHERE done AND expires_at < $1 \
         AND NOT EXISTS (SELECT 1 FROM webhooks WHERE request = requests.id) \
         ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED), \
     gone AS (DELETE FROM requests WHERE id IN (SELECT id FROM old) RETURNING id), \
     no_outcomes AS (DELETE FROM outcomes WHERE request IN (SELECT id FROM old)), \
     attempt AS (DELETE FROM attempts WHERE request IN (SELECT id FROM old) RETURNING id, request) \
     SELECT gone.id, coalesce(array_agg(attempt.id) FILTER (WHERE attempt.id IS NOT NULL), '{}') AS attempts \
     FROM gone LEFT JOIN attempt ON attempt.request = gone.id GROUP BY gone.id";
const OLD_BATCHES: &str =
    "DELETE FROM batches WHERE at < (extract(epoch FROM now()) * 1000)::BIGINT - 3600000";
const SECRET_PUT: &str = "INSERT INTO settings (name, value) VALUES ('secret', $1) ON CONFLICT DO NOTHING";
const SECRET_GET: &str = "SELECT value FROM settings WHERE name = 'secret'";
/// Brokers that start together make it once.
const ANONYMOUS: &str = "INSERT INTO users (id, alias, key_hash, roles_json, concurrency, worker_invites, created_at, \
     public_workers) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING";
const PING: &str = "SELECT 1";

pub(super) const STATEMENTS: &[&str] = &[
    PATIENTLY,
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
    OPEN_REQUESTS,
    REQUESTS,
    OPEN_ATTEMPTS,
    ATTEMPTS,
    OPEN_OUTCOMES,
    OUTCOMES,
    ATTEMPT,
    SWEPT,
    OLD_BATCHES,
    SECRET_PUT,
    SECRET_GET,
    ANONYMOUS,
    PING,
];

/// Records in a PostgreSQL database.
pub struct PgRecords {
    writer: Writer,
    pub(super) pool: PgPool,
}

impl PgRecords {
    /// Records over a database whose schema is up to date.
    pub(super) async fn open(batches: PgPool, pool: PgPool) -> Result<Self, Failure> {
        let anonymous = User::anonymous();
        within(ANSWER, async {
            let mut session = Session::of(&pool).await?;
            sqlx::query(ANONYMOUS)
                .bind(anonymous.id.0)
                .bind(&anonymous.alias)
                .bind(rows::hex(&anonymous.key.0))
                .bind(rows::text(&anonymous.roles)?)
                .bind(i64::try_from(anonymous.concurrency).map_err(Failure::from)?)
                .bind(i64::try_from(anonymous.worker_invites).map_err(Failure::from)?)
                .bind(anonymous.created_at.0)
                .bind(anonymous.about.public_workers)
                .execute(&mut *session)
                .await?;
            session.release();
            Ok(())
        })
        .await?;
        Ok(Self { writer: Writer::over(batches), pool })
    }

    /// Connections that read.
    pub(super) fn pool(&self) -> &PgPool {
        &self.pool
    }

    async fn load(&self) -> Result<Snapshot, Trouble> {
        let mut session = Session::of(&self.pool).await?;
        let mut tx = session.begin_with(BEGIN).await?;
        sqlx::query(PATIENTLY).execute(&mut *tx).await?;
        let users = sqlx::query(USERS).fetch_all(&mut *tx).await?;
        let workers = sqlx::query(WORKERS).fetch_all(&mut *tx).await?;
        let modes = sqlx::query(MODES).fetch_all(&mut *tx).await?;
        let messages = sqlx::query(MESSAGES).fetch_all(&mut *tx).await?;
        let timeouts = sqlx::query(TIMEOUTS).fetch_all(&mut *tx).await?;
        let teams = sqlx::query(teams::TEAMS).fetch_all(&mut *tx).await?;
        let requests = sqlx::query(OPEN_REQUESTS).fetch_all(&mut *tx).await?;
        let attempts = sqlx::query(OPEN_ATTEMPTS).fetch_all(&mut *tx).await?;
        let outcomes = sqlx::query(OPEN_OUTCOMES).fetch_all(&mut *tx).await?;
        tx.commit().await?;
        session.release();
        Ok(Snapshot {
            users: users.iter().map(cells::user).collect::<Result<_, _>>()?,
            workers: workers.iter().map(cells::worker).collect::<Result<_, _>>()?,
            requests: cells::stored(&requests, &attempts, &outcomes)?,
            board: cells::board(&modes, &messages, &timeouts, &teams)?,
        })
    }

    async fn board(&self) -> Result<Board, Trouble> {
        let mut session = Session::of(&self.pool).await?;
        let mut tx = session.begin_with(BEGIN).await?;
        let modes = sqlx::query(MODES).fetch_all(&mut *tx).await?;
        let messages = sqlx::query(MESSAGES).fetch_all(&mut *tx).await?;
        let timeouts = sqlx::query(TIMEOUTS).fetch_all(&mut *tx).await?;
        let teams = sqlx::query(teams::TEAMS).fetch_all(&mut *tx).await?;
        tx.commit().await?;
        session.release();
        Ok(cells::board(&modes, &messages, &timeouts, &teams)?)
    }

    async fn requests(&self, ids: &[Uuid]) -> Result<Vec<StoredRequest>, Trouble> {
        let mut session = Session::of(&self.pool).await?;
        let mut tx = session.begin_with(BEGIN).await?;
        let requests = sqlx::query(REQUESTS).bind(ids).fetch_all(&mut *tx).await?;
        let attempts = sqlx::query(ATTEMPTS).bind(ids).fetch_all(&mut *tx).await?;
        let outcomes = sqlx::query(OUTCOMES).bind(ids).fetch_all(&mut *tx).await?;
        tx.commit().await?;
        session.release();
        Ok(cells::stored(&requests, &attempts, &outcomes)?)
    }

    async fn people(&self, users: &[i64], workers: &[Uuid]) -> Result<(Vec<User>, Vec<Worker>), Trouble> {
        let (mut found, mut known) = (Vec::new(), Vec::new());
        let mut session = Session::of(&self.pool).await?;
        if !users.is_empty() {
            found = sqlx::query(USERS_BY_ID).bind(users).fetch_all(&mut *session).await?;
        }
        if !workers.is_empty() {
            known = sqlx::query(WORKERS_BY_ID).bind(workers).fetch_all(&mut *session).await?;
        }
        session.release();
        let users = found.iter().map(cells::user).collect::<Result<_, _>>()?;
        Ok((users, known.iter().map(cells::worker).collect::<Result<_, _>>()?))
    }

    async fn sweep(&self, before: Timestamp) -> Result<Vec<(RequestId, Vec<AttemptId>)>, Trouble> {
        let mut session = Session::of(&self.pool).await?;
        let swept = sqlx::query_as(SWEPT).bind(before.0).bind(SWEEP).fetch_all(&mut *session).await?;
        sqlx::query(OLD_BATCHES).execute(&mut *session).await?;
        session.release();
        let ids = |attempts: Vec<Uuid>| attempts.into_iter().map(AttemptId).collect();
        Ok(swept.into_iter().map(|(id, attempts): (Uuid, _)| (RequestId(id), ids(attempts))).collect())
    }

    async fn secret(&self, proposal: [u8; 32]) -> Result<[u8; 32], Trouble> {
        let mut session = Session::of(&self.pool).await?;
        sqlx::query(SECRET_PUT).bind(rows::hex(&proposal)).execute(&mut *session).await?;
        let text: String = sqlx::query_scalar(SECRET_GET).fetch_one(&mut *session).await?;
        session.release();
        Ok(cells::unhex(&text)?)
    }

    async fn row(
        &self,
        query: sqlx::query::Query<'static, sqlx::Postgres, sqlx::postgres::PgArguments>,
    ) -> Result<Option<PgRow>, Trouble> {
        let mut session = Session::of(&self.pool).await?;
        let row = query.fetch_optional(&mut *session).await?;
        session.release();
        Ok(row)
    }
}

#[async_trait]
impl Records for PgRecords {
    async fn load(&self) -> Result<Snapshot, Failure> {
        Ok(again(LOAD, || self.load()).await?)
    }

    async fn commit_each(&self, deeds: &[Deed]) -> Result<Vec<Verdict>, Failure> {
        Ok(self.writer.commit(deeds).await?)
    }

    async fn requests(&self, ids: &[RequestId]) -> Result<Vec<StoredRequest>, Failure> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<_> = ids.iter().map(|id| id.0).collect();
        Ok(again(ANSWER, || self.requests(&ids)).await?)
    }

    async fn people(
        &self,
        users: &[UserId],
        workers: &[WorkerId],
    ) -> Result<(Vec<User>, Vec<Worker>), Failure> {
        let users: Vec<_> = users.iter().map(|id| id.0).collect();
        let workers: Vec<_> = workers.iter().map(|id| id.0).collect();
        Ok(again(ANSWER, || self.people(&users, &workers)).await?)
    }

    async fn board(&self) -> Result<Board, Failure> {
        Ok(again(ANSWER, || self.board()).await?)
    }

    async fn team_figures(&self, only: Option<TeamId>) -> Result<Vec<(TeamId, TeamFigures)>, Failure> {
        Ok(again(ANSWER, || self.read_team_figures(only)).await?)
    }

    async fn worker_by_name(&self, name: &str) -> Result<Option<Worker>, Failure> {
        // As it was stored.
        let name = name.replace('\0', "\u{fffd}");
        let row = again(ANSWER, || self.row(sqlx::query(WORKER_BY_NAME).bind(name.clone()))).await?;
        row.as_ref().map(cells::worker).transpose()
    }

    async fn attempt(&self, id: AttemptId) -> Result<Option<PastAttempt>, Failure> {
        let row = again(ANSWER, || self.row(sqlx::query(ATTEMPT).bind(id.0))).await?;
        row.as_ref().map(cells::past_attempt).transpose()
    }

    async fn user_by_key(&self, key: KeyHash) -> Result<Option<User>, Failure> {
        let row = again(ANSWER, || self.row(sqlx::query(USER_BY_KEY).bind(rows::hex(&key.0)))).await?;
        row.as_ref().map(cells::user).transpose()
    }

    async fn sweep(&self, before: Timestamp) -> Result<Vec<(RequestId, Vec<AttemptId>)>, Failure> {
        // Once: a second try would not find what a first one deleted without our hearing of it.
        Ok(within(ANSWER, self.sweep(before)).await?)
    }

    async fn take_webhooks(
        &self,
        _: Timestamp,
        hold: Duration,
        most: usize,
        except: &[String],
    ) -> Result<Vec<Webhook>, Failure> {
        // Once: what a first try took without our hearing of it is due again later.
        Ok(within(ANSWER, webhooks::take(&self.pool, hold, most, except)).await?)
    }

    async fn end_webhooks(&self, _: Timestamp, ends: &[WebhookEnd]) -> Result<(), Failure> {
        Ok(again(ANSWER, || webhooks::end(&self.pool, ends)).await?)
    }

    async fn crop_webhooks(&self, most: usize) -> Result<u64, Failure> {
        Ok(within(ANSWER, webhooks::crop(&self.pool, most)).await?)
    }

    async fn secret(&self, proposal: [u8; 32]) -> Result<[u8; 32], Failure> {
        Ok(again(ANSWER, || self.secret(proposal)).await?)
    }

    async fn ping(&self) -> Result<(), Failure> {
        again(ANSWER, || self.row(sqlx::query(PING))).await?;
        Ok(())
    }
}

#[async_trait]
impl RankedUsers for PgRecords {
    async fn ranked_users(&self, by: Ranking, skip: u32, most: u32) -> Result<Vec<User>, Failure> {
        let statement = match by {
            Ranking::Kudos => RICHEST,
            Ranking::Age => OLDEST,
        };
        let rows = again(ANSWER, || async {
            let mut session = Session::of(&self.pool).await?;
            let query = sqlx::query(statement).bind(i64::from(most)).bind(i64::from(skip));
            let rows = query.fetch_all(&mut *session).await?;
            session.release();
            Ok::<_, Trouble>(rows)
        });
        rows.await?.iter().map(cells::user).collect()
    }
}

impl Cells for PgRow {
    fn text(&self, column: &str) -> Result<Option<&str>, Failure> {
        self.try_get(column).map_err(told)
    }

    fn number(&self, column: &str) -> Result<Option<i64>, Failure> {
        self.try_get(column).map_err(told)
    }

    fn decimal(&self, column: &str) -> Result<f64, Failure> {
        self.try_get(column).map_err(told)
    }

    fn flag(&self, column: &str) -> Result<bool, Failure> {
        self.try_get(column).map_err(told)
    }

    fn id(&self, column: &str) -> Result<Uuid, Failure> {
        self.try_get(column).map_err(told)
    }
}

fn told(error: sqlx::Error) -> Failure {
    Trouble::from(error).into()
}
