//! Requests, workers and attempts to make promises about.

use std::{sync::Arc, time::Duration};

use gridbroker::domain::{
    AttemptId, Clock, Kudos, RequestId, Timestamp, UserId, WorkerId,
    bridge::Bridge,
    clock::SystemClock,
    event::Event,
    lease::{Attempt, Closed, Held},
    record::Record,
    request::{Accepted, Params, Spec, TextParams},
    result::{Outcome, Product, Verdict},
    worker::{Profile, Skills, TextSkills, Worker},
};
use uuid::Uuid;

pub fn now() -> Timestamp {
    SystemClock.now()
}

pub fn request_id(number: u128) -> RequestId {
    RequestId(Uuid::from_u128(number))
}

/// A request for texts.
pub fn request(number: u128, jobs: usize) -> Accepted {
    let spec = Spec {
        prompt: "something nobody else may read".into(),
        jobs,
        models: vec!["koboldcpp/a".into()],
        nsfw: false,
        trusted_workers: false,
        slow_workers: true,
        validated_backends: false,
        workers: vec![],
        worker_blacklist: false,
        origin: Default::default(),
        webhook: None,
        params: Params::Text(Box::new(TextParams {
            max_length: 80,
            max_context_length: 1024,
            ..TextParams::default()
        })),
    };
    Accepted {
        id: request_id(number),
        owner: UserId::ANONYMOUS,
        created_at: now(),
        priority: 0,
        spec: Arc::new(spec),
    }
}

pub fn accepted(request: &Accepted) -> Record {
    Record::RequestAccepted {
        request: request.clone(),
        expires_at: request.created_at.plus(Duration::from_secs(1200)),
        limit: usize::MAX,
    }
}

pub fn worker_id(name: &str) -> WorkerId {
    WorkerId(Uuid::from_u128(name.bytes().fold(7, |sum, byte| sum * 256 + u128::from(byte))))
}

/// A worker of this name has said for the first time who it is.
pub fn said(name: &str) -> Record {
    let worker = Worker {
        standing: Default::default(),
        id: worker_id(name),
        name: name.into(),
        owner: UserId::ANONYMOUS,
        created_at: now(),
        seen_at: now(),
        profile: Profile {
            models: vec!["koboldcpp/a".into()],
            bridge: Bridge::parse("KoboldCppEmbedWorker:2:x"),
            threads: 1,
            amount: 1,
            nsfw: true,
            blacklist: vec![],
            priority_users: vec![],
            skills: Skills::Text(TextSkills {
                max_length: 512,
                max_context_length: 8192,
                softprompts: vec![],
            }),
            extras: Default::default(),
        },
        maintenance: None,
        stats: Default::default(),
    };
    Record::WorkerMade { worker: Arc::new(worker), limit: usize::MAX, trusted: false }
}

/// An attempt of a worker at a job, with a minute to go.
pub fn attempt(job: usize, number: u32, worker: &str) -> Attempt {
    Attempt {
        id: AttemptId(Uuid::new_v4()),
        job,
        number,
        worker: worker_id(worker),
        model: "koboldcpp/a".into(),
        seed: 1,
        held: Held::Stream,
        granted_at: now(),
        expires_at: now().plus(Duration::from_secs(60)),
    }
}

pub fn opened(request: &Accepted, attempt: &Attempt) -> Record {
    Record::AttemptOpened { request: request.id, attempt: attempt.clone() }
}

pub fn closed(request: &Accepted, attempt: &Attempt) -> Record {
    Record::AttemptClosed { request: request.id, attempt: attempt.id, how: Closed::Returned }
}

pub fn cancelled(request: &Accepted) -> Record {
    Record::RequestMoved {
        request: request.id,
        expires_at: now().plus(Duration::from_secs(1200)),
        cancelled: true,
        faulted: false,
        spent: Kudos::ZERO,
    }
}

pub fn settled(request: &Accepted, attempt: &Attempt) -> Record {
    Record::Settled { request: request.id, outcome: outcome(attempt, "a text") }
}

pub fn outcome(attempt: &Attempt, text: &str) -> Arc<Outcome> {
    Arc::new(Outcome {
        attempt: attempt.id,
        job: attempt.job,
        number: attempt.number,
        product: Product::Text(text.into()),
        seed: 1,
        verdict: Verdict::Ok,
        remarks: vec![],
        extras: Default::default(),
        worker: attempt.worker,
        worker_name: "somebody".into(),
        model: attempt.model.clone(),
        reward: Kudos::ZERO,
        settled_at: now(),
    })
}

pub fn token(job: usize, attempt: u32, text: &str) -> Event {
    Event::Token { job, attempt, text: text.into() }
}

pub fn done() -> Event {
    Event::Done { finished: 0, kudos: Kudos::ZERO }
}
