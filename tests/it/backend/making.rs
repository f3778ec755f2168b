//! Records to commit, with what does not matter filled in.

use std::sync::Arc;

use gridbroker::domain::{
    AttemptId, Kudos, RequestId, Timestamp, UserId, WorkerId,
    kudos::{Account, Posting},
    lease::{Attempt, Closed, Held},
    record::Record,
    request::{Accepted, Kind, Params, Spec},
    result::{Outcome, Product, Verdict},
    user::{KeyHash, User},
    worker::{Worker, WorkerStats},
};
use uuid::Uuid;

use crate::simulation::{dice::Chance, things};

/// Some instant.
pub const NOW: Timestamp = Timestamp(1_700_000_000_000);

pub fn user(id: i64) -> Record {
    let key = KeyHash::of(&format!("key of {id}"));
    Record::UserMade(Arc::new(User { id: UserId(id), alias: format!("user {id}"), key, ..User::anonymous() }))
}

pub fn worker(name: &str) -> Worker {
    Worker {
        standing: Default::default(),
        id: WorkerId(Uuid::new_v4()),
        name: name.into(),
        owner: UserId(1),
        created_at: NOW,
        seen_at: NOW,
        profile: things::profile(&mut Chance::new(7), Kind::Text, true),
        maintenance: None,
        stats: WorkerStats::default(),
    }
}

pub fn made(worker: &Worker) -> Record {
    made_within(worker, usize::MAX)
}

pub fn made_within(worker: &Worker, limit: usize) -> Record {
    Record::WorkerMade { worker: Arc::new(worker.clone()), limit, trusted: false }
}

pub fn request(jobs: usize) -> Accepted {
    let spec = Spec { jobs, ..things::spec(&mut Chance::new(11), &[]) };
    Accepted {
        id: RequestId(Uuid::new_v4()),
        owner: UserId(1),
        created_at: NOW,
        priority: -7,
        spec: Arc::new(spec),
    }
}

pub fn request_of(owner: i64, kind: Kind, jobs: usize) -> Accepted {
    let mut chance = Chance::new(11);
    let params = match kind {
        Kind::Image => Params::Image(Box::new(things::image(&mut chance))),
        Kind::Text => Params::Text(Box::new(things::text(&mut chance))),
        Kind::Video => Params::Video(Box::new(things::image(&mut chance))),
        Kind::Alchemy => Params::Alchemy(Box::new(things::alchemy(jobs))),
    };
    let plain = request(jobs);
    Accepted { owner: UserId(owner), spec: Arc::new(Spec { params, ..(*plain.spec).clone() }), ..plain }
}

pub fn posting(key: &str, from: i64, to: i64, amount: i64) -> Record {
    let (from, to) = (Account(from), Account(to));
    Record::Posted(Posting { key: key.into(), from, to, amount: Kudos(amount), at: NOW })
}

pub fn accepted(request: &Accepted) -> Record {
    accepted_within(request, usize::MAX)
}

pub fn accepted_within(request: &Accepted, limit: usize) -> Record {
    Record::RequestAccepted { request: request.clone(), expires_at: NOW, limit }
}

pub fn dropped(request: &Accepted, before: Timestamp) -> Record {
    Record::RequestDropped { request: request.id, before }
}

pub fn attempt(job: usize, number: u32) -> Attempt {
    Attempt {
        id: AttemptId(Uuid::new_v4()),
        job,
        number,
        worker: WorkerId(Uuid::new_v4()),
        model: "a model".into(),
        seed: u32::MAX,
        held: Held::Stream,
        granted_at: NOW,
        expires_at: NOW,
    }
}

pub fn opened(request: &Accepted, attempt: &Attempt) -> Record {
    Record::AttemptOpened { request: request.id, attempt: attempt.clone() }
}

pub fn closed(request: &Accepted, attempt: &Attempt, how: Closed) -> Record {
    Record::AttemptClosed { request: request.id, attempt: attempt.id, how }
}

pub fn outcome(attempt: &Attempt) -> Arc<Outcome> {
    Arc::new(Outcome {
        attempt: attempt.id,
        job: attempt.job,
        number: attempt.number,
        product: Product::Text("once upon a time".into()),
        seed: -1,
        verdict: Verdict::Ok,
        remarks: vec![],
        extras: Default::default(),
        worker: attempt.worker,
        worker_name: "a worker".into(),
        model: attempt.model.clone(),
        reward: Kudos(12_345_678),
        settled_at: NOW,
    })
}

pub fn settled(request: &Accepted, attempt: &Attempt) -> Record {
    Record::Settled { request: request.id, outcome: outcome(attempt) }
}

pub fn extended(request: &Accepted, expires_at: Timestamp) -> Record {
    let (cancelled, faulted, spent) = (false, false, Kudos::ZERO);
    Record::RequestMoved { request: request.id, expires_at, cancelled, faulted, spent }
}

pub fn moved(request: &Accepted, cancelled: bool, faulted: bool) -> Record {
    Record::RequestMoved { request: request.id, expires_at: NOW, cancelled, faulted, spent: Kudos(5) }
}
