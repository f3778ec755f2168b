//! Workers: connect, describe themselves, vanish.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::{Engine, Step, uptime::Uptimes};
use crate::domain::{Timestamp, UserId, WorkerId, request::Kind, worker::Worker};

/// The workers, in memory.
#[derive(Default)]
pub(super) struct Fleet {
    workers: HashMap<WorkerId, Worker>,
    by_name: HashMap<String, WorkerId>,
    of_owner: HashMap<UserId, Crew>,
    by_model: HashMap<(Kind, Arc<str>), BTreeSet<WorkerId>>,
    by_kind: [BTreeSet<WorkerId>; Kind::COUNT],
    /// When each was last written, and its uptime then, in seconds.
    pub(super) stored: HashMap<WorkerId, (Timestamp, i64)>,
    /// Threads and mean speed of workers online, by kind; refreshed by the census.
    capacity: [(u64, f64); Kind::COUNT],
    /// How long each is there.
    pub(super) uptimes: Uptimes,
    /// Since when drops of each are counted, and how many there were before.
    pub(super) drops: HashMap<WorkerId, (Timestamp, i64)>,
}

/// The workers of an account.
#[derive(Default)]
pub(super) struct Crew {
    /// All of them.
    pub all: BTreeSet<WorkerId>,
    /// How many count against its limit: alchemists do not.
    pub counted: usize,
}

impl Fleet {
    /// The workers of an account, if it has any.
    pub fn crew(&self, owner: UserId) -> Option<&Crew> {
        self.of_owner.get(&owner)
    }

    pub fn get(&self, id: WorkerId) -> Option<&Worker> {
        self.workers.get(&id)
    }

    pub fn get_mut(&mut self, id: WorkerId) -> Option<&mut Worker> {
        self.workers.get_mut(&id)
    }

    /// A worker, and how long workers are there.
    pub fn with_uptimes(&mut self, id: WorkerId) -> (Option<&mut Worker>, &mut Uptimes) {
        (self.workers.get_mut(&id), &mut self.uptimes)
    }

    pub fn by_name(&self, name: &str) -> Option<&Worker> {
        self.by_name.get(name).and_then(|id| self.workers.get(id))
    }

    pub fn all(&self) -> impl Iterator<Item = &Worker> {
        self.workers.values()
    }

    /// Takes over a worker as Records have it.
    pub fn restore(&mut self, worker: Worker) {
        self.stored.insert(worker.id, (Timestamp::default(), worker.stats.uptime_seconds));
        self.insert(worker);
    }

    /// Takes over a worker as Records have it, beside what is known of it here and not written yet.
    pub fn learn(&mut self, mut worker: Worker) {
        if let Some(known) = self.workers.get(&worker.id) {
            let stored = self.stored.get(&worker.id).map_or(known.stats.uptime_seconds, |stored| stored.1);
            let unwritten = known.stats.uptime_seconds - stored;
            let written_at = self.stored.get(&worker.id).map_or(Timestamp::default(), |stored| stored.0);
            self.stored.insert(worker.id, (written_at, worker.stats.uptime_seconds));
            worker.stats.uptime_seconds += unwritten;
            worker.seen_at = worker.seen_at.max(known.seen_at);
            if worker.standing.suspicion.repeated > known.standing.suspicion.repeated {
                // Another broker counted its drops, and has drawn the consequences.
                self.drops.remove(&worker.id);
            }
            self.insert(worker);
        } else {
            self.restore(worker);
        }
    }

    /// Workers that were heard of since an instant.
    pub fn seen_since(&self, since: Timestamp) -> impl Iterator<Item = (WorkerId, Timestamp)> {
        self.workers.values().filter(move |worker| worker.seen_at > since).map(|w| (w.id, w.seen_at))
    }

    pub fn insert(&mut self, worker: Worker) {
        self.unlist(worker.id);
        let kind = worker.profile.kind();
        for model in &worker.profile.models {
            self.by_model.entry((kind, model.clone())).or_default().insert(worker.id);
        }
        self.by_kind[kind.index()].insert(worker.id);
        self.by_name.insert(worker.name.clone(), worker.id);
        let (id, owner) = (worker.id, worker.owner);
        match self.workers.insert(id, worker) {
            None => {
                let crew = self.of_owner.entry(owner).or_default();
                crew.all.insert(id);
                crew.counted += usize::from(kind != Kind::Alchemy);
            }
            Some(before) if self.by_name.get(&before.name) == Some(&id) => {
                if self.workers[&id].name != before.name {
                    self.by_name.remove(&before.name);
                }
            }
            Some(_) => {}
        }
    }

    pub(super) fn remove(&mut self, id: WorkerId) {
        self.unlist(id);
        self.stored.remove(&id);
        self.uptimes.forget(id);
        self.drops.remove(&id);
        let Some(worker) = self.workers.remove(&id) else { return };
        self.by_kind[worker.profile.kind().index()].remove(&id);
        // Another one may have the name by now.
        if self.by_name.get(&worker.name) == Some(&id) {
            self.by_name.remove(&worker.name);
        }
        if let Some(crew) = self.of_owner.get_mut(&worker.owner)
            && crew.all.remove(&id)
        {
            crew.counted -= usize::from(worker.profile.kind() != Kind::Alchemy);
        }
    }

    fn unlist(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get(&id) else { return };
        let kind = worker.profile.kind();
        for model in &worker.profile.models {
            if let Some(set) = self.by_model.get_mut(&(kind, model.clone())) {
                set.remove(&id);
                if set.is_empty() {
                    self.by_model.remove(&(kind, model.clone()));
                }
            }
        }
    }

    /// Workers that serve one of these models; none named: all of the kind.
    pub fn serving<'a>(&'a self, kind: Kind, models: &'a [Arc<str>]) -> impl Iterator<Item = &'a Worker> {
        let everyone = models.is_empty().then(|| self.by_kind[kind.index()].iter());
        let named =
            models.iter().filter_map(move |model| self.by_model.get(&(kind, model.clone()))).flatten();
        everyone.into_iter().flatten().chain(named).filter_map(|id| self.workers.get(id))
    }

    /// Threads of workers online, and their mean speed in things per second.
    pub fn capacity(&self, kind: Kind) -> (u64, f64) {
        self.capacity[kind.index()]
    }

    pub fn set_capacity(&mut self, kind: Kind, threads: u64, speed: f64) {
        self.capacity[kind.index()] = (threads, speed);
    }
}

impl Engine {
    /// A worker.
    pub fn worker(&self, id: WorkerId) -> Option<&Worker> {
        self.fleet.get(id)
    }

    /// A worker by its exact name.
    pub fn worker_by_name(&self, name: &str) -> Option<&Worker> {
        self.fleet.by_name(name)
    }

    /// All workers, in no order.
    pub fn workers(&self) -> impl Iterator<Item = &Worker> {
        self.fleet.all()
    }

    /// Workers that wait here, or were heard of here since an instant, and when.
    pub fn seen_since(&self, since: Timestamp, now: Timestamp) -> Vec<(WorkerId, Timestamp)> {
        let waiting = self.offers.workers().map(|worker| (worker, now));
        self.fleet.seen_since(since).chain(waiting).collect::<BTreeMap<_, _>>().into_iter().collect()
    }

    /// Whether a worker is online: heard of lately, or waiting here.
    pub fn is_online(&self, worker: &Worker, now: Timestamp) -> bool {
        worker.is_online(now) || self.offers.of_worker(worker.id).is_some()
    }

    /// Puts the worker that has the name, if there is one, in the place of one that Records refused.
    pub fn replace_worker(&mut self, step: &mut Step<'_>, refused: WorkerId, holder: Option<Worker>) {
        if let Some(offers) = self.offers.of_worker(refused).cloned() {
            for offer in offers {
                self.end_pop(step, offer);
            }
        }
        self.fleet.remove(refused);
        if let Some(holder) = holder {
            self.fleet.learn(holder);
        }
    }
}
