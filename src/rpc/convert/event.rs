//! Events of a request, as watchers are told.

use super::{count, seconds, whole};
use crate::{
    domain::{
        event::Event,
        request::Kind,
        result::{Outcome, Product},
    },
    host::{Cursor, ObjectKey, Objects},
    rpc::pb::{self, watch_response::Event as Told},
};

fn attempt(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// A sign of life, after the event at this cursor.
pub fn keep_alive(after: &str) -> pb::WatchResponse {
    pb::WatchResponse { cursor: after.to_owned(), event: Some(Told::KeepAlive(pb::WatchKeepAlive {})) }
}

/// One event at its cursor.
pub fn told(cursor: Cursor, event: &Event, kind: Kind, objects: &Objects) -> pb::WatchResponse {
    let told = match event {
        Event::Queued(outlook) => Told::Queued(pb::Queued {
            position: count(outlook.position),
            eta_seconds: seconds(outlook.eta_seconds),
            eta_low_seconds: outlook.eta_range.map(|(low, _)| seconds(low)),
            eta_high_seconds: outlook.eta_range.map(|(_, high)| seconds(high)),
        }),
        Event::Assigned { job, attempt: number, worker, worker_name, model } => {
            Told::Assigned(pb::Assigned {
                job: count(*job),
                attempt: attempt(*number),
                worker_id: worker.to_string(),
                worker_name: worker_name.clone(),
                model: model.clone(),
            })
        }
        Event::Progress { job, attempt: number, current_step, total_steps } => Told::Progress(pb::Progress {
            job: count(*job),
            attempt: attempt(*number),
            current_step: attempt(*current_step),
            total_steps: attempt(*total_steps),
        }),
        Event::Preview { job, attempt: number, id, step } => Told::Preview(pb::Preview {
            job: count(*job),
            attempt: attempt(*number),
            step: step.map(attempt),
            img: objects.get_link(ObjectKey::Preview(*id)),
        }),
        Event::Token { job, attempt: number, text } => {
            Told::Token(pb::Token { job: count(*job), attempt: attempt(*number), text: text.clone() })
        }
        Event::Result { job, attempt: number, outcome } => {
            Told::Result(result(*job, *number, outcome, kind, objects))
        }
        Event::Reset { job } => Told::Reset(pb::Reset { job: job.map(count) }),
        Event::Faulted { message } => Told::Faulted(pb::Faulted { message: message.clone() }),
        Event::Cancelled => Told::Cancelled(pb::Cancelled {}),
        Event::Done { finished, kudos } => {
            Told::Done(pb::Done { finished: count(*finished), kudos: whole(*kudos) })
        }
    };
    pb::WatchResponse { cursor: cursor.to_string(), event: Some(told) }
}

fn result(job: usize, number: u32, outcome: &Outcome, kind: Kind, objects: &Objects) -> pb::JobResult {
    let text = match &outcome.product {
        Product::Text(text) => Some(text.clone()),
        Product::Image | Product::Form(_) | Product::Void => None,
    };
    let (img, text) = match (kind, &outcome.product) {
        (Kind::Image | Kind::Video, Product::Image) => {
            (Some(objects.get_link(ObjectKey::Result(outcome.attempt))), None)
        }
        (Kind::Image | Kind::Video, _) => (text, None),
        (Kind::Text | Kind::Alchemy, _) => (None, text),
    };
    pb::JobResult {
        job: count(job),
        attempt: attempt(number),
        worker_id: outcome.worker.to_string(),
        worker_name: outcome.worker_name.clone(),
        model: outcome.model.clone(),
        seed: outcome.seed.to_string(),
        state: outcome.verdict.word().into(),
        img,
        text,
        form: (kind == Kind::Alchemy).then(|| outcome.model.clone()),
        result: super::alchemy::shown(outcome, objects),
    }
}
