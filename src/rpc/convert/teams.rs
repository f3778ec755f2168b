//! Teams.

use super::{count, people};
use crate::{
    domain::{
        WorkerId,
        team::{Team, TeamFigures},
        user::User,
    },
    engine::{Engine, Roll},
    rpc::pb,
};

/// A team after a change, with what was sent of its info.
pub fn summary(team: &Team, info: Option<String>) -> pb::TeamSummary {
    pb::TeamSummary { id: team.id.to_string(), name: team.name.clone(), info }
}

/// A team with who is in it.
pub fn details(engine: &Engine, team: &Team, figures: TeamFigures, roll: Roll) -> pb::TeamDetails {
    let worker = |(id, online): (WorkerId, bool)| {
        let worker = engine.worker(id)?;
        Some(pb::TeamWorker {
            r#type: people::type_word(worker.profile.listed_as()).into(),
            name: worker.name.clone(),
            id: id.to_string(),
            online,
        })
    };
    let workers: Vec<_> = roll.workers.into_iter().filter_map(worker).collect();
    let models = roll.models.into_iter();
    pb::TeamDetails {
        id: team.id.to_string(),
        name: team.name.clone(),
        info: team.info.clone(),
        creator: engine.user(team.owner).map(User::username).unwrap_or_default(),
        requests_fulfilled: figures.fulfilled,
        kudos: figures.kudos.as_f64(),
        uptime: figures.uptime_seconds,
        worker_count: count(workers.len()),
        workers,
        models: models.map(|(name, n)| pb::TeamModel { name: name.to_string(), count: count(n) }).collect(),
    }
}
