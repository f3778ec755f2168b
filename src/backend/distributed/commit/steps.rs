//! What a batch does, statement by statement: one for each table and kind of change, each over a JSON
//! array of rows.

mod accounts;
pub(super) mod filters;
mod kudos;
mod lent;
mod nul;
mod people;
pub(super) mod stats;
pub(super) mod styles;
pub(super) mod teams;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sqlx::{PgConnection, Row};

use self::{
    accounts::{AMENDMENTS, DROP_LENT, USERS},
    kudos::{
        HOLDS, KEY_FILLS, KUDOS_COUNTS, MONTHLY_CHANGES, MONTHLY_PAYMENTS, POSTINGS, TRANSFERS, UNCOOLED,
        UNCOVERED,
    },
    lent::{
        DROP_KEYS, KEY_CHANGES, KEY_HOLDS, KEY_SPENDINGS, KEY_USES, OVERDRAWN, SHARED_KEYS, TOO_MANY_KEYS,
    },
    nul::without_nul,
    people::{
        DROP_MESSAGES, DROP_TIMEOUTS, DROP_WORKERS, FLEETS, MESSAGES, MODES, ROLES, RULINGS, TIMEOUTS,
        UPTIME_REWARDS, WORDS, WORKER_COUNTS, WORKERS,
    },
    teams::LEAVE_TEAMS,
};
use super::Trouble;
use crate::{
    backend::{
        Deed, Failure, Refusal,
        rows::{Limit, Rows, text},
    },
    domain::{Kudos, SharedKeyId, UserId, request::Kind},
};

const ENDINGS: &str = "WITH change AS (SELECT (r ->> 0)::UUID AS id, r ->> 1 AS state \
         FROM jsonb_array_elements($1::JSONB) AS rows(r)), \
     held AS MATERIALIZED (SELECT change.* FROM attempts JOIN change USING (id) \
         ORDER BY attempts.id FOR NO KEY UPDATE OF attempts) \
     UPDATE attempts SET state = held.state FROM held \
     WHERE attempts.id = held.id AND attempts.state = 'open'";
const ATTEMPTS: &str = "INSERT INTO attempts (id, request, job, number, worker, model, seed, held, granted_at, \
     expires_at, state) SELECT (r ->> 0)::UUID, (r ->> 1)::UUID, (r ->> 2)::BIGINT, (r ->> 3)::BIGINT, \
     (r ->> 4)::UUID, r ->> 5, (r ->> 6)::BIGINT, r ->> 7, (r ->> 8)::BIGINT, (r ->> 9)::BIGINT, r ->> 10 \
     FROM jsonb_array_elements($1::JSONB) AS rows(r) ORDER BY 2, 3";
const LEASES: &str = "WITH change AS (SELECT (r ->> 0)::UUID AS id, (r ->> 1)::BIGINT AS expires_at \
         FROM jsonb_array_elements($1::JSONB) AS rows(r)), \
     held AS MATERIALIZED (SELECT change.* FROM attempts JOIN change USING (id) \
         ORDER BY attempts.id FOR NO KEY UPDATE OF attempts) \
     UPDATE attempts SET expires_at = held.expires_at FROM held \
     WHERE attempts.id = held.id";
const USER_COUNTS: &str = "WITH change AS (SELECT (r ->> 0)::BIGINT AS id, \
         (r ->> 1)::BIGINT AS rij, (r ->> 2)::FLOAT8 AS rit, (r ->> 3)::BIGINT AS rtj, (r ->> 4)::FLOAT8 AS rtt, \
         (r ->> 5)::BIGINT AS rvj, (r ->> 6)::FLOAT8 AS rvt, (r ->> 7)::BIGINT AS raj, (r ->> 8)::FLOAT8 AS rat, \
         (r ->> 9)::BIGINT AS fij, (r ->> 10)::FLOAT8 AS fit, (r ->> 11)::BIGINT AS ftj, (r ->> 12)::FLOAT8 AS ftt, \
         (r ->> 13)::BIGINT AS fvj, (r ->> 14)::FLOAT8 AS fvt, (r ->> 15)::BIGINT AS faj, (r ->> 16)::FLOAT8 AS fat, \
         (r ->> 17)::BIGINT AS accumulated, (r ->> 18)::BIGINT AS granted, \
         (r ->> 19)::BIGINT AS suspicion \
         FROM jsonb_array_elements($1::JSONB) AS rows(r)), \
     held AS MATERIALIZED (SELECT change.* FROM users JOIN change USING (id) \
         ORDER BY users.id FOR NO KEY UPDATE OF users) \
     UPDATE users SET \
         requested_image_jobs = requested_image_jobs + rij, \
         requested_image_things = requested_image_things + rit, \
         requested_text_jobs = requested_text_jobs + rtj, \
         requested_text_things = requested_text_things + rtt, \
         requested_video_jobs = requested_video_jobs + rvj, \
         requested_video_things = requested_video_things + rvt, \
         requested_alchemy_jobs = requested_alchemy_jobs + raj, \
         requested_alchemy_things = requested_alchemy_things + rat, \
         fulfilled_image_jobs = fulfilled_image_jobs + fij, \
         fulfilled_image_things = fulfilled_image_things + fit, \
         fulfilled_text_jobs = fulfilled_text_jobs + ftj, \
         fulfilled_text_things = fulfilled_text_things + ftt, \
         fulfilled_video_jobs = fulfilled_video_jobs + fvj, \
         fulfilled_video_things = fulfilled_video_things + fvt, \
         fulfilled_alchemy_jobs = fulfilled_alchemy_jobs + faj, \
         fulfilled_alchemy_things = fulfilled_alchemy_things + fat, \
         accumulated = users.accumulated + held.accumulated, granted = users.granted + held.granted, \
         suspicion = users.suspicion + held.suspicion \
     FROM held WHERE users.id = held.id";
/// Tells, as the next one and the last do, by how much the number of waiting jobs changes, by account
/// and kind.
const REQUESTS: &str = "WITH made AS (INSERT INTO requests \
         (id, owner, created_at, priority, spec_json, expires_at, jobs, kind) \
         SELECT (r ->> 0)::UUID, (r ->> 1)::BIGINT, (r ->> 2)::BIGINT, (r ->> 3)::BIGINT, r ->> 4, \
             (r ->> 5)::BIGINT, (r ->> 6)::BIGINT, r ->> 7 FROM jsonb_array_elements($1::JSONB) AS rows(r) \
         ORDER BY 1 RETURNING owner, kind, waiting) \
     SELECT owner, kind, sum(waiting)::BIGINT FROM made GROUP BY owner, kind";
/// Who opens an attempt and who cancels its request lock the same row here. The last one to do so sees
/// what the other did: a row of `held` is as it is once it is locked.
const REQUEST_CHANGES: &str = "WITH change AS MATERIALIZED (SELECT (r ->> 0)::UUID AS id, \
         (r ->> 1)::BIGINT AS open, (r ->> 2)::BIGINT AS settled, (r ->> 3)::BIGINT AS expires_at, \
         (r ->> 4)::BOOLEAN AS cancelled, (r ->> 5)::BOOLEAN AS faulted, (r ->> 6)::BIGINT AS spent, \
         (r ->> 7)::BOOLEAN AS opens FROM jsonb_array_elements($1::JSONB) AS rows(r)), \
     held AS MATERIALIZED (SELECT change.*, requests.waiting AS waited, \
             NOT (requests.cancelled OR requests.faulted OR requests.done) AS may_open \
         FROM requests JOIN change USING (id) ORDER BY requests.id FOR NO KEY UPDATE OF requests), \
     moved AS (UPDATE requests SET open = requests.open + held.open, \
             settled = requests.settled + held.settled, \
             expires_at = greatest(requests.expires_at, held.expires_at), \
             cancelled = requests.cancelled OR held.cancelled, faulted = requests.faulted OR held.faulted, \
             consumed = consumed + spent \
         FROM held WHERE requests.id = held.id \
         RETURNING requests.owner, requests.kind, requests.waiting - held.waited AS more) \
     SELECT owner, kind, sum(more)::BIGINT FROM moved GROUP BY owner, kind HAVING sum(more) <> 0 \
     UNION ALL SELECT NULL, NULL, count(*) FROM change \
         WHERE opens AND id NOT IN (SELECT id FROM held WHERE may_open) HAVING count(*) > 0";
const OUTCOMES: &str = "INSERT INTO outcomes (attempt, request, reward, outcome_json) \
     SELECT (r ->> 0)::UUID, (r ->> 1)::UUID, (r ->> 2)::BIGINT, r ->> 3 \
     FROM jsonb_array_elements($1::JSONB) AS rows(r) ORDER BY 1";
/// Due at once, also where the clock of a broker is ahead.
const WEBHOOKS: &str = "INSERT INTO webhooks (attempt, request, host, tries, made_at, due_at) \
     SELECT (r ->> 0)::UUID, (r ->> 1)::UUID, r ->> 2, 0, (r ->> 3)::BIGINT, \
         least((r ->> 3)::BIGINT, (extract(epoch FROM now()) * 1000)::BIGINT) \
     FROM jsonb_array_elements($1::JSONB) AS rows(r) ORDER BY 1";
/// The requests are locked by then: all that are dropped are among those that change.
const DROPS: &str = "WITH named AS MATERIALIZED (SELECT (r ->> 0)::UUID AS id, (r ->> 1)::BIGINT AS before \
         FROM jsonb_array_elements($1::JSONB) AS rows(r)), \
     gone AS MATERIALIZED (SELECT requests.id, owner, kind, waiting FROM requests JOIN named USING (id) \
         WHERE expires_at <= before AND open = 0), \
     no_attempts AS (DELETE FROM attempts WHERE request IN (SELECT id FROM gone)), \
     no_outcomes AS (DELETE FROM outcomes WHERE request IN (SELECT id FROM gone)), \
     no_requests AS (DELETE FROM requests WHERE id IN (SELECT id FROM gone)) \
     SELECT owner, kind, -sum(waiting)::BIGINT FROM gone GROUP BY owner, kind HAVING sum(waiting) <> 0 \
     UNION ALL SELECT NULL, NULL, count(*) FROM requests JOIN named USING (id) \
         WHERE id NOT IN (SELECT id FROM gone) HAVING count(*) > 0";
/// Last of all, so that the rows that everybody changes are locked for no longer than the commit takes.
const WAITING: &str = "INSERT INTO waiting (owner, kind, jobs) \
     SELECT (r ->> 0)::BIGINT, r ->> 1, (r ->> 2)::BIGINT FROM jsonb_array_elements($1::JSONB) AS rows(r) \
     ORDER BY 1, 2 ON CONFLICT (owner, kind) DO UPDATE SET jobs = waiting.jobs + excluded.jobs \
     RETURNING owner, kind, jobs";

/// In the order in which they are run.
pub(super) const STATEMENTS: &[&str] = &[
    ENDINGS,
    ATTEMPTS,
    LEASES,
    USERS,
    USER_COUNTS,
    KUDOS_COUNTS,
    MONTHLY_CHANGES,
    MONTHLY_PAYMENTS,
    ROLES,
    AMENDMENTS,
    DROP_LENT,
    SHARED_KEYS,
    KEY_CHANGES,
    KEY_USES,
    KEY_FILLS,
    DROP_KEYS,
    TOO_MANY_KEYS,
    WORKERS,
    FLEETS,
    WORDS,
    WORKER_COUNTS,
    RULINGS,
    LEAVE_TEAMS,
    UPTIME_REWARDS,
    REQUESTS,
    REQUEST_CHANGES,
    OUTCOMES,
    WEBHOOKS,
    TRANSFERS,
    UNCOOLED,
    POSTINGS,
    HOLDS,
    UNCOVERED,
    KEY_HOLDS,
    KEY_SPENDINGS,
    OVERDRAWN,
    DROPS,
    DROP_WORKERS,
    MODES,
    MESSAGES,
    DROP_MESSAGES,
    TIMEOUTS,
    DROP_TIMEOUTS,
    WAITING,
];

/// SQLSTATE of a row that there is already.
const UNIQUE: &str = "23505";

/// What must be so for a statement to hold.
#[derive(Clone, Copy)]
enum Condition {
    None,
    /// No such row is there already.
    New(Refusal),
    /// All of so many rows are changed.
    All(u64),
    /// The same, and no such row is there already.
    AllNew(u64, Refusal),
    /// It counts no row without an account; what else it counts are jobs that wait.
    Counted,
    /// No account has more workers than it may.
    Room,
    /// It finds nothing that would be so.
    Never(Refusal),
    /// No key has too little for what is kept of it.
    Reserved,
}

/// A statement, and its rows.
struct Step {
    statement: &'static str,
    rows: String,
    condition: Condition,
}

/// What deeds that are written together do.
pub(super) struct Steps {
    steps: Vec<Step>,
    limits: BTreeMap<(UserId, Kind), Limit>,
    fleets: BTreeMap<UserId, Limit>,
    /// What is kept now of each key.
    reserved: BTreeMap<SharedKeyId, Kudos>,
}

impl Steps {
    /// What deeds do; `None` if they cannot be written together. See [`Rows::of`].
    pub fn of(deeds: &[Deed]) -> Result<Option<Self>, Failure> {
        let Some(rows) = Rows::of(deeds)? else { return Ok(None) };
        let [ended, known, next, due] =
            [&rows.endings, &rows.words, &rows.uptime_rewards, &rows.monthly_payments]
                .map(|rows| Condition::All(rows.len() as u64));
        let owners: Vec<_> = rows.fleets.keys().map(|owner| json!([owner])).collect();
        let floors: Vec<_> = rows.floors.iter().map(|(owner, floor)| json!([owner, floor])).collect();
        let key_limits: Vec<_> = rows.key_limits.iter().map(|(owner, most)| json!([owner, most])).collect();
        let keys: Vec<_> = rows.reserved.keys().map(|key| json!([key])).collect();
        let changed = |rows: &[Value]| Condition::AllNew(rows.len() as u64, Refusal::Taken);
        // Endings first: a job has room for its next attempt once the last one has ended.
        let tables = [
            (ENDINGS, &rows.endings, ended),
            (ATTEMPTS, &rows.attempts, Condition::New(Refusal::Overtaken)),
            (LEASES, &rows.leases, Condition::None),
            (USERS, &rows.users, Condition::New(Refusal::Taken)),
            (USER_COUNTS, &rows.user_counts, Condition::None),
            (KUDOS_COUNTS, &rows.kudos_counts, Condition::None),
            (MONTHLY_CHANGES, &rows.monthly_changes, Condition::None),
            (MONTHLY_PAYMENTS, &rows.monthly_payments, due),
            (ROLES, &rows.roles, Condition::None),
            (AMENDMENTS, &rows.amendments, changed(&rows.amendments)),
            (DROP_LENT, &rows.lenders, Condition::None),
            (SHARED_KEYS, &rows.shared_keys, Condition::New(Refusal::Taken)),
            (KEY_CHANGES, &rows.key_changes, Condition::All(rows.key_changes.len() as u64)),
            (KEY_USES, &rows.key_uses, Condition::None),
            (KEY_FILLS, &rows.key_fills, Condition::None),
            (DROP_KEYS, &rows.key_drops, Condition::All(rows.key_drops.len() as u64)),
            (TOO_MANY_KEYS, &key_limits, Condition::Never(Refusal::TooMany { waiting: 0 })),
            (WORKERS, &rows.workers, Condition::New(Refusal::Taken)),
            (FLEETS, &owners, Condition::Room),
            (WORDS, &rows.words, known),
            (WORKER_COUNTS, &rows.worker_counts, Condition::None),
            (RULINGS, &rows.rulings, changed(&rows.rulings)),
            (LEAVE_TEAMS, &rows.team_drops, Condition::None),
            (UPTIME_REWARDS, &rows.uptime_rewards, next),
            (REQUESTS, &rows.requests, Condition::Counted),
            (REQUEST_CHANGES, &rows.request_changes, Condition::Counted),
            (OUTCOMES, &rows.outcomes, Condition::None),
            (WEBHOOKS, &rows.webhooks, Condition::None),
            (TRANSFERS, &rows.transfers, Condition::New(Refusal::Taken)),
            (UNCOOLED, &rows.transfers, Condition::Never(Refusal::Overtaken)),
            (POSTINGS, &rows.postings, Condition::Counted),
            (HOLDS, &rows.holds, Condition::None),
            (UNCOVERED, &floors, Condition::Never(Refusal::Uncovered)),
            (KEY_HOLDS, &rows.key_holds, Condition::None),
            (KEY_SPENDINGS, &rows.key_spendings, Condition::None),
            (OVERDRAWN, &keys, Condition::Reserved),
            (DROPS, &rows.drops, Condition::Counted),
            (DROP_WORKERS, &rows.worker_drops, Condition::All(rows.worker_drops.len() as u64)),
            (MODES, &rows.modes, Condition::None),
            (MESSAGES, &rows.messages, Condition::None),
            (DROP_MESSAGES, &rows.message_drops, Condition::None),
            (TIMEOUTS, &rows.timeouts, Condition::None),
            (DROP_TIMEOUTS, &rows.timeout_drops, Condition::None),
        ];
        let steps = tables
            .into_iter()
            .chain(filters::steps(&rows))
            .chain(stats::steps(&rows))
            .chain(teams::steps(&rows))
            .chain(styles::tables(&rows.styles))
            .filter(|(_, rows, _)| !rows.is_empty())
            .map(|(statement, rows, condition)| {
                Ok::<_, Failure>(Step { statement, rows: without_nul(text(rows)?), condition })
            });
        let steps = steps.collect::<Result<_, _>>()?;
        Ok(Some(Self { steps, limits: rows.limits, fleets: rows.fleets, reserved: rows.reserved }))
    }

    /// Runs them in a transaction; a refusal if it must not be committed.
    pub async fn run(&self, transaction: &mut PgConnection) -> Result<Option<Refusal>, Trouble> {
        // By how much the number of waiting jobs changes. Who accepts requests asks for the number.
        let mut more: BTreeMap<(i64, String), i64> =
            self.limits.keys().map(|(owner, kind)| ((owner.0, kind.word().to_owned()), 0)).collect();
        for Step { statement, rows, condition } in &self.steps {
            let query = sqlx::query(*statement).bind(rows);
            match condition {
                Condition::None => {
                    query.execute(&mut *transaction).await?;
                }
                Condition::New(refusal) | Condition::AllNew(_, refusal) => {
                    let changed = match query.execute(&mut *transaction).await {
                        Err(sqlx::Error::Database(error))
                            if error.code().is_some_and(|code| code == UNIQUE) =>
                        {
                            return Ok(Some(*refusal));
                        }
                        outcome => outcome?.rows_affected(),
                    };
                    if matches!(condition, Condition::AllNew(count, _) if *count != changed) {
                        return Ok(Some(Refusal::Overtaken));
                    }
                }
                Condition::All(count) => {
                    if query.execute(&mut *transaction).await?.rows_affected() != *count {
                        return Ok(Some(Refusal::Overtaken));
                    }
                }
                Condition::Counted => {
                    for row in query.fetch_all(&mut *transaction).await? {
                        let Some(owner) = row.try_get(0)? else { return Ok(Some(Refusal::Overtaken)) };
                        *more.entry((owner, row.try_get(1)?)).or_default() += row.try_get::<i64, _>(2)?;
                    }
                }
                Condition::Never(refusal) => {
                    if query.fetch_optional(&mut *transaction).await?.is_some() {
                        return Ok(Some(*refusal));
                    }
                }
                Condition::Reserved => {
                    if let Some(row) = query.fetch_optional(&mut *transaction).await? {
                        let own =
                            self.reserved.get(&SharedKeyId(row.try_get(0)?)).copied().unwrap_or_default();
                        return Ok(Some(Refusal::Overdrawn { left: Kudos(row.try_get(1)?) + own }));
                    }
                }
                Condition::Room => {
                    for row in query.fetch_all(&mut *transaction).await? {
                        let (limit, workers) = (self.fleets.get(&UserId(row.try_get(0)?)), row.try_get(1)?);
                        if let Some(waiting) = limit.and_then(|limit| limit.excess(workers)) {
                            return Ok(Some(Refusal::TooMany { waiting }));
                        }
                    }
                }
            }
        }
        let more =
            more.into_iter().filter(|((owner, kind), more)| *more != 0 || self.limit(*owner, kind).is_some());
        let more: Vec<_> = more.map(|((owner, kind), more)| json!([owner, kind, more])).collect();
        self.count(transaction, &more).await
    }

    async fn count(
        &self,
        transaction: &mut PgConnection,
        more: &[Value],
    ) -> Result<Option<Refusal>, Trouble> {
        if more.is_empty() {
            return Ok(None);
        }
        for row in sqlx::query(WAITING).bind(text(more)?).fetch_all(transaction).await? {
            let (limit, jobs) = (self.limit(row.try_get(0)?, row.try_get(1)?), row.try_get(2)?);
            if let Some(waiting) = limit.and_then(|limit| limit.excess(jobs)) {
                return Ok(Some(Refusal::TooMany { waiting }));
            }
        }
        Ok(None)
    }

    fn limit(&self, owner: i64, kind: &str) -> Option<&Limit> {
        let kind = Kind::ALL.into_iter().find(|other| other.word() == kind)?;
        self.limits.get(&(UserId(owner), kind))
    }
}
