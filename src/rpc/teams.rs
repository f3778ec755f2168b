//! The Teams service: teams that workers join.

use std::collections::HashMap;

use tonic::{Request, Response, Status};

use super::{
    Api,
    check::Check,
    convert::teams,
    gate::{Call, enter},
    pb::{self, teams_server::Teams},
    refuse,
};
use crate::{
    domain::{
        Error, Result, TeamId, Timestamp, UserId,
        team::{TeamChange, TeamFigures},
    },
    engine::{Engine, NewTeam},
};

/// The Teams service.
pub struct TeamsService(pub Api);

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl Teams for TeamsService {
    async fn list_teams(&self, request: Request<pb::ListTeamsRequest>) -> Answer<pb::ListTeamsResponse> {
        enter(&*self.0.gate, request)?;
        let teams = details(&self.0, None).await.map_err(refuse)?;
        Ok(Response::new(pb::ListTeamsResponse { teams }))
    }

    async fn create_team(&self, request: Request<pb::CreateTeamRequest>) -> Answer<pb::TeamSummary> {
        let call = enter(&*self.0.gate, request)?;
        create(&self.0, call).await.map(Response::new).map_err(refuse)
    }

    async fn get_team(&self, request: Request<pb::GetTeamRequest>) -> Answer<pb::TeamDetails> {
        let call = enter(&*self.0.gate, request)?;
        get(&self.0, call).await.map(Response::new).map_err(refuse)
    }

    async fn update_team(&self, request: Request<pb::UpdateTeamRequest>) -> Answer<pb::TeamSummary> {
        let call = enter(&*self.0.gate, request)?;
        update(&self.0, call).await.map(Response::new).map_err(refuse)
    }

    async fn delete_team(&self, request: Request<pb::DeleteTeamRequest>) -> Answer<pb::DeleteTeamResponse> {
        let Call { message, key, .. } = enter(&*self.0.gate, request)?;
        let (id, owner) = known(&self.0, &message.id).map_err(refuse)?;
        self.0.authorize::<pb::DeleteTeamRequest>(key, Some(owner)).await.map_err(refuse)?;
        let dissolved = self.0.host.act(move |engine, step, _| engine.dissolve_team(step, id));
        let deleted_name = dissolved.await.map_err(refuse)?;
        Ok(Response::new(pb::DeleteTeamResponse { deleted_id: id.to_string(), deleted_name }))
    }
}

async fn create(api: &Api, call: Call<pb::CreateTeamRequest>) -> Result<pb::TeamSummary> {
    let Call { message, key, .. } = call;
    let owner = api.authorize::<pb::CreateTeamRequest>(key, None).await.map_err(|error| match error {
        Error::Forbidden(_) => Error::UntrustedTeamCreation,
        other => other,
    })?;
    if message.has_nul() {
        return Err(Error::NulByte);
    }
    let new = NewTeam { owner, name: message.name.unwrap_or_default(), info: message.info };
    let team = api.host.act(move |engine, step, _| engine.found_team(step, new)).await?;
    Ok(teams::summary(&team, team.info.clone()))
}

async fn get(api: &Api, call: Call<pb::GetTeamRequest>) -> Result<pb::TeamDetails> {
    let Call { message, key, .. } = call;
    let (id, _) = known(api, &message.id)?;
    if key.is_some() {
        let viewer = api.caller(key).await?;
        api.host.glance(|engine, _| engine.demand_moderator(viewer))?;
    }
    details(api, Some(id)).await?.pop().ok_or(Error::TeamNotFound(message.id))
}

async fn update(api: &Api, call: Call<pb::UpdateTeamRequest>) -> Result<pb::TeamSummary> {
    let Call { message, key, .. } = call;
    let (id, owner) = known(api, &message.id)?;
    // Strangers are told by the first field that they send.
    let has_info = message.info.is_some();
    api.authorize::<pb::UpdateTeamRequest>(key, Some(owner)).await.map_err(|error| match error {
        Error::NotModerator if has_info => Error::NotOwner,
        other => other,
    })?;
    if message.has_nul() {
        return Err(Error::NulByte);
    }
    let change = TeamChange { name: message.name, info: message.info.clone() };
    let team = api.host.act(move |engine, step, _| engine.change_team(step, id, change)).await?;
    Ok(teams::summary(&team, message.info))
}

/// A team, and who founded it.
fn known(api: &Api, text: &str) -> Result<(TeamId, UserId)> {
    let owner = |id| api.host.glance(|engine, _| engine.team(id).map(|team| (id, team.owner)));
    TeamId::parse(text).and_then(owner).ok_or_else(|| Error::TeamNotFound(text.to_owned()))
}

async fn details(api: &Api, only: Option<TeamId>) -> Result<Vec<pb::TeamDetails>> {
    let figures = api.host.team_figures(only).await?;
    api.host.read(move |engine, now| shown(engine, now, only, &figures)).await
}

fn shown(
    engine: &Engine,
    now: Timestamp,
    only: Option<TeamId>,
    figures: &HashMap<TeamId, TeamFigures>,
) -> Vec<pb::TeamDetails> {
    let mut rolls = engine.rolls(only, now);
    let asked = match only {
        Some(id) => engine.team(id).into_iter().cloned().collect(),
        None => engine.teams(),
    };
    let details = asked.iter().map(|team| {
        let figures = figures.get(&team.id).copied().unwrap_or_default();
        teams::details(engine, team, figures, rolls.remove(&team.id).unwrap_or_default())
    });
    details.collect()
}
