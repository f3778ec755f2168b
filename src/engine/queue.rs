//! Lanes: who is next, and what position is that.
//!
//! A request stands in the lane of each model it names (or in the lane of those that name none) for
//! as long as a job of it waits. The order is total and fixed at acceptance: priority with ageing,
//! then creation, then ID. Ageing is alike for all (50 kudos for each 10 s), so it can be folded
//! into the key: a later request starts lower instead of the earlier ones rising.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap, HashMap, btree_set},
    iter::Peekable,
    sync::Arc,
};

use super::ranks::{Rank, Ranks};
use crate::domain::{
    RequestId, Timestamp, UserId,
    request::{Accepted, Kind, Params},
};

/// A request's place: smaller comes first. Forms of alchemy do not age.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Place {
    lateness: i64,
    created_at: Timestamp,
    /// Whose place.
    pub request: RequestId,
}

impl Place {
    /// `50 × ⌊created_ms / 10 000⌋ − priority` (of alchemy `−priority`), then creation, then ID.
    pub fn of(request: &Accepted) -> Self {
        let ageing = match request.spec.kind() {
            Kind::Alchemy => 0,
            Kind::Image | Kind::Text | Kind::Video => 50 * request.created_at.0.div_euclid(10_000),
        };
        Self { lateness: ageing - request.priority, created_at: request.created_at, request: request.id }
    }
}

/// The lanes of all kinds.
#[derive(Default)]
pub struct Queue {
    by_model: HashMap<(Kind, Option<Arc<str>>), BTreeSet<Place>>,
    by_owner: HashMap<(Kind, UserId), BTreeSet<Place>>,
    all: [Ranks; Kind::COUNT],
    waiting: [usize; Kind::COUNT],
    waiting_by_owner: HashMap<(Kind, UserId), usize>,
    /// Of requests for alchemy: how many jobs wait for each form.
    forms: HashMap<(RequestId, Arc<str>), usize>,
    /// Of the anonymous account: jobs of requests that name a model.
    anonymous_by_model: HashMap<(Kind, Arc<str>), usize>,
}

impl Queue {
    /// Notes that these jobs of a request began to wait, or ceased to.
    ///
    /// Jobs of images and texts are all alike. Those of alchemy are not: the request stands in the lane of
    /// a form for as long as a job of that form waits.
    pub fn change_jobs(&mut self, place: Place, request: &Accepted, jobs: &[usize], begin: bool) {
        if let Params::Alchemy(alchemy) = &request.spec.params {
            for form in jobs.iter().filter_map(|job| alchemy.forms.get(*job)) {
                self.change_form(place, form.name.clone(), begin);
            }
        }
        let count = isize::try_from(jobs.len()).unwrap_or(isize::MAX);
        self.change(place, request, if begin { count } else { -count });
    }

    fn change_form(&mut self, place: Place, form: Arc<str>, begins: bool) {
        let (key, lane) = ((place.request, form.clone()), (Kind::Alchemy, Some(form)));
        let waiting = self.forms.entry(key.clone()).or_default();
        *waiting = if begins { *waiting + 1 } else { waiting.saturating_sub(1) };
        match *waiting {
            0 => {
                self.forms.remove(&key);
                take(&mut self.by_model, lane, place);
            }
            1 => drop(self.by_model.entry(lane).or_default().insert(place)),
            _ => {}
        }
    }

    /// Notes that jobs of a request began (or ceased, if negative) to wait. It stands in its lanes for
    /// as long as there are any.
    pub fn change(&mut self, place: Place, request: &Accepted, change: isize) {
        let (kind, owner) = (request.spec.kind(), request.owner);
        let before = self.all[kind.index()].jobs(place);
        let jobs = before.saturating_add_signed(change);
        self.all[kind.index()].set(place, jobs, request.spec.things());
        match (before, jobs) {
            (0, 1..) => self.insert(place, request),
            (1.., 0) => self.remove(place, request),
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

    fn insert(&mut self, place: Place, request: &Accepted) {
        let kind = request.spec.kind();
        self.by_owner.entry((kind, request.owner)).or_default().insert(place);
        for lane in lanes(request) {
            self.by_model.entry((kind, lane)).or_default().insert(place);
        }
    }

    fn remove(&mut self, place: Place, request: &Accepted) {
        let kind = request.spec.kind();
        take(&mut self.by_owner, (kind, request.owner), place);
        for lane in lanes(request) {
            take(&mut self.by_model, (kind, lane), place);
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

    /// Requests that name one of these models, or none, in order.
    pub fn for_models<'a>(&'a self, kind: Kind, models: &'a [Arc<str>]) -> impl Iterator<Item = Place> + 'a {
        let named = models.iter().map(|model| Some(model.clone()));
        merge(named.chain([None]).filter_map(move |lane| self.by_model.get(&(kind, lane))))
    }

    /// Requests of these accounts, in order.
    pub fn of_owners<'a>(&'a self, kind: Kind, owners: &'a [UserId]) -> impl Iterator<Item = Place> + 'a {
        merge(owners.iter().filter_map(move |owner| self.by_owner.get(&(kind, *owner))))
    }
}

fn lanes(request: &Accepted) -> Vec<Option<Arc<str>>> {
    match request.spec.models.as_slice() {
        // They depend on which jobs wait.
        _ if request.spec.kind() == Kind::Alchemy => Vec::new(),
        [] => vec![None],
        models => models.iter().cloned().map(Some).collect(),
    }
}

fn take<K: std::hash::Hash + Eq>(sets: &mut HashMap<K, BTreeSet<Place>>, key: K, place: Place) {
    if let Some(set) = sets.get_mut(&key) {
        set.remove(&place);
        if set.is_empty() {
            sets.remove(&key);
        }
    }
}

/// The items of sorted runs in one order. No two have one in common.
pub(super) fn in_order<T: Ord, I: Iterator<Item = T>>(
    runs: impl Iterator<Item = I>,
) -> impl Iterator<Item = T> {
    let mut runs: Vec<Peekable<I>> = runs.map(Iterator::peekable).collect();
    std::iter::from_fn(move || {
        let heads = runs.iter_mut().enumerate().filter_map(|(i, run)| Some((run.peek()?, i)));
        let (_, first) = heads.min()?;
        runs[first].next()
    })
}

/// The items of sorted sets in one order, each once.
pub(super) fn merge<'a, T: Ord + Copy + 'a>(
    sets: impl Iterator<Item = &'a BTreeSet<T>>,
) -> impl Iterator<Item = T> + 'a {
    let mut runs: Vec<Peekable<btree_set::Iter<'a, T>>> = sets.map(|set| set.iter().peekable()).collect();
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
pub(super) mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::{
        domain::request::Spec,
        engine::stage::{image_spec, text_spec},
    };

    pub fn place(lateness: i64, created_at: i64, id: i64) -> Place {
        let request = RequestId(Uuid::from_u128(id as u128));
        Place { lateness, created_at: Timestamp(created_at), request }
    }

    #[test]
    fn merged_sets_come_in_order_and_each_item_once() {
        let sets = [BTreeSet::from([1, 4, 9]), BTreeSet::from([2, 4]), BTreeSet::new()];
        assert_eq!(merge(sets.iter()).collect::<Vec<_>>(), [1, 2, 4, 9]);
    }

    #[test]
    fn runs_come_in_one_order() {
        let runs = [vec![1, 4, 9], vec![], vec![2, 3, 10]];
        assert_eq!(in_order(runs.into_iter().map(Vec::into_iter)).collect::<Vec<_>>(), [1, 2, 3, 4, 9, 10]);
    }

    fn accepted() -> impl Strategy<Value = Accepted> {
        let models = prop::sample::subsequence(vec!["a", "b", "c"], 0..=3);
        (0u128..40, 0i64..4, 0i64..100_000, -200i64..200, models, any::<bool>()).prop_map(
            |(id, owner, created, priority, models, is_image)| {
                let spec = if is_image { image_spec(1) } else { text_spec(1) };
                let models = models.into_iter().map(Arc::from).collect();
                Accepted {
                    id: RequestId(Uuid::from_u128(id)),
                    owner: UserId(owner),
                    created_at: Timestamp(created),
                    priority,
                    spec: Arc::new(Spec { models, ..spec }),
                }
            },
        )
    }

    proptest! {
        #[test]
        fn order_is_total_and_ages_by_fifty_each_ten_seconds(a in accepted(), b in accepted()) {
            let (first, second) = (Place::of(&a), Place::of(&b));
            let key = |r: &Accepted| (50 * (r.created_at.0 / 10_000) - r.priority, r.created_at, r.id);
            prop_assert_eq!(first.cmp(&second), key(&a).cmp(&key(&b)));
            prop_assert_eq!(first == second, key(&a) == key(&b));
            // However long both wait, who is ahead stays ahead: ageing is alike for all.
            let aged = |r: &Accepted, now: i64| r.priority + 50 * (now / 10_000 - r.created_at.0 / 10_000);
            for now in [100_000, 1_000_000] {
                if aged(&a, now) > aged(&b, now) {
                    prop_assert!(first < second);
                }
            }
        }

        #[test]
        fn lanes_give_what_a_plain_search_gives(
            changes in prop::collection::vec((accepted(), 0isize..4), 0..60),
            models in prop::sample::subsequence(vec!["a", "b", "c", "d"], 0..=4),
            owners in prop::sample::subsequence(vec![0i64, 1, 2, 3, 4], 0..=5),
        ) {
            let mut queue = Queue::default();
            let mut plain: HashMap<RequestId, (Accepted, isize)> = HashMap::new();
            for (request, jobs) in changes {
                let (known, waiting) = plain.entry(request.id).or_insert((request, 0));
                queue.change(Place::of(known), known, jobs - *waiting);
                *waiting = jobs;
            }
            plain.retain(|_, (_, waiting)| *waiting > 0);
            let models: Vec<Arc<str>> = models.into_iter().map(Arc::from).collect();
            let owners: Vec<_> = owners.into_iter().map(UserId).collect();
            let right = |fits: &dyn Fn(&Accepted) -> bool| -> Vec<Place> {
                let fitting = plain.values().filter(|(request, _)| fits(request));
                fitting.map(|(request, _)| Place::of(request)).collect::<BTreeSet<_>>().into_iter().collect()
            };
            for kind in Kind::ALL {
                let of_kind = |r: &Accepted| r.spec.kind() == kind;
                let is_served = |r: &Accepted| {
                    of_kind(r)
                        && (r.spec.models.is_empty() || r.spec.models.iter().any(|m| models.contains(m)))
                };
                prop_assert_eq!(queue.for_models(kind, &models).collect::<Vec<_>>(), right(&is_served));
                let is_theirs = |r: &Accepted| of_kind(r) && owners.contains(&r.owner);
                prop_assert_eq!(queue.of_owners(kind, &owners).collect::<Vec<_>>(), right(&is_theirs));
                let all = right(&of_kind);
                prop_assert_eq!(queue.all(kind).collect::<Vec<_>>(), all.clone());
                for (i, place) in all.iter().enumerate() {
                    prop_assert_eq!(queue.rank(kind, *place).map(|rank| rank.position), Some(i + 1));
                }
                for owner in (0..4).map(UserId) {
                    let own = plain.values().filter(|(r, _)| of_kind(r) && r.owner == owner);
                    let waiting: isize = own.map(|(_, waiting)| waiting).sum();
                    prop_assert_eq!(queue.waiting_of(kind, owner) as isize, waiting);
                }
                for model in ["a", "b", "c", "d"].map(Arc::from) {
                    let named = plain.values().filter(|(r, _)| {
                        of_kind(r) && r.owner == UserId::ANONYMOUS && r.spec.models.contains(&model)
                    });
                    let waiting: isize = named.map(|(_, waiting)| waiting).sum();
                    prop_assert_eq!(queue.anonymous(kind, &[model]) as isize, waiting);
                }
            }
        }
    }
}
