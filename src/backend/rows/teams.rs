//! Rows of teams.

use serde_json::{Value, json};

use crate::domain::{
    TeamId,
    team::{Team, TeamChange, TeamFigures},
};

pub(super) fn team_row(team: &Team) -> Value {
    json!([team.id, team.name, Team::key(&team.name), team.info, team.owner, team.created_at])
}

pub(super) fn team_change_row(id: TeamId, change: &TeamChange) -> Value {
    json!([id, change.name, change.name.as_deref().map(Team::key), change.info])
}

pub(super) fn team_count(id: TeamId, figures: &TeamFigures) -> Value {
    json!([id, figures.fulfilled, figures.kudos, figures.uptime_seconds])
}
