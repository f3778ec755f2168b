//! The table of eligibility: each rule once, and for each kind of jobs a list of them in the contract's
//! order.
//!
//! Stage A says which requests a worker is a candidate for, stage B whether it gets one. To a worker both
//! are the same: a request that any rule forbids it does not get. They differ in what it is told: see
//! [`skips`](super::skips).
//!
//! A1 (something of it waits, it is neither done nor failed nor expired) is no rule here: what is not so
//! does not stand in the queue.
//!
//! Source: the matching sections of the v2 contract.

mod alchemy;
mod bridge;
mod image;
mod text;
mod who;

use super::{Eases, Lifts, Pair};
use crate::domain::request::Kind;

pub use image::SLOW_BELOW;
pub use who::PAUSED;

/// One rule of eligibility.
pub struct Rule {
    /// Its name, for people.
    pub name: &'static str,
    /// Why it forbids a pair, for people.
    pub why: &'static str,
    /// What it is called in `skipped`; `None`: workers are not told.
    pub key: Option<&'static str>,
    /// What it reads of the job.
    pub reads_job: &'static str,
    /// What it reads of the worker.
    pub reads_worker: &'static str,
    /// `None`: it reads nothing of the request but its shape, and whether the worker serves its owner first.
    /// Else: whether it has anything to say to a worker, which is then asked of each request.
    pub asks_each: Option<fn(&super::Able<'_>) -> bool>,
    /// Whether it forbids the pair.
    pub forbids: fn(&Pair<'_>) -> bool,
    /// What who asks could change.
    pub eases: Eases,
    /// What the worker could offer besides.
    pub lifts: Lifts,
}

/// The rules of one kind of jobs, in order.
pub struct Rules {
    /// Those that make a worker a candidate.
    pub stage_a: &'static [&'static Rule],
    /// Those that it is told of.
    pub stage_b: &'static [&'static Rule],
}

impl Rules {
    /// Those of a kind.
    pub fn of(kind: Kind) -> &'static Self {
        match kind {
            Kind::Image | Kind::Video => &IMAGE,
            Kind::Text => &TEXT,
            Kind::Alchemy => &ALCHEMY,
        }
    }

    /// All of them, in order.
    pub fn all(&self) -> impl Iterator<Item = &'static Rule> {
        self.stage_a.iter().chain(self.stage_b).copied()
    }

    /// All of them, in order, each once.
    pub fn each(&self) -> Vec<&'static Rule> {
        let mut each: Vec<&'static Rule> = Vec::new();
        for rule in self.all() {
            if !each.iter().any(|known| std::ptr::eq(*known, rule)) {
                each.push(rule);
            }
        }
        each
    }
}

static IMAGE: Rules = Rules {
    stage_a: &[
        &image::MAX_PIXELS,
        &who::MODELS,
        &who::NO_MODELS,
        &image::SOURCE_ALLOWED,
        &image::PAINTING_ALLOWED,
        &bridge::EXTRA_SOURCES,
        &who::UNSAFE_IP,
        &who::NSFW,
        &bridge::LINKS,
        &image::LORAS_ALLOWED,
        &bridge::LORAS,
        &bridge::TEXTUAL_INVERSIONS,
        &image::CONTROL_ALLOWED,
        &bridge::CONTROL,
        &image::SLOW,
        &image::EXTRA_SLOW,
        &image::TRANSPARENT,
        &who::MAINTENANCE,
        &who::WORKER_LIST,
        &who::MATCHED_TARGETING,
    ],
    stage_b: &[
        &who::MAINTENANCE,
        &who::NSFW,
        &who::TRUSTED,
        &who::BLACKLIST,
        &who::WORKER_LIST,
        &bridge::SOURCE,
        &bridge::PAINTING,
        &image::PAINTERS,
        &image::PAINTING_ALLOWED,
        &image::DRAWERS,
        &bridge::SAMPLER,
        &bridge::POST_PROCESSING,
        &image::SOURCE_ALLOWED,
        &bridge::TILING,
        &bridge::CONTROL_MAP,
        &bridge::CONTROL,
        &bridge::IMAGE_IS_CONTROL,
        &image::CONTROL_ALLOWED,
        &bridge::QR_CODE,
        &image::QR_CODE_ON_SDXL,
        &bridge::HIRES_FIX,
        &bridge::CASCADE_IN_TWO_PASSES,
        &bridge::FLUX,
        &bridge::CLIP_SKIP,
        &bridge::LORA_VERSIONS,
        &who::UNSAFE_IP,
        &image::STEPS,
        &who::UNVETTED,
        &image::POST_PROCESSING_ALLOWED,
        &who::UPFRONT_KUDOS,
        &who::PAUSED,
    ],
};

static TEXT: Rules = Rules {
    stage_a: &[
        &text::LENGTH,
        &text::CONTEXT_LENGTH,
        &who::MODELS,
        &who::WORKER_LIST,
        &who::MATCHED_TARGETING,
        &text::SLOW,
        &who::MAINTENANCE,
        &text::VALIDATED,
    ],
    stage_b: &[
        &who::MAINTENANCE,
        &who::NSFW,
        &who::TRUSTED,
        &who::BLACKLIST,
        &who::WORKER_LIST,
        &text::CONTEXT_LENGTH,
        &text::LENGTH,
        &text::VALIDATED,
        &text::SOFTPROMPT,
        &who::PAUSED,
    ],
};

static ALCHEMY: Rules = Rules {
    stage_a: &[&who::MODELS, &alchemy::TILES, &who::MAINTENANCE, &alchemy::SLOW],
    stage_b: &[&who::TRUSTED, &who::UNVETTED, &who::PAUSED],
};

#[cfg(test)]
mod tests;
