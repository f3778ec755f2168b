//! Rules of texts.

use super::{
    super::{Ease, Lift, Pair, Wants},
    Rule,
};
use crate::domain::worker::TextSkills;

/// Whether something holds of a text and who might write it.
fn writes(pair: &Pair<'_>, holds: impl FnOnce(&Wants, &TextSkills) -> bool) -> bool {
    pair.able.writes().is_some_and(|able| holds(&pair.shape.wants, able))
}

/// Tokens that a text asks for, and tokens of context.
fn text(pair: &Pair<'_>) -> Option<(i64, i64)> {
    match pair.shape.wants {
        Wants::Text { max_length, max_context_length, .. } => Some((max_length, max_context_length)),
        _ => None,
    }
}

fn softprompt(pair: &Pair<'_>) -> Vec<Lift> {
    match &pair.shape.wants {
        Wants::Text { softprompt: Some(name), .. } => vec![Lift::Softprompt(name.clone())],
        _ => Vec::new(),
    }
}

pub static LENGTH: Rule = Rule {
    name: "length",
    why: "more tokens than the worker writes",
    key: Some("max_length"),
    reads_job: "max_length",
    reads_worker: "max_length",
    asks_each: None,
    forbids: |pair| {
        writes(
            pair,
            |job, able| matches!(job, Wants::Text { max_length, .. } if *max_length > able.max_length),
        )
    },
    eases: Some(Ease::shorter),
    lifts: Some(|pair| text(pair).map(|(most, _)| Lift::MaxLength(most)).into_iter().collect()),
};

pub static CONTEXT_LENGTH: Rule = Rule {
    name: "context length",
    why: "more tokens of context than the worker takes",
    key: Some("max_context_length"),
    reads_job: "max_context_length",
    reads_worker: "max_context_length",
    asks_each: None,
    forbids: |pair| {
        writes(
            pair,
            |job, able| matches!(job, Wants::Text { max_context_length: asked, .. } if *asked > able.max_context_length),
        )
    },
    eases: Some(Ease::less_context),
    lifts: Some(|pair| text(pair).map(|(_, most)| Lift::MaxContextLength(most)).into_iter().collect()),
};

/// The larger the first of its models, the slower a worker may be.
pub static SLOW: Rule = Rule {
    name: "slow workers",
    why: "the worker is slow for the size of its model, and the request wants none of those",
    key: Some("performance"),
    reads_job: "slow_workers",
    reads_worker: "speed, models",
    asks_each: None,
    forbids: |pair| !pair.shape.slow_workers && pair.able.worker.speed() < pair.able.facts.text_floor,
    eases: Some(|_| vec![Ease::SlowWorkers]),
    lifts: None,
};

pub static VALIDATED: Rule = Rule {
    name: "validated back end",
    why: "the request is for known back ends, and the worker's software is none",
    key: Some("bridge_version"),
    reads_job: "validated_backends",
    reads_worker: "bridge_agent",
    asks_each: None,
    forbids: |pair| pair.shape.validated_backends && !pair.able.said.bridge.is_validated(),
    eases: Some(|_| vec![Ease::AnyBackEnd]),
    lifts: None,
};

pub static SOFTPROMPT: Rule = Rule {
    name: "soft prompt",
    why: "the worker does not have the soft prompt",
    key: Some("matching_softprompt"),
    reads_job: "softprompt",
    reads_worker: "softprompts",
    asks_each: None,
    forbids: |pair| {
        writes(
            pair,
            |job, able| matches!(job, Wants::Text { softprompt: Some(name), .. } if !able.softprompts.contains(name)),
        )
    },
    eases: Some(|_| vec![Ease::NoSoftprompt]),
    lifts: Some(softprompt),
};
