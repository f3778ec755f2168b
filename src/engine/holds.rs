//! Which attempts workers hold.

use std::collections::{BTreeSet, HashMap};

use super::Engine;
use crate::domain::{AttemptId, RequestId, WorkerId, request::Kind};

/// Open attempts, by worker, and how many there are of each kind.
#[derive(Default)]
pub(super) struct Holds {
    by_worker: HashMap<WorkerId, BTreeSet<AttemptId>>,
    by_kind: [usize; Kind::COUNT],
}

impl Holds {
    /// Notes that a worker holds an attempt.
    pub fn add(&mut self, kind: Kind, worker: WorkerId, id: AttemptId) {
        if self.by_worker.entry(worker).or_default().insert(id) {
            self.by_kind[kind.index()] += 1;
        }
    }

    /// Notes that an attempt of a worker is open no more.
    pub fn remove(&mut self, kind: Kind, worker: WorkerId, id: AttemptId) {
        let Some(held) = self.by_worker.get_mut(&worker) else { return };
        if held.remove(&id) {
            self.by_kind[kind.index()] -= 1;
        }
        if held.is_empty() {
            self.by_worker.remove(&worker);
        }
    }

    /// Open attempts of a kind.
    pub fn count(&self, kind: Kind) -> usize {
        self.by_kind[kind.index()]
    }
}

impl Engine {
    /// Open attempts of a worker.
    pub(super) fn open_attempts_of(&self, worker: WorkerId) -> Vec<(AttemptId, (RequestId, usize))> {
        let open = self.holds.by_worker.get(&worker).into_iter().flatten();
        open.filter_map(|id| self.places.get(id).map(|place| (*id, *place))).collect()
    }
}
