//! Rows as domain values. The same for both keepers of Records, whose rows differ in nothing but how
//! a cell is read.

mod filters;
mod stats;

use std::{collections::HashMap, str::FromStr, sync::Arc};

use serde::de::DeserializeOwned;
use uuid::Uuid;

pub use self::{
    filters::filter,
    stats::{model_periods, periods},
};
use super::Failure;
use crate::domain::{
    AttemptId, Kudos, MessageId, RequestId, SharedKeyId, TeamId, Timestamp, UserId, WorkerId,
    account::{About, Identity},
    board::{Board, Mode, WorkerMessage},
    lease::{Attempt, Closed},
    ledger::{Audit, Holdings},
    monthly::Monthly,
    record::{PastAttempt, StoredRequest},
    request::Accepted,
    source::Moved,
    standing::{Standing, Suspicion},
    team::{Team, TeamFigures},
    transfer::Transfer,
    user::{KeyHash, User, UserStats, Work},
    webhook::Webhook,
    worker::{Worker, WorkerStats},
};

/// A row, cell by cell. Each fails if the row has no such column, or one of another type.
pub trait Cells {
    /// A text, or nothing.
    fn text(&self, column: &str) -> Result<Option<&str>, Failure>;
    /// A whole number, or nothing.
    fn number(&self, column: &str) -> Result<Option<i64>, Failure>;
    /// A decimal number.
    fn decimal(&self, column: &str) -> Result<f64, Failure>;
    /// Yes or no.
    fn flag(&self, column: &str) -> Result<bool, Failure>;
    /// An ID.
    fn id(&self, column: &str) -> Result<Uuid, Failure>;
}

pub fn text<'r>(row: &'r impl Cells, column: &str) -> Result<&'r str, Failure> {
    row.text(column)?.ok_or_else(|| format!("{column} is empty").into())
}

pub fn number(row: &impl Cells, column: &str) -> Result<i64, Failure> {
    row.number(column)?.ok_or_else(|| format!("{column} is empty").into())
}

pub fn count<T: TryFrom<i64>>(row: &impl Cells, column: &str) -> Result<T, Failure> {
    T::try_from(number(row, column)?).map_err(|_| format!("{column} is out of range").into())
}

pub fn json<T: DeserializeOwned>(row: &impl Cells, column: &str) -> Result<T, Failure> {
    Ok(serde_json::from_str(text(row, column)?)?)
}

pub fn at(row: &impl Cells, column: &str) -> Result<Timestamp, Failure> {
    number(row, column).map(Timestamp)
}

fn kudos(row: &impl Cells, column: &str) -> Result<Kudos, Failure> {
    number(row, column).map(Kudos)
}

/// Reads 64 hexadecimal digits.
///
/// # Errors
/// It is anything else.
pub fn unhex(text: &str) -> Result<[u8; 32], Failure> {
    let mut bytes = [0; 32];
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * i..2 * i + 2).ok_or("64 hex digits")?, 16)?;
    }
    Ok(bytes)
}

/// Reads the text of an ID.
///
/// # Errors
/// It is none.
pub fn uuid(text: Option<&str>) -> Result<Uuid, Failure> {
    Ok(Uuid::from_str(text.ok_or("an ID is empty")?)?)
}

/// A row of `webhooks`.
///
/// # Errors
/// It holds what no webhook can be.
pub fn webhook(row: &impl Cells) -> Result<Webhook, Failure> {
    Ok(Webhook {
        attempt: AttemptId(row.id("attempt")?),
        request: RequestId(row.id("request")?),
        host: text(row, "host")?.to_owned(),
        tries: count(row, "tries")?,
        made_at: at(row, "made_at")?,
    })
}

/// A row of `users` with its `balance`, and the keys that it lends as JSON.
///
/// # Errors
/// It holds what no account can be.
pub fn user(row: &impl Cells) -> Result<User, Failure> {
    Ok(User {
        id: UserId(number(row, "id")?),
        alias: text(row, "alias")?.to_owned(),
        key: KeyHash(unhex(text(row, "key_hash")?)?),
        roles: json(row, "roles_json")?,
        concurrency: count(row, "concurrency")?,
        worker_invites: count(row, "worker_invites")?,
        created_at: at(row, "created_at")?,
        balance: kudos(row, "balance")?,
        escrow: kudos(row, "escrow")?,
        stats: user_stats(row)?,
        shared_keys: json(row, "shared_keys_json")?,
        monthly: Monthly {
            amount: kudos(row, "monthly")?,
            paid_at: row.number("monthly_at")?.map(Timestamp),
        },
        about: about(row)?,
    })
}

fn about(row: &impl Cells) -> Result<About, Failure> {
    let said = |column: &str| Ok::<_, Failure>(row.text(column)?.map(str::to_owned));
    Ok(About {
        identity: Identity::from_text(row.text("identity")?),
        contact: said("contact")?,
        admin_comment: said("admin_comment")?,
        public_workers: row.flag("public_workers")?,
        usage_multiplier: row.decimal("usage_multiplier")?,
        proxy_passkey: said("proxy_passkey")?,
        active_at: at(row, "active_at")?,
    })
}

fn user_stats(row: &impl Cells) -> Result<UserStats, Failure> {
    let work = |jobs: &str, things: &str| {
        Ok::<_, Failure>(Work { jobs: number(row, jobs)?, things: row.decimal(things)? })
    };
    Ok(UserStats {
        requested: [
            work("requested_image_jobs", "requested_image_things")?,
            work("requested_text_jobs", "requested_text_things")?,
            work("requested_video_jobs", "requested_video_things")?,
            work("requested_alchemy_jobs", "requested_alchemy_things")?,
        ],
        fulfilled: [
            work("fulfilled_image_jobs", "fulfilled_image_things")?,
            work("fulfilled_text_jobs", "fulfilled_text_things")?,
            work("fulfilled_video_jobs", "fulfilled_video_things")?,
            work("fulfilled_alchemy_jobs", "fulfilled_alchemy_things")?,
        ],
        accumulated: kudos(row, "accumulated")?,
        granted: kudos(row, "granted")?,
        suspicion: number(row, "suspicion")?,
        style_uses: [number(row, "image_style_uses")?, number(row, "text_style_uses")?],
        moved: Moved {
            gifted: kudos(row, "gifted")?,
            donated: kudos(row, "donated")?,
            received: kudos(row, "received")?,
            recurring: kudos(row, "recurring")?,
            awarded: kudos(row, "awarded")?,
            styled: kudos(row, "styled")?,
            lifts: number(row, "lifts")?,
        },
    })
}

/// How many accounts, postings, settlements and holds there are.
///
/// # Errors
/// It holds something else.
pub fn sizes(row: &impl Cells) -> Result<Audit, Failure> {
    Ok(Audit {
        users: number(row, "users")?,
        postings: number(row, "postings")?,
        settlements: number(row, "settlements")?,
        holds: number(row, "holds")?,
        ..Audit::default()
    })
}

/// What accounts hold.
///
/// # Errors
/// It holds something else.
pub fn holdings(row: &impl Cells) -> Result<Holdings, Failure> {
    let (balances, escrows) = (kudos(row, "balances")?, kudos(row, "escrows")?);
    Ok(Holdings { balances, escrows, held: kudos(row, "held")? })
}

/// A row of `transfers`.
///
/// # Errors
/// It holds what no transfer can be.
pub fn transfer(row: &impl Cells) -> Result<Transfer, Failure> {
    let shared_key = row.text("shared_key")?.map(|key| uuid(Some(key))).transpose()?;
    Ok(Transfer {
        id: row.id("id")?,
        sender: UserId(number(row, "sender")?),
        receiver: UserId(number(row, "receiver")?),
        shared_key: shared_key.map(SharedKeyId),
        amount: kudos(row, "amount")?,
        at: at(row, "at")?,
    })
}

/// A row of `workers`.
///
/// # Errors
/// It holds what no worker can be.
pub fn worker(row: &impl Cells) -> Result<Worker, Failure> {
    Ok(Worker {
        id: WorkerId(row.id("id")?),
        name: text(row, "name")?.to_owned(),
        owner: UserId(number(row, "owner")?),
        created_at: at(row, "created_at")?,
        seen_at: at(row, "seen_at")?,
        profile: json(row, "profile_json")?,
        maintenance: row.text("maintenance")?.map(str::to_owned),
        stats: WorkerStats {
            fulfilled: number(row, "fulfilled")?,
            uncompleted: number(row, "uncompleted")?,
            things: row.decimal("things")?,
            generated: kudos(row, "generated")?,
            uptime_seconds: number(row, "uptime_seconds")?,
            uptime_kudos: kudos(row, "uptime_kudos")?,
            uptime_rewards: number(row, "uptime_rewards")?,
            unpaid_seconds: number(row, "unpaid_seconds")?,
            speeds: json(row, "speeds_json")?,
        },
        standing: standing(row)?,
    })
}

fn standing(row: &impl Cells) -> Result<Standing, Failure> {
    let team = row.text("team")?.map(|team| uuid(Some(team))).transpose()?;
    Ok(Standing {
        info: row.text("info")?.filter(|info| !info.is_empty()).map(str::to_owned),
        is_paused: row.flag("paused")?,
        suspicion: Suspicion {
            once: count(row, "suspected_once")?,
            repeated: count(row, "suspected_again")?,
        },
        team: team.map(TeamId),
        address: row.text("address")?.map(str::parse).transpose()?,
    })
}

/// What the name of a row of `modes` begins with that says who answers a path: on, the old server.
pub const RETURNED: &str = "returned ";

/// Rows of `modes`, `worker_messages`, `timeouts` and `teams`.
///
/// # Errors
/// A row holds what it cannot.
pub fn board<R: Cells>(modes: &[R], messages: &[R], timeouts: &[R], teams: &[R]) -> Result<Board, Failure> {
    let mut board = Board::default();
    for row in modes {
        let (name, is_on) = (text(row, "name")?, row.flag("is_on")?);
        match (name.strip_prefix(RETURNED), Mode::from_word(name)) {
            (Some(path), _) => board.routes.set(path, is_on),
            (None, Some(mode)) => board.modes.set(mode, is_on),
            // One that is not known was set by a newer broker.
            (None, None) => {}
        }
    }
    board.messages = messages.iter().map(|row| message(row).map(Arc::new)).collect::<Result<_, _>>()?;
    board.messages.sort_by_key(|message| (message.created_at, message.id));
    let timeout = |row: &R| Ok::<_, Failure>((text(row, "network")?.to_owned(), at(row, "expires_at")?));
    board.timeouts = timeouts.iter().map(timeout).collect::<Result<_, _>>()?;
    board.timeouts.sort();
    board.teams = teams.iter().map(|row| team(row).map(Arc::new)).collect::<Result<_, _>>()?;
    board.teams.sort_by_key(|team| (team.created_at, team.id));
    Ok(board)
}

fn team(row: &impl Cells) -> Result<Team, Failure> {
    Ok(Team {
        id: TeamId(row.id("id")?),
        name: text(row, "name")?.to_owned(),
        info: row.text("info")?.map(str::to_owned),
        owner: UserId(number(row, "owner")?),
        created_at: at(row, "created_at")?,
    })
}

/// Figures of a row of `teams`.
///
/// # Errors
/// It holds what no team can have.
pub fn team_figures(row: &impl Cells) -> Result<(TeamId, TeamFigures), Failure> {
    let figures = TeamFigures {
        fulfilled: number(row, "fulfilled")?,
        kudos: kudos(row, "kudos")?,
        uptime_seconds: number(row, "uptime_seconds")?,
    };
    Ok((TeamId(row.id("id")?), figures))
}

fn message(row: &impl Cells) -> Result<WorkerMessage, Failure> {
    let worker = row.text("worker")?.map(|worker| uuid(Some(worker))).transpose()?;
    Ok(WorkerMessage {
        id: MessageId(row.id("id")?),
        worker: worker.map(WorkerId),
        author: UserId(number(row, "author")?),
        message: text(row, "message")?.to_owned(),
        origin: text(row, "origin")?.to_owned(),
        created_at: at(row, "created_at")?,
        expires_at: at(row, "expires_at")?,
    })
}

/// Rows of `requests`, each with its rows of `attempts` and `outcomes`, in the order of the first.
///
/// # Errors
/// A row holds what it cannot.
pub fn stored<R: Cells>(
    requests: &[R],
    attempts: &[R],
    outcomes: &[R],
) -> Result<Vec<StoredRequest>, Failure> {
    let mut all = requests.iter().map(request).collect::<Result<Vec<_>, _>>()?;
    let places: HashMap<_, _> =
        all.iter().enumerate().map(|(place, stored)| (stored.request.id.0, place)).collect();
    for row in attempts {
        let Some(&place) = places.get(&row.id("request")?) else { continue };
        let attempt = attempt(row)?;
        match text(row, "state")? {
            "open" => all[place].open.push(attempt),
            "settled" => {}
            word => {
                let how = Closed::from_word(word).ok_or("an attempt has a known state")?;
                all[place].closed.push((attempt.job, attempt.number, attempt.id, how));
            }
        }
    }
    for row in outcomes {
        if let Some(&place) = places.get(&row.id("request")?) {
            all[place].outcomes.push(Arc::new(json(row, "outcome_json")?));
        }
    }
    Ok(all)
}

fn request(row: &impl Cells) -> Result<StoredRequest, Failure> {
    Ok(StoredRequest {
        request: Accepted {
            id: RequestId(row.id("id")?),
            owner: UserId(number(row, "owner")?),
            created_at: at(row, "created_at")?,
            priority: number(row, "priority")?,
            spec: Arc::new(json(row, "spec_json")?),
        },
        expires_at: at(row, "expires_at")?,
        cancelled: row.flag("cancelled")?,
        faulted: row.flag("faulted")?,
        done: row.flag("done")?,
        consumed: kudos(row, "consumed")?,
        open: Vec::new(),
        closed: Vec::new(),
        outcomes: Vec::new(),
    })
}

fn attempt(row: &impl Cells) -> Result<Attempt, Failure> {
    Ok(Attempt {
        id: AttemptId(row.id("id")?),
        job: count(row, "job")?,
        number: count(row, "number")?,
        worker: WorkerId(row.id("worker")?),
        model: text(row, "model")?.to_owned(),
        seed: count(row, "seed")?,
        held: serde_json::from_value(text(row, "held")?.into())?,
        granted_at: at(row, "granted_at")?,
        expires_at: at(row, "expires_at")?,
    })
}

/// A row of `attempts` with its `reward`, if any.
///
/// # Errors
/// It holds what no attempt can be.
pub fn past_attempt(row: &impl Cells) -> Result<PastAttempt, Failure> {
    Ok(PastAttempt {
        request: RequestId(row.id("request")?),
        how: Closed::from_word(text(row, "state")?),
        worker: WorkerId(row.id("worker")?),
        reward: Kudos(row.number("reward")?.unwrap_or(0)),
    })
}
