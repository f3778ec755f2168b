//! Rows of accounts, of workers, and of what holds for everybody.

use serde_json::{Value, json};

use super::{Rows, Sums, teams::team_row, text};
use crate::{
    backend::{Failure, cells::RETURNED},
    domain::{
        UserId, WorkerId,
        board::BoardChange,
        standing::Ruling,
        user::UserStats,
        worker::{Worker, WorkerChange, WorkerStats},
    },
};

impl Rows {
    pub(super) fn add_to_board(&mut self, change: &BoardChange, sums: &mut Sums) {
        match change {
            BoardChange::Mode(mode, is_on) => drop(sums.modes.insert(mode.word().to_owned(), *is_on)),
            BoardChange::Message(message) => self.messages.push(json!([
                message.id,
                message.worker,
                message.author,
                message.message,
                message.origin,
                message.created_at,
                message.expires_at
            ])),
            BoardChange::NoMessage(id) => self.message_drops.push(json!([id])),
            BoardChange::Timeout(network, until) => drop(sums.timeouts.insert(network.clone(), *until)),
            BoardChange::Route(path, is_returned) => {
                sums.modes.insert(format!("{RETURNED}{path}"), *is_returned);
            }
            BoardChange::TeamMade(team) => self.teams.push(team_row(team)),
            BoardChange::TeamChanged(team, change) => {
                sums.team_changes.entry(*team).or_default().then(change);
            }
            BoardChange::TeamGone(team) => self.team_drops.push(json!([team])),
        }
    }
}

impl Rows {
    /// What became of modes and timeouts in the end.
    pub(super) fn sum_up_board(&mut self, sums: &Sums) {
        self.modes = sums.modes.iter().map(|(name, is_on)| json!([name, is_on])).collect();
        for (network, until) in &sums.timeouts {
            match until {
                Some(until) => self.timeouts.push(json!([network, until])),
                None => self.timeout_drops.push(json!([network])),
            }
        }
    }
}

impl Sums {
    /// Adds to a worker's figures.
    pub(super) fn count(&mut self, worker: WorkerId, change: &WorkerChange) {
        let (sum, speeds) = self.workers.entry(worker).or_default();
        sum.fulfilled += change.fulfilled;
        sum.uncompleted += change.uncompleted;
        sum.things += change.things;
        sum.generated += change.generated;
        sum.uptime_seconds += change.uptime_seconds;
        sum.uptime_kudos += change.uptime_kudos;
        sum.unpaid_seconds += change.unpaid_seconds;
        speeds.extend(change.speed);
    }
}

pub(super) fn worker_row(worker: &Worker) -> Result<Value, Failure> {
    Ok(json!([
        worker.id,
        worker.name,
        worker.owner,
        worker.created_at,
        worker.seen_at,
        text(&worker.profile)?,
        worker.maintenance,
        worker.profile.kind().word(),
        worker.standing.address,
        worker.standing.suspicion.once
    ]))
}

pub(super) fn word_row(worker: &Worker) -> Result<Value, Failure> {
    Ok(json!([worker.id, worker.seen_at, text(&worker.profile)?, worker.standing.address]))
}

pub(super) fn ruling_row(id: WorkerId, ruling: &Ruling) -> Value {
    let (has_maintenance, has_team) = (ruling.maintenance.is_some(), ruling.team.is_some());
    json!([
        id,
        u8::from(has_maintenance),
        ruling.maintenance.clone().flatten(),
        ruling.info,
        ruling.is_paused.map(u8::from),
        ruling.name,
        u8::from(has_team),
        ruling.team.flatten(),
        u8::from(ruling.clears),
        ruling.suspicion.once,
        ruling.suspicion.repeated
    ])
}

pub(super) fn worker_count(id: WorkerId, change: &WorkerChange, speeds: &[f64]) -> Value {
    // Older ones would be pushed out at once.
    let newest = &speeds[speeds.len().saturating_sub(WorkerStats::SAMPLES)..];
    json!([
        id,
        change.fulfilled,
        change.uncompleted,
        change.things,
        change.generated,
        change.uptime_seconds,
        newest,
        change.uptime_kudos,
        change.unpaid_seconds
    ])
}

pub(super) fn user_count(id: UserId, stats: &UserStats) -> Value {
    let works = stats.requested.iter().chain(&stats.fulfilled);
    let mut row = vec![json!(id)];
    row.extend(works.flat_map(|work| [json!(work.jobs), json!(work.things)]));
    row.extend([json!(stats.accumulated), json!(stats.granted), json!(stats.suspicion)]);
    Value::Array(row)
}
