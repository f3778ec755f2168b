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

use crate::domain::{
    RequestId, Timestamp, UserId,
    request::{Accepted, Kind},
};

/// A request's place: smaller comes first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Place {
    lateness: i64,
    created_at: Timestamp,
    /// Whose place.
    pub request: RequestId,
}

impl Place {
    /// `50 × ⌊created_ms / 10 000⌋ − priority`, then creation, then ID.
    pub fn of(request: &Accepted) -> Self {
        Self {
            lateness: 50 * request.created_at.0.div_euclid(10_000) - request.priority,
            created_at: request.created_at,
            request: request.id,
        }
    }
}

/// The lanes of all kinds.
#[derive(Default)]
pub struct Queue {
    by_model: HashMap<(Kind, Option<Arc<str>>), BTreeSet<Place>>,
    by_owner: HashMap<(Kind, UserId), BTreeSet<Place>>,
    all: [BTreeSet<Place>; 2],
    waiting: [usize; 2],
    waiting_by_owner: HashMap<(Kind, UserId), usize>,
}

impl Queue {
    /// Puts a request, of which jobs wait, into its lanes.
    pub fn insert(&mut self, place: Place, request: &Accepted) {
        let kind = request.spec.kind();
        self.all[kind.index()].insert(place);
        self.by_owner.entry((kind, request.owner)).or_default().insert(place);
        for lane in lanes(request) {
            self.by_model.entry((kind, lane)).or_default().insert(place);
        }
    }

    /// Takes a request, of which no job waits any more, out of its lanes.
    pub fn remove(&mut self, place: Place, request: &Accepted) {
        let kind = request.spec.kind();
        self.all[kind.index()].remove(&place);
        take(&mut self.by_owner, (kind, request.owner), place);
        for lane in lanes(request) {
            take(&mut self.by_model, (kind, lane), place);
        }
    }

    /// Counts jobs that began (or ceased, if negative) to wait.
    pub fn count(&mut self, kind: Kind, owner: UserId, change: isize) {
        let total = &mut self.waiting[kind.index()];
        *total = total.saturating_add_signed(change);
        let own = self.waiting_by_owner.entry((kind, owner)).or_default();
        *own = own.saturating_add_signed(change);
        if *own == 0 {
            self.waiting_by_owner.remove(&(kind, owner));
        }
    }

    /// Jobs that wait.
    pub fn waiting(&self, kind: Kind) -> usize {
        self.waiting[kind.index()]
    }

    /// Jobs of an account that wait.
    pub fn waiting_of(&self, kind: Kind, owner: UserId) -> usize {
        self.waiting_by_owner.get(&(kind, owner)).copied().unwrap_or(0)
    }

    /// Requests of a kind with waiting jobs, in order.
    pub fn all(&self, kind: Kind) -> impl Iterator<Item = &Place> {
        self.all[kind.index()].iter()
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
mod tests {
    use super::*;

    #[test]
    fn merged_sets_come_in_order_and_each_item_once() {
        let sets = [BTreeSet::from([1, 4, 9]), BTreeSet::from([2, 4]), BTreeSet::new()];
        assert_eq!(merge(sets.iter()).collect::<Vec<_>>(), [1, 2, 4, 9]);
    }
}
