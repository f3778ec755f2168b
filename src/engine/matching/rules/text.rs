//! Rules of texts.

use super::{
    super::{Pair, Wants},
    Rule,
};
use crate::domain::worker::TextSkills;

/// Whether something holds of a text and who might write it.
fn writes(pair: &Pair<'_>, holds: impl FnOnce(&Wants, &TextSkills) -> bool) -> bool {
    pair.able.writes().is_some_and(|able| holds(&pair.shape.wants, able))
}

pub static LENGTH: Rule = Rule {
    name: "length",
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
};

pub static CONTEXT_LENGTH: Rule = Rule {
    name: "context length",
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
};

/// The larger the first of its models, the slower a worker may be.
pub static SLOW: Rule = Rule {
    name: "slow workers",
    key: Some("performance"),
    reads_job: "slow_workers",
    reads_worker: "speed, models",
    asks_each: None,
    forbids: |pair| !pair.shape.slow_workers && pair.able.worker.speed() < pair.able.facts.text_floor,
};

pub static VALIDATED: Rule = Rule {
    name: "validated back end",
    key: Some("bridge_version"),
    reads_job: "validated_backends",
    reads_worker: "bridge_agent",
    asks_each: None,
    forbids: |pair| pair.shape.validated_backends && !pair.able.said.bridge.is_validated(),
};

pub static SOFTPROMPT: Rule = Rule {
    name: "soft prompt",
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
};
