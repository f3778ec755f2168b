//! Who works here.

use crate::{
    domain::{Error, Result, Timestamp, UserId, WorkerId, request::Kind, user::Role, worker::Worker},
    engine::Engine,
    rpc::{
        Api,
        convert::people::{self, Shown},
        gate::Call,
        pb,
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
        viewer.and_then(|viewer| engine.user(viewer)).is_some_and(|viewer| viewer.is(Role::Moderator));
    people::worker(&Shown {
        worker,
        owner: engine.user(worker.owner),
        is_online: engine.is_online(worker, now),
        to_moderator,
    })
}
