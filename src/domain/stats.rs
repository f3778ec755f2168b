//! What was made, in all and by model, within periods that slide.
//!
//! Jobs are counted by spans of time, short ones first; what is old enough is folded into longer ones, and at
//! last into one for all time. So there are few rows however much is made, and each job is in one of them.
//!
//! ```text
//! 10 s ──2 min──► a minute ──2 h──► an hour ──2 d──► a day ──32 d──► all time
//! ```
//!
//! Spans are kept for longer than the period that is told by them: a period is the sum of those spans that
//! reach into it.

use std::collections::BTreeMap;

use super::{
    Timestamp,
    request::{Kind, Params, Spec},
};

/// What in a model's name says that it is for special accounts.
const SPECIAL: &str = "horde_special";
/// Models that are told of each kind; those with fewer jobs are left out.
pub const MOST_MODELS: usize = 10_000;

/// A job that was delivered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Counted {
    /// Its kind.
    pub kind: Kind,
    /// What made it.
    pub model: String,
    /// Pixels times steps, or tokens that were asked for, or 1.
    pub things: i64,
    /// When.
    pub at: Timestamp,
}

impl Counted {
    /// What counts of a job; `None`: it does not, as its model is for special accounts.
    pub fn of(spec: &Spec, model: &str, at: Timestamp) -> Option<Self> {
        let things = match &spec.params {
            Params::Image(image) | Params::Video(image) => image.pixels().saturating_mul(image.steps.into()),
            Params::Text(text) => text.max_length.into(),
            Params::Alchemy(_) => 1,
        };
        let counted = Self { kind: spec.kind(), model: model.to_owned(), things, at };
        (!model.contains(SPECIAL)).then_some(counted)
    }

    /// When the span began that it is counted in.
    pub fn start(&self) -> Timestamp {
        Timestamp(self.at.0 - self.at.0.rem_euclid(SHORTEST * 1000))
    }
}

/// Length of the spans that jobs are counted in, in seconds.
pub const SHORTEST: i64 = 10;
const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// The span of all time.
const EVER: i64 = 0;

/// What is to be folded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fold {
    /// Length of the spans that are, in seconds.
    pub from: i64,
    /// Length of those that they are folded into; 0: all time.
    pub into: i64,
    /// Those are that began before then.
    pub before: Timestamp,
}

/// What is to be folded now, in this order.
pub fn folds(now: Timestamp) -> [Fold; 4] {
    let fold = |from, into, kept| Fold { from, into, before: Timestamp(now.0 - kept * 1000) };
    [
        fold(SHORTEST, MINUTE, 2 * MINUTE),
        fold(MINUTE, HOUR, 2 * HOUR),
        fold(HOUR, DAY, 2 * DAY),
        fold(DAY, EVER, 32 * DAY),
    ]
}

/// When the periods began that are told now: the minute, the hour, the day and the month.
pub fn periods(now: Timestamp) -> [Timestamp; 4] {
    [MINUTE, HOUR, DAY, 30 * DAY].map(|seconds| Timestamp(now.0 - seconds * 1000))
}

/// What was made within a period.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Made {
    /// Jobs.
    pub jobs: i64,
    /// What they amount to, see [`Counted::things`].
    pub things: i64,
}

/// What was made within each period.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Periods {
    /// Of the last 60 s.
    pub minute: Made,
    /// Of the last hour.
    pub hour: Made,
    /// Of the last 24 hours.
    pub day: Made,
    /// Of the last 30 days.
    pub month: Made,
    /// Of all time.
    pub total: Made,
}

/// What was made.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// In all, by kind; one that is not there: nothing.
    pub totals: BTreeMap<Kind, Periods>,
    /// Images and texts by model, those with most of them first, [`MOST_MODELS`] of each kind.
    pub models: Vec<(Kind, String, Periods)>,
}

impl Stats {
    /// What was made of a kind in all.
    pub fn total(&self, kind: Kind) -> Periods {
        self.totals.get(&kind).copied().unwrap_or_default()
    }

    /// What was made of a kind, by model.
    pub fn of(&self, kind: Kind) -> impl Iterator<Item = (&str, &Periods)> {
        let of_kind = self.models.iter().filter(move |(other, ..)| *other == kind);
        of_kind.map(|(_, model, periods)| (model.as_str(), periods))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::request::{
        TextParams,
        tests::{image, spec},
    };

    #[test]
    fn images_count_their_pixels_by_steps_and_texts_the_tokens_asked_for() {
        let at = Timestamp(1_000_000_012_345);
        let mut drawn = image();
        // It does its steps twice; they are counted as they were asked for.
        (drawn.width, drawn.height, drawn.steps, drawn.sampler) = (512, 768, 30, "k_heun".into());
        let text = TextParams { max_length: 80, ..TextParams::default() };
        for (params, things) in
            [(Params::Image(Box::new(drawn)), 512 * 768 * 30), (Params::Text(Box::new(text)), 80)]
        {
            let spec = Spec { params, ..spec(image()) };
            let counted = Counted::of(&spec, "a model", at).expect("it counts");
            assert_eq!((counted.things, counted.start()), (things, Timestamp(1_000_000_010_000)));
            assert_eq!(Counted::of(&spec, "horde_special::somebody#1", at), None);
        }
    }

    #[test]
    fn what_reaches_into_a_period_is_not_folded_into_spans_as_long_as_it() {
        let now = Timestamp(1_700_000_000_000);
        // A period is told by the spans that are shorter than it: they must all be there still.
        for (fold, began) in folds(now).into_iter().zip(periods(now)) {
            assert!(fold.before < began, "{fold:?} leaves what began after {began:?}");
        }
        let lengths: Vec<_> = folds(now).iter().flat_map(|fold| [fold.from, fold.into]).collect();
        assert_eq!(lengths, [10, 60, 60, 3600, 3600, 86_400, 86_400, 0]);
    }
}
