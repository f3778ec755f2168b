//! Deeds as few statements: one for each table and kind of change, each over a JSON array of rows.
//! Row by row costs three times as much.
//!
//! Nobody else writes to the file, so that what the engine decided still holds when it is written, and
//! all deeds are written as one. Only if a condition fails are they written one by one.

mod accounts;
pub(super) mod filters;
mod kudos;
mod lent;
mod limits;
mod people;
pub(super) mod stats;
mod teams;

use serde_json::Value;
use sqlx::{AssertSqlSafe, SqliteConnection};

use self::{
    accounts::{ALL_AMENDED, AMENDMENTS, DROP_LENT, USERS},
    kudos::{
        ALL_COOL, ALL_COVERED, ALL_DUE, ALL_PUT_ASIDE, BALANCES, HOLDS, KEY_FILLS, KUDOS_COUNTS,
        MONTHLY_CHANGES, MONTHLY_PAYMENTS, POSTINGS, TRANSFERS,
    },
    lent::{
        ALL_FEW, ALL_LENT, ALL_RESERVED, DROP_KEYS, KEY_CHANGES, KEY_HOLDS, KEY_SPENDINGS, KEY_USES,
        SHARED_KEYS, short,
    },
    limits::Limits,
    people::{DROP_MESSAGES, DROP_TIMEOUTS, DROP_WORKERS, MESSAGES, MODES, RULINGS, TIMEOUTS},
    teams::{ALL_TEAMS, DROP_TEAMS, LEAVE_TEAMS, TEAM_CHANGES, TEAM_COUNTS, TEAMS},
};
use super::styles;
use crate::backend::{
    Deed, Failure, Refusal, Verdict,
    rows::{Rows, text},
};

const USER_COUNTS: &str = "UPDATE users SET \
     requested_image_jobs = requested_image_jobs + (value ->> 1), \
     requested_image_things = requested_image_things + (value ->> 2), \
     requested_text_jobs = requested_text_jobs + (value ->> 3), \
     requested_text_things = requested_text_things + (value ->> 4), \
     requested_video_jobs = requested_video_jobs + (value ->> 5), \
     requested_video_things = requested_video_things + (value ->> 6), \
     requested_alchemy_jobs = requested_alchemy_jobs + (value ->> 7), \
     requested_alchemy_things = requested_alchemy_things + (value ->> 8), \
     fulfilled_image_jobs = fulfilled_image_jobs + (value ->> 9), \
     fulfilled_image_things = fulfilled_image_things + (value ->> 10), \
     fulfilled_text_jobs = fulfilled_text_jobs + (value ->> 11), \
     fulfilled_text_things = fulfilled_text_things + (value ->> 12), \
     fulfilled_video_jobs = fulfilled_video_jobs + (value ->> 13), \
     fulfilled_video_things = fulfilled_video_things + (value ->> 14), \
     fulfilled_alchemy_jobs = fulfilled_alchemy_jobs + (value ->> 15), \
     fulfilled_alchemy_things = fulfilled_alchemy_things + (value ->> 16), \
     accumulated = accumulated + (value ->> 17), granted = granted + (value ->> 18), \
     suspicion = suspicion + (value ->> 19) \
     FROM json_each($1) WHERE users.id = value ->> 0";
const WORKERS: &str = "INSERT INTO workers (id, name, owner, created_at, seen_at, profile_json, maintenance, \
     kind, address, suspected_once) \
     SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, \
     value ->> 7, value ->> 8, value ->> 9 FROM json_each($1)";
const WORDS: &str = "UPDATE workers SET seen_at = value ->> 1, profile_json = value ->> 2, \
     address = value ->> 3 FROM json_each($1) WHERE workers.id = value ->> 0";
const WORKER_COUNTS: &str = "UPDATE workers SET \
     fulfilled = fulfilled + (new.value ->> 1), uncompleted = uncompleted + (new.value ->> 2), \
     things = things + (new.value ->> 3), generated = generated + (new.value ->> 4), \
     uptime_seconds = uptime_seconds + (new.value ->> 5), \
     uptime_kudos = uptime_kudos + (new.value ->> 7), unpaid_seconds = unpaid_seconds + (new.value ->> 8), \
     speeds_json = (SELECT json_group_array(speed) FROM (SELECT speed FROM ( \
         SELECT key AS place, value AS speed FROM json_each(speeds_json) \
         UNION ALL SELECT 1000 + key, value FROM json_each(new.value ->> 6) \
         ORDER BY 1 DESC LIMIT 20) ORDER BY place)) \
     FROM json_each($1) AS new WHERE workers.id = new.value ->> 0";
/// Only the next reward counts.
const UPTIME_REWARDS: &str = "UPDATE workers SET uptime_rewards = value ->> 1 FROM json_each($1) \
     WHERE workers.id = value ->> 0 AND uptime_rewards = (value ->> 1) - 1";
const ROLES: &str = "UPDATE users SET roles_json = json_insert(roles_json, '$[#]', new.value ->> 1) \
     FROM json_each($1) AS new WHERE users.id = new.value ->> 0 \
     AND NOT EXISTS (SELECT 1 FROM json_each(roles_json) AS held WHERE held.value = new.value ->> 1)";
const REQUESTS: &str = "INSERT INTO requests (id, owner, created_at, priority, spec_json, expires_at, jobs, kind) \
     SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7 \
     FROM json_each($1)";
/// A request that is over has no number of open attempts: it fails the transaction if one opens.
const REQUEST_CHANGES: &str = "UPDATE requests SET \
     open = CASE WHEN value ->> 7 AND (cancelled OR faulted OR done) THEN NULL ELSE open + (value ->> 1) END, \
     settled = settled + (value ->> 2), expires_at = max(expires_at, value ->> 3), \
     cancelled = max(cancelled, value ->> 4), faulted = max(faulted, value ->> 5), \
     consumed = consumed + (value ->> 6) FROM json_each($1) WHERE requests.id = value ->> 0";
const ATTEMPTS: &str = "INSERT INTO attempts (id, request, job, number, worker, model, seed, held, granted_at, \
     expires_at, state) SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, \
     value ->> 6, value ->> 7, value ->> 8, value ->> 9, value ->> 10 FROM json_each($1)";
const LEASES: &str =
    "UPDATE attempts SET expires_at = value ->> 1 FROM json_each($1) WHERE attempts.id = value ->> 0";
const ENDINGS: &str = "UPDATE attempts SET state = value ->> 1 FROM json_each($1) \
     WHERE attempts.id = value ->> 0 AND state = 'open'";
const OUTCOMES: &str =
    "INSERT INTO outcomes SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each($1)";
const WEBHOOKS: &str = "INSERT INTO webhooks \
     SELECT value ->> 0, value ->> 1, value ->> 2, 0, value ->> 3, value ->> 3 FROM json_each($1)";
const DROP_OUTCOMES: &str = "DELETE FROM outcomes WHERE request IN (SELECT value ->> 0 FROM json_each($1))";
const DROP_ATTEMPTS: &str = "DELETE FROM attempts WHERE request IN (SELECT value ->> 0 FROM json_each($1))";
const DROP_REQUESTS: &str = "DELETE FROM requests WHERE id IN (SELECT value ->> 0 FROM json_each($1))";

/// Each of these fails the transaction if what it says is so.
const ALL_ENDED: &str = "INSERT INTO impossible SELECT 'an attempt was ended that is not open' \
     WHERE changes() <> json_array_length($1)";
const ALL_MADE: &str = "INSERT INTO impossible SELECT 'a worker speaks that was not made' \
     WHERE changes() <> json_array_length($1)";
const ALL_NEXT: &str = "INSERT INTO impossible SELECT 'time online is paid for twice' \
     WHERE changes() <> json_array_length($1)";
const ALL_LET_IN: &str = "INSERT INTO impossible SELECT 'an account has too many workers' FROM json_each($1) \
     WHERE (SELECT count(*) FROM workers WHERE owner = value ->> 0 AND kind <> 'alchemy') > value ->> 1";
const ALL_FREE: &str = "INSERT INTO impossible SELECT 'a job is given out that has its result' \
     FROM json_each($1) JOIN attempts AS other ON other.request = value ->> 1 AND other.job = value ->> 2 \
     WHERE other.state = 'settled' AND other.id <> value ->> 0 AND value ->> 10 IN ('open', 'settled')";
const ALL_THERE: &str = "INSERT INTO impossible SELECT 'a job is given out of a request that is gone' \
     WHERE changes() <> json_array_length($1) AND EXISTS (SELECT 1 FROM json_each($1) \
     WHERE value ->> 7 AND NOT EXISTS (SELECT 1 FROM requests WHERE requests.id = value ->> 0))";
const ALL_ROOM: &str = "INSERT INTO impossible SELECT 'too many jobs wait' \
     FROM json_each($1) JOIN waiting ON owner = value ->> 0 AND kind = value ->> 1 WHERE jobs > value ->> 2";
const ALL_OVER: &str = "INSERT INTO impossible SELECT 'a request is dropped too early' \
     FROM json_each($1) JOIN requests ON requests.id = value ->> 0 WHERE expires_at > value ->> 1 OR open > 0";

const ALL_GONE: &str = "INSERT INTO impossible SELECT 'a worker goes that is not there, or holds a job' \
     WHERE changes() <> json_array_length($1)";

/// Jobs that wait.
const WAITING: &str = "SELECT jobs FROM waiting WHERE owner = $1 AND kind = $2";
/// Workers of an account.
const FLEET: &str = "SELECT count(*) FROM workers WHERE owner = $1 AND kind <> 'alchemy'";

/// What it means for a deed that a statement meets a constraint.
#[derive(Clone, Copy)]
pub(super) enum Meaning {
    /// The store is not as it must be.
    Wrong,
    Refused(Refusal),
    /// Refused, as an account has too many workers, or too many jobs waiting.
    Crowded,
    /// Refused, as a key has not so much beside what is kept of it.
    Short,
}

/// A statement, the rows it is given, and what it means if it meets a constraint.
pub(super) type Step<'a> = (&'static str, &'a [Value], Meaning);

/// Statements in their order. Endings come before the attempts that begin: a job has room for its next
/// attempt once the last one has ended.
fn plan<'a>(rows: &'a Rows, limits: &'a Limits) -> impl Iterator<Item = Step<'a>> {
    use Meaning::{Crowded, Short, Wrong};
    const OVERTAKEN: Meaning = Meaning::Refused(Refusal::Overtaken);
    const TAKEN: Meaning = Meaning::Refused(Refusal::Taken);
    const UNCOVERED: Meaning = Meaning::Refused(Refusal::Uncovered);
    const FULL: Meaning = Meaning::Refused(Refusal::TooMany { waiting: 0 });
    let steps: [Step<'a>; _] = [
        (ENDINGS, &rows.endings, Wrong),
        (ALL_ENDED, &rows.endings, OVERTAKEN),
        (USERS, &rows.users, TAKEN),
        (USER_COUNTS, &rows.user_counts, Wrong),
        (KUDOS_COUNTS, &rows.kudos_counts, Wrong),
        (MONTHLY_CHANGES, &rows.monthly_changes, Wrong),
        (MONTHLY_PAYMENTS, &rows.monthly_payments, Wrong),
        (ALL_DUE, &rows.monthly_payments, OVERTAKEN),
        (ROLES, &rows.roles, Wrong),
        (AMENDMENTS, &rows.amendments, TAKEN),
        (ALL_AMENDED, &rows.amendments, OVERTAKEN),
        (DROP_LENT, &rows.lenders, Wrong),
        (SHARED_KEYS, &rows.shared_keys, TAKEN),
        (KEY_CHANGES, &rows.key_changes, Wrong),
        (ALL_LENT, &rows.key_changes, OVERTAKEN),
        (KEY_USES, &rows.key_uses, Wrong),
        (KEY_FILLS, &rows.key_fills, Wrong),
        (DROP_KEYS, &rows.key_drops, Wrong),
        (ALL_LENT, &rows.key_drops, OVERTAKEN),
        (ALL_FEW, &limits.lent, FULL),
        (WORKERS, &rows.workers, TAKEN),
        (ALL_LET_IN, &limits.workers, Crowded),
        (WORDS, &rows.words, Wrong),
        (ALL_MADE, &rows.words, OVERTAKEN),
        (WORKER_COUNTS, &rows.worker_counts, Wrong),
        (RULINGS, &rows.rulings, TAKEN),
        (ALL_MADE, &rows.rulings, OVERTAKEN),
        (LEAVE_TEAMS, &rows.team_drops, Wrong),
        (UPTIME_REWARDS, &rows.uptime_rewards, Wrong),
        (ALL_NEXT, &rows.uptime_rewards, OVERTAKEN),
        (REQUESTS, &rows.requests, Wrong),
        (HOLDS, &rows.holds, Wrong),
        (KEY_HOLDS, &rows.key_holds, Wrong),
        (KEY_SPENDINGS, &rows.key_spendings, Wrong),
        (ATTEMPTS, &rows.attempts, OVERTAKEN),
        (ALL_FREE, &rows.attempts, OVERTAKEN),
        (LEASES, &rows.leases, Wrong),
        (REQUEST_CHANGES, &rows.request_changes, OVERTAKEN),
        (ALL_THERE, if rows.attempts.is_empty() { &[] } else { &rows.request_changes }, OVERTAKEN),
        (ALL_ROOM, &limits.jobs, Crowded),
        (OUTCOMES, &rows.outcomes, Wrong),
        (WEBHOOKS, &rows.webhooks, Wrong),
        (TRANSFERS, &rows.transfers, TAKEN),
        (ALL_COOL, &rows.transfers, OVERTAKEN),
        (BALANCES, &rows.postings, Wrong),
        (POSTINGS, &rows.postings, Wrong),
        (ALL_COVERED, &limits.floors, UNCOVERED),
        (ALL_RESERVED, &limits.keys, Short),
        (ALL_PUT_ASIDE, &rows.postings, OVERTAKEN),
        (ALL_OVER, &rows.drops, OVERTAKEN),
        (DROP_OUTCOMES, &rows.drops, Wrong),
        (DROP_ATTEMPTS, &rows.drops, Wrong),
        (DROP_REQUESTS, &rows.drops, Wrong),
        (DROP_WORKERS, &rows.worker_drops, Wrong),
        (ALL_GONE, &rows.worker_drops, OVERTAKEN),
        (MODES, &rows.modes, Wrong),
        (MESSAGES, &rows.messages, Wrong),
        (DROP_MESSAGES, &rows.message_drops, Wrong),
        (TIMEOUTS, &rows.timeouts, Wrong),
        (DROP_TIMEOUTS, &rows.timeout_drops, Wrong),
        (TEAMS, &rows.teams, TAKEN),
        (TEAM_CHANGES, &rows.team_changes, TAKEN),
        (ALL_TEAMS, &rows.team_changes, OVERTAKEN),
        (TEAM_COUNTS, &rows.team_counts, Wrong),
        (DROP_TEAMS, &rows.team_drops, Wrong),
        (ALL_TEAMS, &rows.team_drops, OVERTAKEN),
    ];
    let others = filters::steps(rows).into_iter().chain(stats::steps(rows));
    let others = others.chain(styles::steps(&rows.styles));
    steps.into_iter().chain(others).filter(|(_, rows, _)| !rows.is_empty())
}

const STATEMENTS: &[&str] = &[
    USER_COUNTS,
    ROLES,
    WORKERS,
    WORDS,
    WORKER_COUNTS,
    UPTIME_REWARDS,
    REQUESTS,
    REQUEST_CHANGES,
    ATTEMPTS,
    LEASES,
    ENDINGS,
    OUTCOMES,
    WEBHOOKS,
    DROP_OUTCOMES,
    DROP_ATTEMPTS,
    DROP_REQUESTS,
    RULINGS,
    DROP_WORKERS,
    MODES,
    MESSAGES,
    DROP_MESSAGES,
    TIMEOUTS,
    DROP_TIMEOUTS,
    ALL_GONE,
    ALL_ENDED,
    ALL_MADE,
    ALL_NEXT,
    ALL_LET_IN,
    ALL_FREE,
    ALL_THERE,
    ALL_ROOM,
    ALL_OVER,
    WAITING,
    FLEET,
];

/// All statements of this folder.
pub(super) fn statements() -> impl Iterator<Item = &'static str> {
    let files = [STATEMENTS, accounts::STATEMENTS, kudos::STATEMENTS, lent::STATEMENTS, teams::STATEMENTS];
    files.into_iter().flatten().copied()
}

/// Puts deeds on disk in one transaction: all that are not refused, or none.
pub(super) async fn commit(writer: &mut SqliteConnection, deeds: &[Deed]) -> Result<Vec<Verdict>, Failure> {
    let outcome = match write_all(writer, deeds).await {
        Ok(true) => return Ok(vec![Verdict::Kept; deeds.len()]),
        Ok(false) => {
            roll_back(writer).await;
            write_each(writer, deeds).await
        }
        Err(error) => Err(error),
    };
    if outcome.is_err() {
        roll_back(writer).await;
    }
    outcome
}

/// Whether the transaction is still open depends on what failed.
async fn roll_back(writer: &mut SqliteConnection) {
    let _ = sqlx::query("ROLLBACK").execute(writer).await;
}

/// Writes all deeds as if they were one; whether they met no constraint.
///
/// All statements go to the connection's thread as one text, so that a commit costs one wake-up of it.
async fn write_all(writer: &mut SqliteConnection, deeds: &[Deed]) -> Result<bool, Failure> {
    let Some(rows) = Rows::of(deeds)? else { return Ok(false) };
    let (sql, arguments) = one_text(&rows)?;
    // The text is put together from the constants above, and from nothing else.
    let query = arguments.into_iter().fold(sqlx::query(AssertSqlSafe(sql)), |query, rows| query.bind(rows));
    match query.execute(writer).await {
        Ok(_) => Ok(true),
        Err(error) if is_constraint(&error) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// A whole transaction, and what it is given.
fn one_text(rows: &Rows) -> Result<(String, Vec<String>), Failure> {
    let limits = Limits::of(rows);
    let (mut sql, mut arguments, mut last) = (String::from("BEGIN IMMEDIATE"), Vec::new(), None);
    for (statement, rows, _) in plan(rows, &limits) {
        sql.push_str("; ");
        // Statements that follow each other may be about the same rows.
        if last.replace(rows.as_ptr()) != Some(rows.as_ptr()) {
            arguments.push(text(rows)?);
        }
        sql.push_str(&statement.replace("$1", &format!("${}", arguments.len())));
    }
    sql.push_str("; COMMIT");
    Ok((sql, arguments))
}

/// Writes deed by deed, and leaves out what is refused.
async fn write_each(writer: &mut SqliteConnection, deeds: &[Deed]) -> Result<Vec<Verdict>, Failure> {
    let mut verdicts = Vec::with_capacity(deeds.len());
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *writer).await?;
    for deed in deeds {
        sqlx::query("SAVEPOINT deed").execute(&mut *writer).await?;
        let refusal = write(writer, deed).await?;
        if refusal.is_some() {
            sqlx::query("ROLLBACK TO deed").execute(&mut *writer).await?;
        }
        sqlx::query("RELEASE deed").execute(&mut *writer).await?;
        verdicts.push(refusal.map_or(Verdict::Kept, Verdict::Refused));
    }
    sqlx::query("COMMIT").execute(writer).await?;
    Ok(verdicts)
}

async fn write(writer: &mut SqliteConnection, deed: &Deed) -> Result<Option<Refusal>, Failure> {
    let Some(rows) = Rows::of(std::slice::from_ref(deed))? else { return Ok(Some(Refusal::Overtaken)) };
    for (statement, given, meaning) in plan(&rows, &Limits::of(&rows)) {
        match sqlx::query(statement).bind(text(given)?).execute(&mut *writer).await {
            Ok(_) => {}
            Err(error) if is_constraint(&error) => {
                return match meaning {
                    Meaning::Wrong => Err(error.into()),
                    Meaning::Refused(refusal) => Ok(Some(refusal)),
                    Meaning::Crowded => crowded(writer, &rows).await.map(Some),
                    Meaning::Short => short(writer, &rows).await.map(Some),
                };
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

/// How many workers an account has, or jobs waiting, where it would have too many.
async fn crowded(writer: &mut SqliteConnection, rows: &Rows) -> Result<Refusal, Failure> {
    for (owner, limit) in &rows.fleets {
        let query = sqlx::query_scalar(FLEET).bind(owner.0);
        if let Some(waiting) = limit.excess(query.fetch_one(&mut *writer).await?) {
            return Ok(Refusal::TooMany { waiting });
        }
    }
    for ((owner, kind), limit) in &rows.limits {
        let query = sqlx::query_scalar(WAITING).bind(owner.0).bind(kind.word());
        if let Some(waiting) = limit.excess(query.fetch_one(&mut *writer).await?) {
            return Ok(Refusal::TooMany { waiting });
        }
    }
    Err("there are too many, and too few to be too many".into())
}

/// Whether SQLite gave a constraint as the reason, whichever kind of it.
fn is_constraint(error: &sqlx::Error) -> bool {
    const CONSTRAINT: i32 = 19;
    let code = error.as_database_error().and_then(|error| error.code());
    code.and_then(|code| code.parse::<i32>().ok()).is_some_and(|code| code & 0xff == CONSTRAINT)
}
