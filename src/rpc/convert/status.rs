//! Where a request stands, as its owner is told.

use super::{count, result, seconds, whole};
use crate::{
    domain::{
        Result,
        request::Kind,
        result::{Outcome, Product, Verdict},
    },
    engine::View,
    host::{ObjectKey, Objects},
    rpc::pb,
};

/// Without results.
pub fn check(view: &View) -> pb::RequestCheck {
    pb::RequestCheck {
        finished: count(view.finished),
        processing: count(view.processing),
        restarted: count(view.restarted),
        waiting: count(view.waiting),
        done: view.done,
        faulted: view.faulted,
        wait_time: seconds(view.wait_seconds),
        queue_position: count(view.position),
        kudos: whole(view.consumed),
        is_possible: view.is_possible,
    }
}

/// With the texts delivered so far.
pub fn text(view: &View) -> pb::TextStatus {
    let check = check(view);
    pb::TextStatus {
        generations: view.outcomes.iter().map(|outcome| text_generation(outcome)).collect(),
        finished: check.finished,
        processing: check.processing,
        restarted: check.restarted,
        waiting: check.waiting,
        done: check.done,
        faulted: check.faulted,
        wait_time: check.wait_time,
        queue_position: check.queue_position,
        kudos: check.kudos,
        is_possible: check.is_possible,
    }
}

fn text_generation(outcome: &Outcome) -> pb::TextGeneration {
    pb::TextGeneration {
        text: match &outcome.product {
            Product::Text(text) => text.clone(),
            Product::Image | Product::Form(_) | Product::Void => String::new(),
        },
        seed: outcome.seed,
        gen_metadata: result::metadata(&outcome.remarks),
        worker_id: outcome.worker.to_string(),
        worker_name: outcome.worker_name.clone(),
        model: outcome.model.clone(),
        state: outcome.verdict.word().into(),
    }
}

/// With the images delivered so far, as links or as base64.
///
/// # Errors
/// StoreUnavailable, when images must be read and cannot be.
pub async fn image(view: &View, objects: &Objects) -> Result<pb::ImageStatus> {
    let as_links = view.accepted.spec.params.image().is_none_or(|image| image.links);
    let is_video = view.accepted.spec.kind() == Kind::Video;
    let mut generations = Vec::with_capacity(view.outcomes.len());
    for outcome in &view.outcomes {
        generations.push(image_generation(outcome, objects, as_links, is_video).await?);
    }
    let check = check(view);
    Ok(pb::ImageStatus {
        generations,
        shared: false,
        finished: check.finished,
        processing: check.processing,
        restarted: check.restarted,
        waiting: check.waiting,
        done: check.done,
        faulted: check.faulted,
        wait_time: check.wait_time,
        queue_position: check.queue_position,
        kudos: check.kudos,
        is_possible: check.is_possible,
    })
}

async fn image_generation(
    outcome: &Outcome,
    objects: &Objects,
    as_links: bool,
    is_video: bool,
) -> Result<pb::ImageGeneration> {
    let key = ObjectKey::Result(outcome.attempt);
    let img = match &outcome.product {
        // What could not be decoded is shown as the worker sent it.
        Product::Text(raw) => raw.clone(),
        Product::Image if as_links => objects.get_link(key),
        Product::Image if is_video => objects.raw_base64(key).await?.unwrap_or_else(|| "N/A".into()),
        Product::Image => objects.as_base64(key).await?.unwrap_or_else(|| "N/A".into()),
        Product::Form(_) | Product::Void => String::new(),
    };
    Ok(pb::ImageGeneration {
        img,
        seed: outcome.seed.to_string(),
        id: outcome.attempt.to_string(),
        censored: outcome.verdict != Verdict::Ok,
        gen_metadata: result::metadata(&outcome.remarks),
        worker_id: outcome.worker.to_string(),
        worker_name: outcome.worker_name.clone(),
        model: outcome.model.clone(),
        // Images have no other state on the legacy wire.
        state: "ok".into(),
    })
}
