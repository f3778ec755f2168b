//! Domain values as rows with all their figures; see `copy/tables.rs` for the columns.

use serde_json::Value;

use super::Row;
use crate::{
    backend::{
        Failure,
        copy::Cell,
        rows::{hex, text},
    },
    domain::{
        Kudos, Timestamp,
        kudos::{Account, Posting},
        shared_key::SharedKey,
        style::{Collection, Style},
        team::{Team, TeamFigures},
        user::User,
        worker::Worker,
    },
};

fn said(text: Option<&str>) -> Cell {
    text.map_or(Cell::Null, |text| Cell::Text(text.to_owned()))
}

fn maybe(number: Option<i64>) -> Cell {
    number.map_or(Cell::Null, Cell::Number)
}

fn word(text: impl Into<String>) -> Cell {
    Cell::Text(text.into())
}

fn count(number: usize) -> Cell {
    Cell::Number(i64::try_from(number).unwrap_or(i64::MAX))
}

pub(super) fn user(user: &User) -> Result<Row, Failure> {
    let (about, stats) = (&user.about, &user.stats);
    let mut row = vec![
        ("id", Cell::Number(user.id.0)),
        ("alias", word(&*user.alias)),
        ("key_hash", word(hex(&user.key.0))),
        ("roles_json", word(text(&user.roles)?)),
        ("concurrency", count(user.concurrency)),
        ("worker_invites", count(user.worker_invites)),
        ("created_at", Cell::Number(user.created_at.0)),
        ("accumulated", Cell::Number(stats.accumulated.0)),
        ("granted", Cell::Number(stats.granted.0)),
        ("suspicion", Cell::Number(stats.suspicion)),
        ("gifted", Cell::Number(stats.moved.gifted.0)),
        ("donated", Cell::Number(stats.moved.donated.0)),
        ("received", Cell::Number(stats.moved.received.0)),
        ("recurring", Cell::Number(stats.moved.recurring.0)),
        ("awarded", Cell::Number(stats.moved.awarded.0)),
        ("styled", Cell::Number(stats.moved.styled.0)),
        ("lifts", Cell::Number(stats.moved.lifts)),
        ("monthly", Cell::Number(user.monthly.amount.0)),
        ("monthly_at", maybe(user.monthly.paid_at.map(|at| at.0))),
        ("identity", said(about.identity.text(user.id).as_deref())),
        ("contact", said(about.contact.as_deref())),
        ("admin_comment", said(about.admin_comment.as_deref())),
        ("public_workers", Cell::Flag(about.public_workers)),
        ("usage_multiplier", Cell::Decimal(about.usage_multiplier)),
        ("proxy_passkey", said(about.proxy_passkey.as_deref())),
        ("active_at", Cell::Number(about.active_at.0)),
        ("image_style_uses", Cell::Number(stats.style_uses[0])),
        ("text_style_uses", Cell::Number(stats.style_uses[1])),
    ];
    // By the index of the kind.
    const WORKS: [[(&str, &str); 4]; 2] = [
        [
            ("requested_image_jobs", "requested_image_things"),
            ("requested_text_jobs", "requested_text_things"),
            ("requested_video_jobs", "requested_video_things"),
            ("requested_alchemy_jobs", "requested_alchemy_things"),
        ],
        [
            ("fulfilled_image_jobs", "fulfilled_image_things"),
            ("fulfilled_text_jobs", "fulfilled_text_things"),
            ("fulfilled_video_jobs", "fulfilled_video_things"),
            ("fulfilled_alchemy_jobs", "fulfilled_alchemy_things"),
        ],
    ];
    for (names, works) in WORKS.into_iter().zip([&stats.requested, &stats.fulfilled]) {
        for ((jobs, things), work) in names.into_iter().zip(works) {
            row.push((jobs, Cell::Number(work.jobs)));
            row.push((things, Cell::Decimal(work.things)));
        }
    }
    Ok(row)
}

pub(super) fn shared_key(key: &SharedKey) -> Row {
    vec![
        ("id", Cell::Id(key.id.0)),
        ("key_hash", word(hex(&key.hash().0))),
        ("owner", Cell::Number(key.owner.0)),
        ("name", said(key.name.as_deref())),
        ("budget", maybe(key.budget.map(|budget| budget.0))),
        ("utilized", Cell::Number(key.utilized.0)),
        ("expires_at", maybe(key.expires_at.map(|at| at.0))),
        ("max_image_pixels", maybe(key.max_image_pixels)),
        ("max_image_steps", maybe(key.max_image_steps)),
        ("max_text_tokens", maybe(key.max_text_tokens)),
        ("created_at", Cell::Number(key.created_at.0)),
    ]
}

/// What an account has on each of its two accounts. The first has a row in any case: that is how an account
/// is told that was taken in.
fn held(user: &User) -> impl Iterator<Item = (Account, Kudos)> + use<> {
    let escrow = (!user.escrow.is_zero()).then_some((Account::escrow(user.id), user.escrow));
    [(Account::from(user.id), user.balance)].into_iter().chain(escrow)
}

pub(super) fn balances(user: &User) -> impl Iterator<Item = Row> + use<> {
    held(user).map(|(account, amount)| {
        vec![("account", Cell::Number(account.0)), ("amount", Cell::Number(amount.0))]
    })
}

/// What an account has, granted at once; who owes is taken from.
pub(super) fn postings(user: &User, now: Timestamp) -> impl Iterator<Item = Row> + use<> {
    let id = user.id;
    held(user).filter(|(_, amount)| !amount.is_zero()).map(move |(account, amount)| {
        let mut posting = Posting::opening(id, Kudos(amount.0.saturating_abs()), now);
        posting.to = account;
        if account != Account::from(id) {
            posting.key.push_str(":escrow");
        }
        if amount < Kudos::ZERO {
            (posting.from, posting.to) = (posting.to, posting.from);
        }
        let Posting { key, from, to, amount, at } = posting;
        vec![
            ("key", word(key)),
            ("debit", Cell::Number(from.0)),
            ("credit", Cell::Number(to.0)),
            ("amount", Cell::Number(amount.0)),
            ("at", Cell::Number(at.0)),
        ]
    })
}

pub(super) fn team(team: &Team, figures: &TeamFigures) -> Row {
    vec![
        ("id", Cell::Id(team.id.0)),
        ("name", word(&*team.name)),
        ("name_key", word(Team::key(&team.name))),
        ("info", said(team.info.as_deref())),
        ("owner", Cell::Number(team.owner.0)),
        ("created_at", Cell::Number(team.created_at.0)),
        ("fulfilled", Cell::Number(figures.fulfilled)),
        ("kudos", Cell::Number(figures.kudos.0)),
        ("uptime_seconds", Cell::Number(figures.uptime_seconds)),
    ]
}

pub(super) fn worker(worker: &Worker) -> Result<Row, Failure> {
    let (stats, standing) = (&worker.stats, &worker.standing);
    Ok(vec![
        ("id", Cell::Id(worker.id.0)),
        ("name", word(&*worker.name)),
        ("owner", Cell::Number(worker.owner.0)),
        ("created_at", Cell::Number(worker.created_at.0)),
        ("seen_at", Cell::Number(worker.seen_at.0)),
        ("profile_json", word(text(&worker.profile)?)),
        ("maintenance", said(worker.maintenance.as_deref())),
        ("fulfilled", Cell::Number(stats.fulfilled)),
        ("uncompleted", Cell::Number(stats.uncompleted)),
        ("things", Cell::Decimal(stats.things)),
        ("generated", Cell::Number(stats.generated.0)),
        ("uptime_seconds", Cell::Number(stats.uptime_seconds)),
        ("speeds_json", word(text(&stats.speeds)?)),
        ("kind", word(worker.profile.kind().word())),
        ("address", said(standing.address.map(|address| address.to_string()).as_deref())),
        ("info", said(standing.info.as_deref())),
        ("paused", Cell::Flag(standing.is_paused)),
        ("team", said(standing.team.map(|team| team.to_string()).as_deref())),
        ("suspected_once", Cell::Number(standing.suspicion.once.into())),
        ("suspected_again", Cell::Number(standing.suspicion.repeated.into())),
        ("uptime_kudos", Cell::Number(stats.uptime_kudos.0)),
    ])
}

pub(super) fn style(style: &Style) -> Result<Row, Failure> {
    Ok(vec![
        ("id", Cell::Id(style.id.0)),
        ("kind", word(style.kind.word())),
        ("owner", Cell::Number(style.owner.0)),
        ("name", word(&*style.name)),
        ("info", said(style.info.as_deref())),
        ("prompt", word(&*style.prompt)),
        ("params_json", word(text(&Value::Object(style.params.clone()))?)),
        ("public", Cell::Flag(style.is_public)),
        ("nsfw", Cell::Flag(style.nsfw)),
        ("tags_json", word(text(&style.tags)?)),
        ("models_json", word(text(&style.models)?)),
        ("examples_json", word(text(&style.examples)?)),
        ("shared_key", said(style.shared_key.map(|key| key.to_string()).as_deref())),
        ("use_count", Cell::Number(style.use_count)),
        ("created_at", Cell::Number(style.created_at.0)),
        ("updated_at", Cell::Number(style.updated_at.0)),
        ("revision", Cell::Number(style.revision)),
    ])
}

pub(super) fn collection(collection: &Collection) -> Result<Row, Failure> {
    Ok(vec![
        ("id", Cell::Id(collection.id.0)),
        ("kind", word(collection.kind.word())),
        ("owner", Cell::Number(collection.owner.0)),
        ("name", word(&*collection.name)),
        ("info", said(collection.info.as_deref())),
        ("public", Cell::Flag(collection.is_public)),
        ("members_json", word(text(&collection.members)?)),
        ("use_count", Cell::Number(collection.use_count)),
        ("created_at", Cell::Number(collection.created_at.0)),
        ("updated_at", Cell::Number(collection.updated_at.0)),
        ("revision", Cell::Number(collection.revision)),
    ])
}
