//! May this worker take this job, and if not, why.
//!
//! Every rule of eligibility is one row of the table in `rules/`. Picking a job, the `skipped` counts of a
//! pop, and `is_possible` walk the same rows, so none can disagree with another.
//!
//! | file | what |
//! |---|---|
//! | `shape` | what rules read of a request |
//! | `able` | what they read of a worker |
//! | `rules/` | the rules, in the contract's order |
//! | `remedy/` | what mends a pair that a rule forbids |
//! | `skips` | what a worker is told of requests that it did not get |
//! | `tally` | the figures of the whole queue that this takes |

mod able;
mod remedy;
mod rules;
mod shape;
mod skips;
mod tally;

use crate::domain::{models::StepLimit, request::Accepted, user::User, worker::ImageSkills};

pub use able::{Able, Facts};
pub use remedy::{Ease, Eases, Lift, Lifts};
pub use rules::{PAUSED, Rule, Rules};
pub use shape::{ImageWants, Shape, Trait, Wants};
pub use skips::{Run, Skips};
pub use tally::Tally;

/// A request and a worker, side by side.
pub struct Pair<'a> {
    /// What is asked for.
    pub shape: &'a Shape,
    /// Who might do it.
    pub able: &'a Able<'a>,
    /// Whether who asks owns the worker.
    pub is_own: bool,
    /// Whether the worker serves who asks before others.
    pub is_preferred: bool,
    /// The request itself. `None`: what it is beyond its shape is not asked yet.
    pub asked: Option<Asked<'a>>,
}

/// A request, and whose it is.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// The request.
    pub request: &'a Accepted,
    /// Who asks.
    pub requester: Option<&'a User>,
}

impl<'a> Pair<'a> {
    /// Puts a request beside a worker.
    pub fn new(shape: &'a Shape, asked: Asked<'a>, able: &'a Able<'a>) -> Self {
        let owner = asked.request.owner;
        let is_own = owner == able.worker.owner;
        Self { shape, able, is_own, is_preferred: able.prefers(owner), asked: Some(asked) }
    }

    /// Puts a shape beside a worker, as of somebody whom it serves like everybody.
    pub fn of_strangers(shape: &'a Shape, able: &'a Able<'a>) -> Self {
        Self { shape, able, is_own: false, is_preferred: false, asked: None }
    }

    /// Puts a shape beside a worker, as of somebody whom it serves first.
    pub fn of_preferred(shape: &'a Shape, able: &'a Able<'a>, is_own: bool) -> Self {
        Self { shape, able, is_own, is_preferred: true, asked: None }
    }

    /// From where on steps are too many for a worker that wants no more than its models need. Who names one
    /// model leaves it to the worker's models; who names several goes by the strictest of them.
    fn step_limit(&self) -> Option<StepLimit> {
        let named = self.shape.image().and_then(|job| job.step_limit);
        named.or(self.able.facts.step_limit)
    }

    /// Whether something holds of an image and who might draw it.
    fn draws(&self, holds: impl FnOnce(&ImageWants, &ImageSkills) -> bool) -> bool {
        match (self.shape.image(), self.able.draws()) {
            (Some(job), Some(able)) => holds(job, able),
            _ => false,
        }
    }
}

/// The first rule that forbids the pair; `None`: the worker may take the job. Of a pair that has no request
/// yet: as far as its shape goes.
pub fn refusal(pair: &Pair<'_>) -> Option<&'static Rule> {
    Rules::of(pair.shape.kind).all().find(|rule| (rule.forbids)(pair))
}

/// Whether there are rules that have to ask each request of a shape, whatever they say of the shape.
pub fn asks_each(shape: &Shape, able: &Able<'_>) -> bool {
    Rules::of(shape.kind).all().any(|rule| rule.asks_each.is_some_and(|asks| asks(able)))
}
