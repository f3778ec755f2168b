//! Lanes: who is next, and what position is that.
//!
//! A request stands in the lane of each model it names (or in the lane of those that name none) and in that
//! of its owner, for as long as a job of it waits. The order is total and fixed at acceptance: priority with
//! ageing, then creation, then ID. Ageing is alike for all (50 kudos for each 10 s), so it can be folded
//! into the key: a later request starts lower instead of the earlier ones rising.
//!
//! In a lane, requests of one [shape](Shape) make one run, which whoever looks for a request judges as a
//! whole: see `lanes`.

mod lanes;
mod place;
mod ranks;
mod shapes;

use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap, HashMap, btree_set},
    sync::Arc,
};

use super::matching::{Shape, Tally};
use crate::domain::{
    RequestId, UserId,
    models::ModelReference,
    price::ModelSizes,
    request::{Accepted, Kind, Params, Spec},
};

pub use lanes::{Head, Lane, Walk};
pub use place::Place;
pub use ranks::Rank;
pub use shapes::ShapeId;

use ranks::Ranks;
use shapes::Shapes;

/// What a request is in its lanes.
struct Standing {
    id: ShapeId,
    shape: Arc<Shape>,
}

/// The lanes of all kinds.
pub struct Queue {
    models: Arc<dyn ModelSizes>,
    shapes: Shapes,
    by_model: HashMap<(Kind, Option<Arc<str>>), Lane>,
    by_owner: HashMap<(Kind, UserId), Lane>,
    standing: HashMap<RequestId, Standing>,
    /// Figures of images, and of videos.
    tallies: [Tally; Kind::COUNT],
    all: [Ranks; Kind::COUNT],
    waiting: [usize; Kind::COUNT],
    waiting_by_owner: HashMap<(Kind, UserId), usize>,
    /// Of requests for alchemy: how many jobs wait for each form.
    forms: HashMap<RequestId, HashMap<Arc<str>, usize>>,
    /// Of the anonymous account: jobs of requests that name a model.
    anonymous_by_model: HashMap<(Kind, Arc<str>), usize>,
}

impl Default for Queue {
    fn default() -> Self {
        Self::new(Arc::new(ModelReference::default()))
    }
}

impl Queue {
    /// An empty queue, with what is known of models.
    pub fn new(models: Arc<dyn ModelSizes>) -> Self {
        Self {
            models,
            shapes: Shapes::new(shapes::MOST),
            by_model: HashMap::new(),
            by_owner: HashMap::new(),
            standing: HashMap::new(),
            tallies: Default::default(),
            all: Default::default(),
            waiting: Default::default(),
            waiting_by_owner: HashMap::new(),
            forms: HashMap::new(),
            anonymous_by_model: HashMap::new(),
        }
    }

    /// Takes over another model reference: what waits is looked at anew.
    pub fn learn_models<'a>(
        &mut self,
        models: Arc<dyn ModelSizes>,
        requests: impl Iterator<Item = (Place, &'a Accepted)>,
    ) {
        self.models = models;
        for (place, request) in requests {
            if self.standing.contains_key(&request.id) {
                self.leave_lanes(place, request);
                self.enter_lanes(place, request);
            }
        }
    }

    /// The shape of a request of which all is wanted that is asked for.
    pub fn shape_of(&self, spec: &Spec) -> Shape {
        Shape::of(spec, &*self.models)
    }

    /// Notes that these jobs of a request began to wait, or ceased to.
    ///
    /// Jobs of images and texts are all alike. Those of alchemy are not: the request stands in the lane of
    /// a form for as long as a job of that form waits.
    pub fn change_jobs(&mut self, place: Place, request: &Accepted, jobs: &[usize], begin: bool) {
        let (mut is_other, stood) = (false, self.standing.contains_key(&request.id));
        if let Params::Alchemy(alchemy) = &request.spec.params {
            for form in jobs.iter().filter_map(|job| alchemy.forms.get(*job)) {
                is_other |= self.change_form(request.id, &form.name, begin);
            }
        }
        let count = isize::try_from(jobs.len()).unwrap_or(isize::MAX);
        self.change(place, request, if begin { count } else { -count });
        if is_other && stood && self.standing.contains_key(&request.id) {
            self.leave_lanes(place, request);
            self.enter_lanes(place, request);
        }
    }

    /// Whether other forms than before wait now.
    fn change_form(&mut self, request: RequestId, form: &Arc<str>, begins: bool) -> bool {
        let forms = self.forms.entry(request).or_default();
        let waiting = forms.entry(form.clone()).or_default();
        *waiting = if begins { *waiting + 1 } else { waiting.saturating_sub(1) };
        let waiting = *waiting;
        if waiting == 0 {
            forms.remove(form);
            if forms.is_empty() {
                self.forms.remove(&request);
            }
        }
        waiting == usize::from(begins)
    }

    /// Notes that jobs of a request began (or ceased, if negative) to wait. It stands in its lanes for
    /// as long as there are any.
    pub fn change(&mut self, place: Place, request: &Accepted, change: isize) {
        let (kind, owner) = (request.spec.kind(), request.owner);
        let before = self.all[kind.index()].jobs(place);
        let jobs = before.saturating_add_signed(change);
        self.all[kind.index()].set(place, jobs, work(&request.spec, jobs));
        match (before, jobs) {
            (0, 1..) => self.enter_lanes(place, request),
            (1.., 0) => self.leave_lanes(place, request),
            _ => {}
        }
        let total = &mut self.waiting[kind.index()];
        *total = *total + jobs - before;
        let own = self.waiting_by_owner.entry((kind, owner)).or_default();
        *own = *own + jobs - before;
        if *own == 0 {
            self.waiting_by_owner.remove(&(kind, owner));
        }
        if owner == UserId::ANONYMOUS {
            for model in request.spec.models.iter().collect::<BTreeSet<_>>() {
                let named = self.anonymous_by_model.entry((kind, model.clone())).or_default();
                *named = *named + jobs - before;
                if *named == 0 {
                    self.anonymous_by_model.remove(&(kind, model.clone()));
                }
            }
        }
    }

    fn enter_lanes(&mut self, place: Place, request: &Accepted) {
        let kind = request.spec.kind();
        let mut shape = self.shape_of(&request.spec);
        if kind == Kind::Alchemy {
            let forms = self.forms.get(&request.id).into_iter().flatten();
            shape = shape.with_forms(forms.map(|(form, _)| form.clone()).collect());
        }
        let shape = Arc::new(shape);
        let id = self.shapes.take(&shape);
        // Those of one shape share it.
        let shape = self.shapes.get(id).cloned().unwrap_or(shape);
        self.tallies[kind.index()].change(&shape, 1);
        self.by_owner.entry((kind, request.owner)).or_default().insert(place, id);
        for lane in lanes_of(&shape) {
            self.by_model.entry((kind, lane)).or_default().insert(place, id);
        }
        self.standing.insert(request.id, Standing { id, shape });
    }

    fn leave_lanes(&mut self, place: Place, request: &Accepted) {
        let kind = request.spec.kind();
        let Some(Standing { id, shape }) = self.standing.remove(&request.id) else { return };
        self.shapes.leave(id);
        self.tallies[kind.index()].change(&shape, -1);
        take(&mut self.by_owner, (kind, request.owner), place, id);
        for lane in lanes_of(&shape) {
            take(&mut self.by_model, (kind, lane), place, id);
        }
    }

    /// Where a request stands among all of its kind; `None` if no job of it waits.
    pub fn rank(&self, kind: Kind, place: Place) -> Option<Rank> {
        self.all[kind.index()].rank(place)
    }

    /// Requests of a kind with waiting jobs.
    pub fn len(&self, kind: Kind) -> usize {
        self.all[kind.index()].len()
    }

    /// Jobs that wait.
    pub fn waiting(&self, kind: Kind) -> usize {
        self.waiting[kind.index()]
    }

    /// Jobs of an account that wait.
    pub fn waiting_of(&self, kind: Kind, owner: UserId) -> usize {
        self.waiting_by_owner.get(&(kind, owner)).copied().unwrap_or(0)
    }

    /// Anonymous jobs that wait for these models; those that name several of them count for each.
    pub fn anonymous(&self, kind: Kind, models: &[Arc<str>]) -> usize {
        let models: BTreeSet<_> = models.iter().collect();
        let named = models.into_iter().map(|model| self.anonymous_by_model.get(&(kind, model.clone())));
        named.flatten().sum()
    }

    /// Requests of a kind with waiting jobs, in order.
    pub fn all(&self, kind: Kind) -> impl Iterator<Item = Place> {
        self.all[kind.index()].places()
    }

    /// The request with waiting jobs that so many come before.
    pub fn nth(&self, kind: Kind, before: usize) -> Option<Place> {
        self.all[kind.index()].nth(before)
    }

    /// The shape of a run; `None`: its requests are of various shapes.
    pub fn shape(&self, id: ShapeId) -> Option<&Arc<Shape>> {
        self.shapes.get(id)
    }

    /// What a request that waits is in its lanes.
    pub fn shape_in_lanes(&self, request: RequestId) -> Option<&Arc<Shape>> {
        self.standing.get(&request).map(|standing| &standing.shape)
    }

    /// Forms of a request that wait, each with how many jobs do.
    pub fn forms_of(&self, request: RequestId) -> impl Iterator<Item = (&Arc<str>, usize)> {
        self.forms.get(&request).into_iter().flatten().map(|(form, jobs)| (form, *jobs))
    }

    /// Figures of the images or videos that wait.
    pub fn tally(&self, kind: Kind) -> &Tally {
        &self.tallies[kind.index()]
    }

    /// Lanes of requests that name one of these models, or none.
    pub fn lanes_for<'a>(&'a self, kind: Kind, models: &'a [Arc<str>]) -> impl Iterator<Item = &'a Lane> {
        let named = models.iter().map(|model| Some(model.clone()));
        named.chain([None]).filter_map(move |lane| self.by_model.get(&(kind, lane)))
    }

    /// The lane of an account's requests.
    pub fn lane_of(&self, kind: Kind, owner: UserId) -> Option<&Lane> {
        self.by_owner.get(&(kind, owner))
    }

    /// Requests of an account, in order.
    pub fn of_owner(&self, kind: Kind, owner: UserId) -> impl Iterator<Item = Place> {
        Walk::over(self.lane_of(kind, owner).into_iter().collect()).places()
    }
}

/// Work of so many jobs: hundredths of a million pixel-steps, each request rounded by itself, or tokens, or
/// forms.
///
/// Source: `queued_things` of the v2 contract.
fn work(spec: &Spec, jobs: usize) -> u64 {
    let things = (spec.things() as u64).saturating_mul(jobs as u64);
    match spec.kind() {
        Kind::Image | Kind::Video => {
            let (whole, rest) = (things / WORK_UNIT, things % WORK_UNIT);
            let is_up = rest > WORK_UNIT / 2 || (rest == WORK_UNIT / 2 && whole % 2 == 1);
            whole + u64::from(is_up)
        }
        Kind::Text | Kind::Alchemy => things,
    }
}

/// Pixel-steps in a unit of work.
const WORK_UNIT: u64 = 10_000;

/// How much work a unit is, in things.
pub fn things_per_unit(kind: Kind) -> f64 {
    match kind {
        Kind::Image | Kind::Video => WORK_UNIT as f64,
        Kind::Text | Kind::Alchemy => 1.0,
    }
}

fn lanes_of(shape: &Shape) -> Vec<Option<Arc<str>>> {
    match shape.models.as_slice() {
        // No form of it waits here.
        [] if shape.kind == Kind::Alchemy => Vec::new(),
        [] => vec![None],
        models => models.iter().cloned().map(Some).collect(),
    }
}

fn take<K: std::hash::Hash + Eq>(lanes: &mut HashMap<K, Lane>, key: K, place: Place, shape: ShapeId) {
    if let Some(lane) = lanes.get_mut(&key) {
        lane.remove(place, shape);
        if lane.is_empty() {
            lanes.remove(&key);
        }
    }
}

/// The items of sorted sets in one order, each once.
pub(super) fn merge<'a, T: Ord + Copy + 'a>(
    sets: impl Iterator<Item = &'a BTreeSet<T>>,
) -> impl Iterator<Item = T> + 'a {
    let mut runs: Vec<btree_set::Iter<'a, T>> = sets.map(BTreeSet::iter).collect();
    let mut heads: BinaryHeap<Reverse<(T, usize)>> = runs
        .iter_mut()
        .enumerate()
        .filter_map(|(i, run)| run.next().map(|head| Reverse((*head, i))))
        .collect();
    let mut last = None;
    std::iter::from_fn(move || {
        loop {
            let Reverse((item, run)) = heads.pop()?;
            if let Some(next) = runs[run].next() {
                heads.push(Reverse((*next, run)));
            }
            if last.replace(item) != Some(item) {
                return Some(item);
            }
        }
    })
}

#[cfg(test)]
impl Queue {
    /// An empty queue that tells so many shapes apart.
    pub fn telling_apart(most: usize, models: Arc<dyn ModelSizes>) -> Self {
        Self { shapes: Shapes::new(most), ..Self::new(models) }
    }
}

#[cfg(test)]
mod tests;
