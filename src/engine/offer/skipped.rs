//! What a pop without a job is told: how many requests it was passed over for, and why.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

use super::{budget::Budget, index::Lane as Wanted};
use crate::{
    domain::{UserId, WorkerId, request::Kind},
    engine::{
        Engine,
        matching::{Able, Pair, Run, Skips, Tally},
        queue::{Lane, Place, Walk},
        request::Request,
    },
};

/// Forms that an alchemist is told of, and requests that are looked at for them. Source: the limit of
/// candidates of the v2 contract.
const FORMS: usize = 100;
const FORMS_IN: usize = 1_000;

/// Requests in runs of various shapes that are counted; it takes more shapes than are told apart for there
/// to be any.
const MIXED: usize = 1_000;

impl Engine {
    /// Why a worker was given nothing, by the keys of `skipped`.
    pub(super) fn skipped(&self, worker: WorkerId, wanted: &[Wanted]) -> BTreeMap<&'static str, usize> {
        let mut skips = Skips::default();
        let mut budget = Budget::default();
        for (kind, models) in wanted {
            let Some(able) = self.able(worker, *kind) else { continue };
            if matches!(kind, Kind::Image | Kind::Video) {
                skips.add_counts(self.told_of_all(*kind, &able));
            }
            match kind {
                Kind::Alchemy => self.tally_forms(&mut skips, &able),
                Kind::Image | Kind::Text | Kind::Video => {
                    self.tally_preferred(&mut skips, *kind, &able, &mut budget);
                    if able.worker.maintenance.is_none() {
                        self.tally_strangers(&mut skips, *kind, models, &able, &mut budget);
                    }
                }
            }
        }
        skips.into_counts()
    }

    /// Figures of all images that wait; in maintenance, of those of the worker's owner.
    fn told_of_all(&self, kind: Kind, able: &Able<'_>) -> BTreeMap<&'static str, usize> {
        if able.worker.maintenance.is_none() {
            return self.queue.tally(kind).told(able);
        }
        let mut own = Tally::default();
        let runs = self.queue.lane_of(kind, able.worker.owner).into_iter().flat_map(Lane::runs);
        for (id, run) in runs {
            match self.queue.shape(id) {
                Some(shape) => own.change(shape, run.len() as isize),
                None => {
                    let shapes = run.iter().filter_map(|place| self.queue.shape_in_lanes(place.request));
                    shapes.for_each(|shape| own.change(shape, 1));
                }
            }
        }
        own.told(able)
    }

    fn tally_preferred(&self, skips: &mut Skips, kind: Kind, able: &Able<'_>, budget: &mut Budget) {
        for owner in able.preferred().collect::<BTreeSet<_>>() {
            let is_own = owner == able.worker.owner;
            let of = |shape, requests| Run { shape, is_preferred: true, is_own, requests };
            for (id, run) in self.queue.lane_of(kind, owner).into_iter().flat_map(Lane::runs) {
                match self.queue.shape(id) {
                    Some(shape) => self.tally(skips, able, &of(shape, run.len()), run.iter(), budget),
                    None => {
                        for place in run.iter().take(MIXED) {
                            if let Some(shape) = self.queue.shape_in_lanes(place.request) {
                                self.tally(skips, able, &of(shape, 1), [place].into_iter(), budget);
                            }
                        }
                    }
                }
            }
        }
    }

    fn tally_strangers(
        &self,
        skips: &mut Skips,
        kind: Kind,
        models: &[Arc<str>],
        able: &Able<'_>,
        budget: &mut Budget,
    ) {
        let preferred: BTreeSet<_> = able.preferred().collect();
        let first: Vec<_> = preferred.iter().filter_map(|owner| self.queue.lane_of(kind, *owner)).collect();
        let (mut seen, mut mixed) = (HashSet::new(), BTreeSet::new());
        for (id, run) in self.queue.lanes_for(kind, models).flat_map(Lane::runs) {
            match self.queue.shape(id) {
                None => mixed.extend(run.iter().take(MIXED)),
                // A run of one shape is the same in all its lanes.
                Some(shape) if seen.insert(id) => {
                    let others = first.iter().filter_map(|lane| lane.run(id)).map(BTreeSet::len);
                    let requests = run.len() - others.sum::<usize>();
                    let of = Run { shape, is_preferred: false, is_own: false, requests };
                    let places = run.iter().filter(|place| !self.is_of(**place, &preferred));
                    self.tally(skips, able, &of, places, budget);
                }
                Some(_) => {}
            }
        }
        for place in mixed.iter().take(MIXED).filter(|place| !self.is_of(**place, &preferred)) {
            let Some(shape) = self.queue.shape_in_lanes(place.request) else { continue };
            let of = Run { shape, is_preferred: false, is_own: false, requests: 1 };
            self.tally(skips, able, &of, [place].into_iter(), budget);
        }
    }

    fn is_of(&self, place: Place, owners: &BTreeSet<UserId>) -> bool {
        self.requests.get(&place.request).is_some_and(|request| owners.contains(&request.accepted.owner))
    }

    /// Counts requests of one shape. They are read one by one if a rule asks for that, as far as the budget
    /// goes: those beyond it count as ones that such rules let pass.
    fn tally<'p>(
        &self,
        skips: &mut Skips,
        able: &Able<'_>,
        run: &Run<'_>,
        mut places: impl Iterator<Item = &'p Place>,
        budget: &mut Budget,
    ) {
        let mut read: Option<Vec<&Request>> = None;
        skips.add(able, run, |rule, left| {
            let read = read.get_or_insert_with(|| {
                let requests = places.by_ref().filter_map(|place| self.requests.get(&place.request));
                requests.take_while(|one| budget.may_look(&one.accepted.spec.prompt, able)).collect()
            });
            let before = read.len();
            read.retain(|request| {
                let pair = Pair::new(run.shape, self.asked(request), able);
                !(rule.forbids)(&pair)
            });
            left - (before - read.len())
        });
    }

    /// Counts forms, each by itself: the first of those that the worker is a candidate for.
    fn tally_forms(&self, skips: &mut Skips, able: &Able<'_>) {
        let lanes = self.queue.lanes_for(Kind::Alchemy, &able.facts.models).collect();
        let mut left = FORMS;
        for place in Walk::over(lanes).places().take(FORMS_IN) {
            let known = self.requests.get(&place.request);
            let (Some(request), Some(shape)) = (known, self.queue.shape_in_lanes(place.request)) else {
                continue;
            };
            let waiting = self.queue.forms_of(place.request);
            let forms: usize =
                waiting.filter(|(form, _)| able.facts.serves(form)).map(|(_, jobs)| jobs).sum();
            let pair = Pair::new(shape, self.asked(request), able);
            let (is_preferred, is_own) = (pair.is_preferred, pair.is_own);
            let run = Run { shape, is_preferred, is_own, requests: forms.min(left) };
            if skips.add(able, &run, |_, left| left) {
                left -= run.requests;
            }
            if left == 0 {
                return;
            }
        }
    }
}
