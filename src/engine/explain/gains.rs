//! What a worker would have more of if it offered more.
//!
//! Every single change that a rule names is tried on the worker: the changed one is put beside all that
//! waits. Of sizes and lengths the smallest is told that gains anything, and the one with which nothing more
//! is to be gained.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use super::{Gain, counts::Counts, looks::Looks, worker::Sort};
use crate::{
    domain::{request::Kind, worker::Worker},
    engine::{
        Engine,
        matching::{self, Able, Facts, Lift},
    },
};

/// Models that are tried: those that most jobs wait for which nothing else forbids.
const MODELS: usize = 10;
/// Other changes that are told.
const MOST: usize = 16;

impl Engine {
    /// What it would have more of, most jobs first; models before all else.
    pub(super) fn gains(
        &self,
        worker: &Worker,
        able: &Able<'_>,
        counts: &Counts,
        sorts: &[Sort<'_>],
        looks: &mut Looks,
    ) -> Vec<Gain> {
        let kind = counts.kind;
        let (plain, graded) = choose(able, counts, sorts);
        let mut try_out = |lift: &Lift| self.try_lift(worker, kind, sorts, lift, looks);
        let mut gains: Vec<Gain> = plain.iter().filter_map(&mut try_out).collect();
        let graded: Vec<_> = graded.iter().collect();
        for alike in graded.chunk_by(|one, other| one.is_like(other)) {
            let mut ordered = alike.to_vec();
            ordered.sort_by_key(|lift| lift.amount());
            let mut known: BTreeMap<usize, Option<Gain>> = BTreeMap::new();
            let mut try_at = |at: usize| -> Option<Gain> {
                known.entry(at).or_insert_with(|| try_out(ordered[at])).clone()
            };
            let last = ordered.len() - 1;
            let Some(most) = try_at(last) else { continue };
            // The more is offered, the more is gained: the first that gains so much is found by halving.
            let mut first_with = |jobs: usize| {
                let (mut bad, mut good) = (0, (last, most.clone()));
                while bad < good.0 {
                    let middle = bad + (good.0 - bad) / 2;
                    match try_at(middle).filter(|gain| gain.jobs >= jobs) {
                        Some(gain) => good = (middle, gain),
                        None => bad = middle + 1,
                    }
                }
                good
            };
            let (least, most) = (first_with(1), first_with(most.jobs));
            let is_one = least.0 == most.0;
            gains.push(least.1);
            gains.extend((!is_one).then_some(most.1));
        }
        let is_model = |gain: &Gain| matches!(gain.lift, Lift::Model(_));
        gains.sort_by(|a, b| {
            let key = |gain: &Gain| (!is_model(gain), Reverse(gain.jobs));
            key(a).cmp(&key(b)).then_with(|| a.lift.cmp(&b.lift))
        });
        let models = gains.iter().filter(|gain| is_model(gain)).count();
        gains.truncate(models + MOST);
        gains
    }

    /// What comes of a change; `None`: nothing more, or there is no room to try it.
    fn try_lift(
        &self,
        worker: &Worker,
        kind: Kind,
        sorts: &[Sort<'_>],
        lift: &Lift,
        looks: &mut Looks,
    ) -> Option<Gain> {
        let mut changed = worker.clone();
        lift.apply(&mut changed, kind);
        let facts = Facts::of(&changed.profile, kind, &*self.models)?;
        let able = self.able_as(&changed, &facts, kind)?;
        if !looks.may(sorts.len()) {
            return None;
        }
        let (mut jobs, mut requests, mut counted) = (0isize, 0, None);
        for sort in sorts {
            let takes = matching::refusal(&sort.beside(&able)).is_none();
            let more = isize::from(takes) - isize::from(sort.verdict.is_free());
            jobs += more * sort.jobs as isize;
            if more > 0 && (sort.part_of.is_none() || counted != sort.part_of) {
                counted = sort.part_of;
                requests += sort.requests;
            }
        }
        let jobs = usize::try_from(jobs).ok().filter(|jobs| *jobs > 0)?;
        Some(Gain { lift: lift.clone(), now: lift.amount_of(worker, kind), jobs, requests })
    }
}

/// What the rules name that forbid jobs: what is as it is, and what may be less or more.
fn choose(able: &Able<'_>, counts: &Counts, sorts: &[Sort<'_>]) -> (BTreeSet<Lift>, BTreeSet<Lift>) {
    let (mut plain, mut graded) = (BTreeSet::new(), BTreeSet::new());
    let mut models = BTreeMap::<Lift, (usize, usize)>::new();
    for sort in sorts.iter().filter(|sort| !sort.verdict.is_free()) {
        let pair = sort.beside(able);
        let is_alone = sort.verdict.rules() == 1;
        let named: BTreeSet<_> = counts
            .of(sort.verdict)
            .flat_map(|rule| rule.lifts.map(|lifts| lifts(&pair)).unwrap_or_default())
            .collect();
        for lift in named {
            match lift {
                Lift::Model(_) => {
                    let (alone, all) = models.entry(lift).or_default();
                    *alone += if is_alone { sort.jobs } else { 0 };
                    *all += sort.jobs;
                }
                lift if lift.amount().is_some() => drop(graded.insert(lift)),
                lift => drop(plain.insert(lift)),
            }
        }
    }
    let mut models: Vec<_> = models.into_iter().collect();
    models.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    plain.extend(models.into_iter().take(MODELS).map(|(lift, _)| lift));
    (plain, graded)
}
