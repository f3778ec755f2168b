//! Who works here.

use tonic::Status;

use crate::{
    domain::{Error, Result, TeamId, Timestamp, UserId, WorkerId, request::Kind, worker::Worker},
    engine::{Engine, WorkerUpdate},
    rpc::{
        Api,
        check::violation,
        convert::{
            self,
            people::{self, Shown},
        },
        gate::Call,
        pb, refuse,
    },
};

/// Workers online now.
pub async fn list(api: &Api, call: Call<pb::ListWorkersRequest>) -> Result<pb::ListWorkersResponse> {
    let Call { message, key, .. } = call;
    let viewer = viewer(api, key).await?;
    let name = message.name.filter(|name| !name.is_empty()).map(|name| name.to_lowercase());
    let kind = message.r#type.filter(|kind| !kind.is_empty());
    let workers = api.host.read(move |engine, now| {
        let wanted = |worker: &&Worker| match (&name, &kind) {
            (Some(name), _) => worker.name.to_lowercase() == *name,
            (None, Some(kind)) => people::type_word(worker.profile.listed_as()) == kind,
            (None, None) => true,
        };
        let mut online: Vec<_> =
            engine.workers().filter(|worker| engine.is_online(worker, now)).filter(wanted).collect();
        online.sort_unstable_by_key(|worker| (worker.created_at, worker.id));
        online.into_iter().map(|worker| shown(engine, now, worker, viewer)).collect()
    });
    Ok(pb::ListWorkersResponse { workers: workers.await? })
}

/// One worker by ID.
pub async fn by_id(api: &Api, call: Call<pb::GetWorkerRequest>) -> Result<pb::WorkerDetails> {
    let Call { message, key, .. } = call;
    let viewer = viewer(api, key).await?;
    let id = WorkerId::parse(&message.id).ok_or(Error::WorkerNotFound(message.id.clone()))?;
    let found =
        api.host.read(move |engine, now| engine.worker(id).map(|worker| shown(engine, now, worker, viewer)));
    found.await?.ok_or(Error::WorkerNotFound(message.id))
}

/// One worker by name.
pub async fn by_name(api: &Api, call: Call<pb::GetWorkerByNameRequest>) -> Result<pb::WorkerDetails> {
    let Call { message, key, .. } = call;
    let viewer = viewer(api, key).await?;
    let name = message.name.clone();
    let found = api.host.read(move |engine, now| {
        engine.worker_by_name(&name).map(|worker| shown(engine, now, worker, viewer))
    });
    found.await?.ok_or(Error::WorkerNotFound(message.name))
}

/// Changes a worker. That there is one is said before the key is looked at.
pub async fn update(
    api: &Api,
    call: Call<pb::UpdateWorkerRequest>,
) -> Result<pb::UpdateWorkerResponse, Status> {
    let Call { message, key, .. } = call;
    let id = known(api, &message.id)?;
    let key = key.ok_or_else(|| violation("apikey", "Missing required parameter in the HTTP headers"))?;
    let caller = api.caller(Some(key)).await.map_err(refuse)?;
    // Names are cleared of it.
    let texts = [&message.info, &message.maintenance_msg, &message.team];
    if texts.into_iter().flatten().any(|text| text.contains('\0')) {
        return Err(refuse(Error::NulByte));
    }
    if let Some(team) = message.team.as_deref().and_then(TeamId::parse) {
        api.host.bring_team(team).await.map_err(refuse)?;
    }
    let update = WorkerUpdate {
        maintenance: message.maintenance,
        maintenance_text: message.maintenance_msg,
        info: message.info,
        is_paused: message.paused,
        name: message.name,
        team: message.team,
    };
    let updated = api.host.act(move |engine, step, _| engine.update_worker(step, caller, id, update));
    let updated = updated.await.map_err(refuse)?;
    Ok(pb::UpdateWorkerResponse {
        maintenance: updated.maintenance,
        paused: updated.is_paused,
        info: updated.info,
        name: updated.name,
        team: updated.team.map(|team| team.unwrap_or_else(|| "None".into())),
    })
}

/// Deletes a worker.
pub async fn delete(
    api: &Api,
    call: Call<pb::DeleteWorkerRequest>,
) -> Result<pb::DeleteWorkerResponse, Status> {
    let Call { message, key, .. } = call;
    let id = known(api, &message.id)?;
    let caller = api.caller(key).await.map_err(refuse)?;
    let deleted = api.host.act(move |engine, step, _| engine.delete_worker(step, caller, id));
    let deleted_name = deleted.await.map_err(refuse)?;
    Ok(pb::DeleteWorkerResponse { deleted_id: id.to_string(), deleted_name })
}

/// Why a worker has nothing to do. That there is one is said before the account is looked at.
pub async fn explain(
    api: &Api,
    call: Call<pb::ExplainWorkerRequest>,
) -> Result<pb::ExplainWorkerResponse, Status> {
    let Call { message, key, .. } = call;
    let id = known(api, &message.id)?;
    let owner = api.host.glance(|engine, _| engine.worker(id).map(|worker| worker.owner));
    let caller = api.authorize::<pb::ExplainWorkerRequest>(key, owner).await.map_err(refuse)?;
    let explained = api.host.read(move |engine, now| {
        let caller = engine.user(caller)?;
        let to_moderator = caller.keeps_order();
        let worker = engine.worker(id)?;
        let why = engine.explain_worker(id, to_moderator, now)?;
        Some(convert::explain::worker(worker, engine.is_online(worker, now), &why))
    });
    explained.await.map_err(refuse)?.ok_or_else(|| refuse(Error::WorkerNotFound(message.id)))
}

fn known(api: &Api, text: &str) -> Result<WorkerId, Status> {
    let id = WorkerId::parse(text).filter(|id| api.host.glance(|engine, _| engine.worker(*id).is_some()));
    id.ok_or_else(|| refuse(Error::WorkerNotFound(text.to_owned())))
}

/// Which kind of worker is scarcer.
pub async fn scarcer(api: &Api, call: Call<pb::AutoWorkerTypeRequest>) -> Result<pb::AutoWorkerTypeResponse> {
    api.caller(call.key).await?;
    let kind = api.host.read(|engine, now| {
        Engine::scarcer(&engine.drawing_performance(now), &engine.performance(Kind::Text, now))
    });
    Ok(pb::AutoWorkerTypeResponse { recommended_worker_type: kind.await?.word().into() })
}

/// Who looks; a key of nobody's is as none.
async fn viewer(api: &Api, key: Option<crate::domain::user::KeyHash>) -> Result<Option<UserId>> {
    match key {
        Some(key) => api.host.user_of_key(key).await,
        None => Ok(None),
    }
}

fn shown(engine: &Engine, now: Timestamp, worker: &Worker, viewer: Option<UserId>) -> pb::WorkerDetails {
    let to_moderator =
        viewer.and_then(|viewer| engine.user(viewer)).is_some_and(|viewer| viewer.keeps_order());
    people::worker(&Shown {
        worker,
        owner: engine.user(worker.owner),
        is_online: engine.is_online(worker, now),
        to_moderator,
        messages: &engine.messages_for(worker.id, now),
        team: worker.standing.team.and_then(|team| engine.team_name(team)),
    })
}
