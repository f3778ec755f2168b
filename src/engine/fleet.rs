//! Workers: connect, describe themselves, vanish.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::{Engine, Step};
use crate::domain::{
    Error, Result, Timestamp, UserId, WorkerId,
    record::Record,
    request::Kind,
    user::Role,
    worker::{Profile, Worker, WorkerChange, WorkerStats},
};

/// How often the time a worker was last seen is written, at most, in seconds.
const SEEN_SECONDS: u64 = 60;

/// The workers, in memory.
#[derive(Default)]
pub(super) struct Fleet {
    workers: HashMap<WorkerId, Worker>,
    by_name: HashMap<String, WorkerId>,
    /// How many workers an account has.
    of_owner: HashMap<UserId, usize>,
    by_model: HashMap<(Kind, Arc<str>), BTreeSet<WorkerId>>,
    by_kind: [BTreeSet<WorkerId>; Kind::COUNT],
    /// When each was last written, and its uptime then, in seconds.
    stored: HashMap<WorkerId, (Timestamp, i64)>,
    /// Threads and mean speed of workers online, by kind; refreshed by the census.
    capacity: [(u64, f64); Kind::COUNT],
}

impl Fleet {
    pub fn get(&self, id: WorkerId) -> Option<&Worker> {
        self.workers.get(&id)
    }

    pub fn get_mut(&mut self, id: WorkerId) -> Option<&mut Worker> {
        self.workers.get_mut(&id)
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
        for kind in worker.profile.kinds() {
            for model in &*worker.profile.models_for(kind) {
                self.by_model.entry((kind, model.clone())).or_default().insert(worker.id);
            }
            self.by_kind[kind.index()].insert(worker.id);
        }
        self.by_name.insert(worker.name.clone(), worker.id);
        let owner = worker.owner;
        if self.workers.insert(worker.id, worker).is_none() {
            *self.of_owner.entry(owner).or_default() += 1;
        }
    }

    fn remove(&mut self, id: WorkerId) {
        self.unlist(id);
        self.stored.remove(&id);
        let Some(worker) = self.workers.remove(&id) else { return };
        self.by_name.remove(&worker.name);
        if let Some(count) = self.of_owner.get_mut(&worker.owner) {
            *count -= 1;
        }
    }

    fn unlist(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get(&id) else { return };
        for kind in worker.profile.kinds() {
            for model in &*worker.profile.models_for(kind) {
                if let Some(set) = self.by_model.get_mut(&(kind, model.clone())) {
                    set.remove(&id);
                    if set.is_empty() {
                        self.by_model.remove(&(kind, model.clone()));
                    }
                }
            }
            self.by_kind[kind.index()].remove(&id);
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

    /// Finds or makes the worker that pops, and takes over what it says of itself.
    ///
    /// # Errors
    /// Those of the contract's resolution order: InvalidAPIKey, DeletedUser, WorkerFlagged,
    /// AnonForbiddenWorker, PolymorphicNameConflict, TooManyWorkers, WrongCredentials, and
    /// [`Error::BadRequest`] when no model is left that may be served.
    pub(super) fn check_in(
        &mut self,
        step: &mut Step<'_>,
        caller: UserId,
        name: &str,
        profile: Profile,
    ) -> Result<WorkerId> {
        let user = self.accounts.get(caller).ok_or(Error::InvalidApiKey)?;
        if user.is(Role::Deleted) {
            return Err(Error::DeletedUser);
        }
        if user.is(Role::Flagged) {
            return Err(Error::WorkerFlagged);
        }
        if user.id == UserId::ANONYMOUS {
            return Err(Error::AnonForbiddenWorker);
        }
        if profile.models.is_empty() {
            return Err(Error::BadRequest(
                "unfortunately we cannot accept workers serving no model; name at least one".into(),
            ));
        }
        if let Some(known) = self.fleet.by_name(name) {
            if known.profile.listed_as() != profile.listed_as() {
                return Err(Error::PolymorphicNameConflict(name.to_owned()));
            }
            if known.owner != caller {
                return Err(Error::WrongCredentials);
            }
            let id = known.id;
            self.refresh(step, id, profile);
            return Ok(id);
        }
        let (limit, trusted) = (user.worker_limit(), user.is(Role::Trusted));
        let count = self.fleet.of_owner.get(&caller).copied().unwrap_or(0);
        if count > limit {
            return Err(Error::TooManyWorkers { count, limit, trusted });
        }
        let worker = Worker {
            id: WorkerId(step.dice.uuid()),
            name: name.to_owned(),
            owner: caller,
            created_at: step.now,
            seen_at: step.now,
            profile,
            maintenance: None,
            stats: WorkerStats::default(),
        };
        let id = worker.id;
        step.persist(Record::WorkerMade { worker: Arc::new(worker.clone()), limit, trusted });
        self.fleet.stored.insert(id, (step.now, 0));
        self.fleet.insert(worker);
        self.count_capacity_soon(step.now);
        Ok(id)
    }

    fn refresh(&mut self, step: &mut Step<'_>, id: WorkerId, profile: Profile) {
        let Some(worker) = self.fleet.get_mut(id) else { return };
        let was_online = worker.is_online(step.now);
        let online_seconds = if was_online { step.now.seconds_since(worker.seen_at) } else { 0 };
        worker.stats.uptime_seconds += online_seconds;
        let profile = profile.following(&worker.profile, worker.seen_at, step.now);
        worker.seen_at = step.now;
        let changed = worker.profile != profile;
        if changed {
            let updated = Worker { profile, ..worker.clone() };
            self.fleet.insert(updated);
        }
        let (stored_at, stored_uptime) = self.fleet.stored.get(&id).copied().unwrap_or_default();
        if changed || step.now.since(stored_at).as_secs() >= SEEN_SECONDS {
            let worker = self.fleet.workers[&id].clone();
            let uptime_seconds = worker.stats.uptime_seconds;
            self.fleet.stored.insert(id, (step.now, uptime_seconds));
            step.persist(Record::WorkerSaid(Arc::new(worker)));
            let change =
                WorkerChange { uptime_seconds: uptime_seconds - stored_uptime, ..WorkerChange::default() };
            if change != WorkerChange::default() {
                step.persist(Record::WorkerCounted { worker: id, change });
            }
        }
        if changed || !was_online {
            self.count_capacity_soon(step.now);
        }
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

    /// Notes that a worker was heard of.
    pub(super) fn seen(&mut self, now: Timestamp, id: WorkerId) {
        if let Some(worker) = self.fleet.get_mut(id) {
            let idle = now.seconds_since(worker.seen_at);
            if idle as u64 <= Worker::ONLINE_SECONDS {
                worker.stats.uptime_seconds += idle;
            }
            worker.seen_at = now;
        }
    }
}
