//! May this worker take this job, and if not, why.
//!
//! Every rule of eligibility is one row of the table in `rules.rs`. Picking a job, the `skipped`
//! counts of a pop and `is_possible` walk the same rows, so none can disagree with another. The
//! lanes narrow the field first; the last word is here.

mod rules;

use std::collections::BTreeMap;

use crate::domain::{
    request::{Accepted, AlchemyParams, ImageParams, Kind, Params, Spec, TextParams},
    user::{Role, User},
    worker::{AlchemySkills, ImageSkills, Skills, TextSkills, Worker},
};

pub use rules::{RULES, Rule};

/// A job and a worker, side by side.
pub struct Pair<'a> {
    /// What is asked for.
    pub spec: &'a Spec,
    /// Who asks.
    pub requester: Option<&'a User>,
    /// Whether who asks owns the worker.
    pub is_own: bool,
    /// Who might do it.
    pub worker: &'a Worker,
    /// Whether the worker's owner is trusted.
    pub owner_is_trusted: bool,
}

impl<'a> Pair<'a> {
    /// Puts a request beside a worker.
    pub fn new(
        request: &'a Accepted,
        requester: Option<&'a User>,
        worker: &'a Worker,
        owner: Option<&'a User>,
    ) -> Self {
        Self {
            spec: &request.spec,
            requester,
            is_own: request.owner == worker.owner,
            worker,
            owner_is_trusted: owner.is_some_and(|user| user.is(Role::Trusted)),
        }
    }

    fn image(&self) -> Option<(&ImageParams, &ImageSkills)> {
        let said = self.worker.profile.for_kind(self.spec.kind())?;
        Some((self.spec.params.image()?, said.skills.image()?))
    }

    fn alchemy(&self) -> Option<(&AlchemyParams, &AlchemySkills)> {
        match (&self.spec.params, &self.worker.profile.skills) {
            (Params::Alchemy(params), Skills::Alchemy(skills)) => Some((params, skills)),
            _ => None,
        }
    }

    fn text(&self) -> Option<(&TextParams, &TextSkills)> {
        match (&self.spec.params, &self.worker.profile.skills) {
            (Params::Text(params), Skills::Text(skills)) => Some((params, skills)),
            _ => None,
        }
    }
}

/// The first rule that forbids the pair; `None`: the worker may take the job.
pub fn refusal(pair: &Pair<'_>) -> Option<&'static Rule> {
    if (rules::KIND.forbids)(pair) {
        return Some(&rules::KIND);
    }
    RULES.iter().find(|rule| (rule.forbids)(pair))
}

/// Counts why requests were passed over, by the keys of `skipped`.
///
/// Image: a request counts once under each key that forbids it, and the keys that legacy bridges
/// expect are there even at 0. Text: a request counts under its first key alone.
///
/// Source: `skipped` of the v2 pop response.
#[derive(Default)]
pub struct Skips(BTreeMap<&'static str, usize>);

impl Skips {
    /// Counts one request.
    pub fn add(&mut self, pair: &Pair<'_>) {
        match pair.spec.kind() {
            Kind::Image | Kind::Video => {
                let mut keys: Vec<_> =
                    RULES.iter().filter(|rule| (rule.forbids)(pair)).filter_map(|rule| rule.key).collect();
                keys.sort_unstable();
                keys.dedup();
                for key in keys {
                    *self.0.entry(key).or_default() += 1;
                }
            }
            Kind::Alchemy => {
                // What a worker could never do, or is not online for, it is told nothing of.
                const TOLD: [&str; 3] = ["worker_id", "untrusted", "bridge_version"];
                let keys: Option<Vec<_>> =
                    RULES.iter().filter(|rule| (rule.forbids)(pair)).map(|rule| rule.key).collect();
                if let Some(keys) = keys.filter(|keys| keys.iter().all(|key| TOLD.contains(key)))
                    && let Some(key) = keys.first()
                {
                    *self.0.entry(key).or_default() += 1;
                }
            }
            Kind::Text => {
                if let Some(key) = refusal(pair).and_then(|rule| rule.key) {
                    *self.0.entry(key).or_default() += 1;
                }
            }
        }
    }

    /// The counts.
    pub fn into_counts(mut self, kind: Kind) -> BTreeMap<&'static str, usize> {
        const ALWAYS: [&str; 12] = [
            "models",
            "worker_id",
            "img2img",
            "painting",
            "lora",
            "controlnet",
            "post-processing",
            "unsafe_ip",
            "nsfw",
            "performance",
            "untrusted",
            "bridge_version",
        ];
        if matches!(kind, Kind::Image | Kind::Video) {
            for key in ALWAYS {
                self.0.entry(key).or_default();
            }
        }
        self.0
    }
}
