//! One lane: requests that a worker of a sort could take, in runs of one shape each.
//!
//! Who looks for a request walks several lanes at once, in the one order, and sees of each run the first
//! request only: what a worker may not take for its shape costs one look, however many there are of it.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap, HashMap, btree_set},
};

use super::{place::Place, shapes::ShapeId};

/// A lane.
#[derive(Default)]
pub struct Lane {
    runs: HashMap<ShapeId, BTreeSet<Place>>,
    /// The first of each run.
    heads: BTreeSet<(Place, ShapeId)>,
}

impl Lane {
    /// Puts a request in.
    pub fn insert(&mut self, place: Place, shape: ShapeId) {
        let run = self.runs.entry(shape).or_default();
        let before = run.first().copied();
        run.insert(place);
        if before.is_none_or(|first| place < first) {
            if let Some(first) = before {
                self.heads.remove(&(first, shape));
            }
            self.heads.insert((place, shape));
        }
    }

    /// Takes a request out.
    pub fn remove(&mut self, place: Place, shape: ShapeId) {
        let Some(run) = self.runs.get_mut(&shape) else { return };
        if run.first() == Some(&place) {
            self.heads.remove(&(place, shape));
            run.pop_first();
            self.heads.extend(run.first().map(|first| (*first, shape)));
        } else {
            run.remove(&place);
        }
        if run.is_empty() {
            self.runs.remove(&shape);
        }
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Its runs, in no order.
    pub fn runs(&self) -> impl Iterator<Item = (ShapeId, &BTreeSet<Place>)> {
        self.runs.iter().map(|(shape, run)| (*shape, run))
    }

    /// One of its runs.
    pub fn run(&self, shape: ShapeId) -> Option<&BTreeSet<Place>> {
        self.runs.get(&shape)
    }
}

#[cfg(test)]
impl Lane {
    /// The first of each run.
    pub fn heads_in_order(&self) -> Vec<Place> {
        self.heads.iter().map(|(place, _)| *place).collect()
    }
}

/// The next request of a run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Head {
    /// Whose turn it is.
    pub place: Place,
    /// Its run's shape.
    pub shape: ShapeId,
    /// Which of the lanes it was found in; a request that stands in several comes once.
    pub lane: usize,
}

/// A walk over lanes in order.
pub struct Walk<'a> {
    lanes: Vec<&'a Lane>,
    /// Of each lane: the first requests of runs that were not reached yet.
    heads: Vec<btree_set::Iter<'a, (Place, ShapeId)>>,
    /// The nearest requests: those from `heads` (true), and those after what was passed over.
    near: BinaryHeap<Reverse<(Head, bool)>>,
    last: Option<Place>,
}

impl<'a> Walk<'a> {
    /// Begins at the front.
    pub fn over(lanes: Vec<&'a Lane>) -> Self {
        let heads = lanes.iter().map(|lane| lane.heads.iter()).collect();
        let mut walk = Self { near: BinaryHeap::with_capacity(lanes.len()), lanes, heads, last: None };
        for lane in 0..walk.lanes.len() {
            walk.advance(lane);
        }
        walk
    }

    fn advance(&mut self, lane: usize) {
        if let Some((place, shape)) = self.heads[lane].next() {
            self.near.push(Reverse((Head { place: *place, shape: *shape, lane }, true)));
        }
    }

    /// The next request, unless it is in a run of which one came and that was not [passed](Walk::pass): such
    /// a run is left behind.
    pub fn step(&mut self) -> Option<Head> {
        loop {
            let Reverse((head, is_first)) = self.near.pop()?;
            if is_first {
                self.advance(head.lane);
            }
            if self.last == Some(head.place) {
                // It came from another lane, where its run goes on if it does: a run of one shape is the
                // same in all lanes. Those of various shapes are not.
                if head.shape == ShapeId::MIXED {
                    self.pass(head);
                }
                continue;
            }
            self.last = Some(head.place);
            return Some(head);
        }
    }

    /// Goes on with the next request of a run.
    pub fn pass(&mut self, head: Head) {
        use std::ops::Bound::{Excluded, Unbounded};
        let run = self.lanes[head.lane].run(head.shape);
        let next = run.and_then(|run| run.range((Excluded(head.place), Unbounded)).next());
        if let Some(place) = next {
            self.near.push(Reverse((Head { place: *place, ..head }, false)));
        }
    }

    /// Every request, in order.
    pub fn places(mut self) -> impl Iterator<Item = Place> {
        std::iter::from_fn(move || {
            let head = self.step()?;
            self.pass(head);
            Some(head.place)
        })
    }
}
