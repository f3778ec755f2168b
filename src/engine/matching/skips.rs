//! What a worker is told of requests that it did not get: the counts of `skipped`.
//!
//! Of images: figures of the whole queue ([`Tally`](super::Tally)), and what stage B says of those that the
//! worker was a candidate for. Of texts and forms: what stage B says, and no more.
//!
//! Source: `skipped` of the v2 contract.

use std::collections::BTreeMap;

use super::{Able, Pair, Rule, Rules, Shape};

/// Keys of stage B that images count; for the others they have the figures of the whole queue.
const TOLD_OF_IMAGES: [&str; 4] = ["bridge_version", "kudos", "blacklist", "step_count"];

/// What stage B says of the candidates.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Skips(BTreeMap<&'static str, usize>);

/// Requests of one shape.
pub struct Run<'a> {
    /// What they are.
    pub shape: &'a Shape,
    /// Whether the worker serves those who ask before others.
    pub is_preferred: bool,
    /// Whether they own the worker.
    pub is_own: bool,
    /// How many there are.
    pub requests: usize,
}

impl Skips {
    /// Counts requests of one shape. Rules that have to ask each request are handed to `passing`, with how
    /// many are left; it says how many of those they let pass. Whether the worker is a candidate for them.
    pub fn add(
        &mut self,
        able: &Able<'_>,
        run: &Run<'_>,
        mut passing: impl FnMut(&'static Rule, usize) -> usize,
    ) -> bool {
        let pair = match run.is_preferred {
            true => Pair::of_preferred(run.shape, able, run.is_own),
            false => Pair::of_strangers(run.shape, able),
        };
        let rules = Rules::of(run.shape.kind);
        if rules.stage_a.iter().any(|rule| (rule.forbids)(&pair)) {
            return false;
        }
        let mut left = run.requests;
        for rule in rules.stage_b {
            let passed = match rule.asks_each {
                Some(asks) if asks(able) && left > 0 => passing(rule, left).min(left),
                Some(_) => left,
                None if (rule.forbids)(&pair) => 0,
                None => left,
            };
            self.count(run.shape, rule, left - passed);
            left = passed;
            if left == 0 {
                break;
            }
        }
        true
    }

    fn count(&mut self, shape: &Shape, rule: &Rule, requests: usize) {
        let is_told = |key: &&str| shape.image().is_none() || TOLD_OF_IMAGES.contains(key);
        if let Some(key) = rule.key.filter(is_told)
            && requests > 0
        {
            *self.0.entry(key).or_default() += requests;
        }
    }

    /// Adds other counts.
    pub fn add_counts(&mut self, counts: BTreeMap<&'static str, usize>) {
        for (key, more) in counts {
            *self.0.entry(key).or_default() += more;
        }
    }

    /// The counts.
    pub fn into_counts(self) -> BTreeMap<&'static str, usize> {
        self.0
    }
}
