//! The smallest changes that let workers take a request.
//!
//! First every single change that a rule names is tried. Of sizes, steps and lengths the mildest is told
//! that gains a worker, and the one that suits most of them: what suits one that takes little suits all that
//! take more. If no worker takes the request and no single change helps, changes are put together, as few as
//! will do, for the workers that fewest rules stand against.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Change,
    counts::Counts,
    looks::Looks,
    request::{Candidate, Variant},
};
use crate::engine::{
    Engine,
    matching::{self, Ease, Pair},
    request::Request,
};

/// Changes that are told.
const MOST: usize = 12;
/// Other models that are tried: those that most workers serve.
const MODELS: usize = 10;
/// Workers for which changes are put together, and how many are.
const SEEDS: usize = 16;
const TOGETHER: usize = 3;

/// The changes that are considered.
#[derive(Default)]
struct Choice {
    /// Those that are what they are.
    plain: BTreeSet<Ease>,
    /// Those that may be milder or stronger.
    graded: BTreeSet<Ease>,
    /// Models that are tried.
    models: BTreeSet<Ease>,
}

impl Choice {
    fn may(&self, ease: &Ease) -> bool {
        !matches!(ease, Ease::Model(_)) || self.models.contains(ease)
    }
}

impl Engine {
    /// What would let more workers take a request than can now: fewest changes first, then most workers;
    /// the milder before the stronger.
    pub(super) fn changes(
        &self,
        request: &Request,
        counts: &Counts,
        candidates: &[Candidate<'_>],
        looks: &mut Looks,
    ) -> Vec<Change> {
        // What no change of the request has to do with stands in the way whatever it asks for.
        let lasting = counts.such(|rule| rule.eases.is_none());
        let field: Vec<_> = candidates.iter().filter(|one| !one.verdict.has_any_of(lasting)).collect();
        let able = field.iter().filter(|one| one.verdict.is_free()).count();
        let choice = self.choose(request, counts, &field, looks);
        let mut changes: Vec<Vec<Change>> = Vec::new();
        for ease in &choice.plain {
            let change = self.try_out(request, &field, vec![ease.clone()], looks);
            changes.extend(change.filter(|change| change.workers > able).map(|change| vec![change]));
        }
        let graded: Vec<_> = choice.graded.iter().collect();
        for alike in graded.chunk_by(|one, other| one.is_like(other)) {
            changes.push(self.try_grades(request, &field, alike, able, looks));
        }
        changes.retain(|alike| !alike.is_empty());
        if able == 0 && changes.is_empty() {
            let together = self.put_together(request, &field, &choice, looks);
            changes = together.into_iter().map(|change| vec![change]).collect();
        }
        // Of those that differ in how much they ask for, the mildest comes first.
        let key = |alike: &Vec<Change>| {
            let most = alike.iter().map(|change| change.workers).max();
            (alike[0].eases.len(), std::cmp::Reverse(most))
        };
        changes.sort_by(|a, b| key(a).cmp(&key(b)).then_with(|| a[0].eases.cmp(&b[0].eases)));
        let mut changes: Vec<_> = changes.into_iter().flatten().collect();
        changes.truncate(MOST);
        changes
    }

    /// What the rules name that stand in the way of workers.
    fn choose(
        &self,
        request: &Request,
        counts: &Counts,
        field: &[&Candidate<'_>],
        looks: &mut Looks,
    ) -> Choice {
        let as_it_is = self.variant(request, &[]);
        let (mut choice, mut models) = (Choice::default(), BTreeMap::<Ease, usize>::new());
        for one in field.iter().filter(|one| !one.verdict.is_free()) {
            let pair = self.beside(request, &as_it_is, &one.able);
            let named: BTreeSet<_> = counts.of(one.verdict).flat_map(|rule| eases(rule, &pair)).collect();
            if !looks.may(named.len()) {
                break;
            }
            for ease in named {
                match ease {
                    Ease::Model(_) => *models.entry(ease).or_default() += 1,
                    ease if ease.amount().is_some() => drop(choice.graded.insert(ease)),
                    ease => drop(choice.plain.insert(ease)),
                }
            }
        }
        let mut models: Vec<_> = models.into_iter().collect();
        models.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        choice.models = models.into_iter().take(MODELS).map(|(ease, _)| ease).collect();
        choice.plain.extend(choice.models.iter().cloned());
        choice
    }

    /// How many workers could take a request so changed; `None`: it would not be accepted.
    fn try_out(
        &self,
        request: &Request,
        field: &[&Candidate<'_>],
        eases: Vec<Ease>,
        looks: &mut Looks,
    ) -> Option<Change> {
        let variant = self.sound_variant(request, &eases)?;
        if !looks.may(field.len()) {
            return None;
        }
        let workers = field.iter().filter(|one| self.takes(request, &variant, &one.able)).count();
        Some(Change { eases, workers })
    }

    /// Of changes that differ in nothing but how much they ask for: the mildest that gains workers, and the
    /// mildest that gains most.
    fn try_grades(
        &self,
        request: &Request,
        field: &[&Candidate<'_>],
        alike: &[&Ease],
        able: usize,
        looks: &mut Looks,
    ) -> Vec<Change> {
        let mut ordered = alike.to_vec();
        ordered.sort_by_key(|ease| (ease.amount(), *ease));
        let mut known: BTreeMap<usize, Option<Change>> = BTreeMap::new();
        let mut try_at = |at: usize| -> Option<Change> {
            let eases = vec![ordered[at].clone()];
            known.entry(at).or_insert_with(|| self.try_out(request, field, eases, looks)).clone()
        };
        let Some(most) = try_at(0).filter(|change| change.workers > able) else { return Vec::new() };
        // The more is asked for, the fewer workers take it: the last that so many take is found by halving.
        let mut last_with = |workers: usize| {
            let (mut good, mut bad) = ((0, most.clone()), ordered.len());
            while bad - good.0 > 1 {
                let middle = good.0 + (bad - good.0) / 2;
                match try_at(middle).filter(|change| change.workers >= workers) {
                    Some(change) => good = (middle, change),
                    None => bad = middle,
                }
            }
            good
        };
        let (mildest, most) = (last_with(able + 1), last_with(most.workers));
        match mildest.0 == most.0 {
            true => vec![mildest.1],
            false => vec![mildest.1, most.1],
        }
    }

    /// The fewest changes that let a worker take a request, where one is not enough.
    fn put_together(
        &self,
        request: &Request,
        field: &[&Candidate<'_>],
        choice: &Choice,
        looks: &mut Looks,
    ) -> Vec<Change> {
        let mut seeds = field.to_vec();
        seeds.sort_by_key(|one| (one.verdict.rules(), one.able.worker.id));
        if seeds.len() > SEEDS {
            looks.cut();
        }
        for most in 2..=TOGETHER {
            let mut search = Search { engine: self, request, choice, looks, found: BTreeSet::new() };
            for seed in seeds.iter().take(SEEDS) {
                search.go(seed, &mut Vec::new(), most);
            }
            let found = search.found.into_iter();
            let mut changes: Vec<_> =
                found.filter_map(|eases| self.try_out(request, field, eases, looks)).collect();
            changes.retain(|change| change.workers > 0);
            if !changes.is_empty() {
                return changes;
            }
        }
        Vec::new()
    }

    /// A request so changed, if it would be accepted. One that would not be as it is (the reference of models
    /// was another one then) is not asked.
    fn sound_variant(&self, request: &Request, eases: &[Ease]) -> Option<Variant> {
        let variant = self.variant(request, eases);
        let is_sound = self.is_sound(&variant) || !self.is_sound(&self.variant(request, &[]));
        is_sound.then_some(variant)
    }
}

/// Looks for changes that let workers take a request.
struct Search<'a> {
    engine: &'a Engine,
    request: &'a Request,
    choice: &'a Choice,
    looks: &'a mut Looks,
    found: BTreeSet<Vec<Ease>>,
}

impl Search<'_> {
    /// Finds sets of no more changes than are left with which a worker takes it, beside those that are made:
    /// whichever does must mend the first rule that is still in the way.
    fn go(&mut self, seed: &Candidate<'_>, made: &mut Vec<Ease>, left: usize) {
        if !self.looks.may(1) {
            return;
        }
        let engine = self.engine;
        let variant = engine.variant(self.request, made);
        let pair = engine.beside(self.request, &variant, &seed.able);
        let Some(rule) = matching::refusal(&pair) else {
            let mut set = made.clone();
            set.sort_unstable();
            self.found.insert(set);
            return;
        };
        if left == 0 {
            return;
        }
        for ease in eases(rule, &pair) {
            if self.choice.may(&ease) && !made.contains(&ease) {
                made.push(ease);
                self.go(seed, made, left - 1);
                made.pop();
            }
        }
    }
}

fn eases(rule: &matching::Rule, pair: &Pair<'_>) -> Vec<Ease> {
    rule.eases.map(|eases| eases(pair)).unwrap_or_default()
}
