//! Workers: connect, describe themselves, vanish.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use super::{
    Engine, Step,
    matching::{Able, Facts},
};
use crate::domain::{
    Timestamp, UserId, WorkerId,
    models::ModelReference,
    price::ModelSizes,
    request::Kind,
    worker::{Worker, WorkerChange},
};

/// What Records have of a worker's time online, in seconds, and when they were last told something.
#[derive(Clone, Copy, Default)]
struct Written {
    at: Timestamp,
    uptime: i64,
    unpaid: i64,
}

impl Written {
    fn of(worker: &Worker, at: Timestamp) -> Self {
        Self { at, uptime: worker.stats.uptime_seconds, unpaid: worker.stats.unpaid_seconds }
    }
}

/// The workers, in memory.
pub(super) struct Fleet {
    models: Arc<dyn ModelSizes>,
    /// What is known of the models of each, by the kind of jobs that it runs.
    facts: HashMap<WorkerId, Vec<(Kind, Facts)>>,
    workers: HashMap<WorkerId, Worker>,
    by_name: HashMap<String, WorkerId>,
    of_owner: HashMap<UserId, Crew>,
    by_model: HashMap<(Kind, Arc<str>), BTreeSet<WorkerId>>,
    by_kind: [BTreeSet<WorkerId>; Kind::COUNT],
    /// When each was last written, and its time online then.
    stored: HashMap<WorkerId, Written>,
    /// Time online of each that makes no whole second yet.
    spare: HashMap<WorkerId, Duration>,
    /// When the clock looks at those that wait on streams.
    alarms: HashMap<WorkerId, Timestamp>,
    /// Threads of workers online and mean speed of deliveries, by kind; refreshed by the census.
    capacity: [(u64, f64); Kind::COUNT],
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

impl Default for Fleet {
    fn default() -> Self {
        Self::new(Arc::new(ModelReference::default()))
    }
}

impl Fleet {
    /// No workers yet, and what is known of models.
    pub fn new(models: Arc<dyn ModelSizes>) -> Self {
        Self {
            models,
            facts: HashMap::new(),
            workers: HashMap::new(),
            by_name: HashMap::new(),
            of_owner: HashMap::new(),
            by_model: HashMap::new(),
            by_kind: Default::default(),
            stored: HashMap::new(),
            spare: HashMap::new(),
            alarms: HashMap::new(),
            capacity: Default::default(),
            drops: HashMap::new(),
        }
    }

    /// Takes over another model reference.
    pub fn learn_models(&mut self, models: Arc<dyn ModelSizes>) {
        self.models = models;
        let facts = self.workers.values().map(|worker| (worker.id, self.facts_of(worker)));
        self.facts = facts.collect();
    }

    fn facts_of(&self, worker: &Worker) -> Vec<(Kind, Facts)> {
        let of = |kind| Some((kind, Facts::of(&worker.profile, kind, &*self.models)?));
        Kind::ALL.into_iter().filter_map(of).collect()
    }

    /// What is known of the models that a worker runs jobs of a kind with; `None`: it runs none.
    pub fn facts(&self, id: WorkerId, kind: Kind) -> Option<&Facts> {
        self.facts.get(&id)?.iter().find(|(of, _)| *of == kind).map(|(_, facts)| facts)
    }

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

    pub fn by_name(&self, name: &str) -> Option<&Worker> {
        self.by_name.get(name).and_then(|id| self.workers.get(id))
    }

    pub fn all(&self) -> impl Iterator<Item = &Worker> {
        self.workers.values()
    }

    /// Takes over a worker as Records have it.
    pub fn restore(&mut self, worker: Worker) {
        self.stored.insert(worker.id, Written::of(&worker, Timestamp::default()));
        self.insert(worker);
    }

    /// Takes over a worker as Records have it, beside what is known of it here and not written yet.
    pub fn learn(&mut self, mut worker: Worker) {
        if let Some(known) = self.workers.get(&worker.id) {
            let stored = self.stored.get(&worker.id).copied();
            let stored = stored.unwrap_or_else(|| Written::of(known, Timestamp::default()));
            let uptime = known.stats.uptime_seconds - stored.uptime;
            let unpaid = known.stats.unpaid_seconds - stored.unpaid;
            self.stored.insert(worker.id, Written::of(&worker, stored.at));
            worker.stats.uptime_seconds += uptime;
            worker.stats.unpaid_seconds += unpaid;
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

    /// Time online that Records do not have yet; they will.
    pub fn take_unwritten(&mut self, id: WorkerId) -> WorkerChange {
        let Some(worker) = self.workers.get(&id) else { return WorkerChange::default() };
        let stored = self.stored.entry(id).or_insert_with(|| Written::of(worker, Timestamp::default()));
        let change = WorkerChange {
            uptime_seconds: worker.stats.uptime_seconds - stored.uptime,
            unpaid_seconds: worker.stats.unpaid_seconds - stored.unpaid,
            ..WorkerChange::default()
        };
        *stored = Written::of(worker, stored.at);
        change
    }

    /// Seconds of time online that Records do not have yet.
    pub fn unwritten_seconds(&self, id: WorkerId) -> i64 {
        let written = self.stored.get(&id).map_or(0, |stored| stored.uptime);
        self.workers.get(&id).map_or(0, |worker| worker.stats.uptime_seconds - written)
    }

    /// A worker is written down: the time online that Records do not have yet, and now will.
    pub fn take_written(&mut self, id: WorkerId, now: Timestamp) -> WorkerChange {
        let change = self.take_unwritten(id);
        if let Some(stored) = self.stored.get_mut(&id) {
            stored.at = now;
        }
        change
    }

    /// When a worker was last written down.
    pub fn written_at(&self, id: WorkerId) -> Option<Timestamp> {
        self.stored.get(&id).map(|stored| stored.at)
    }

    /// Whole seconds of a span of time online; what is left over is kept for the next one.
    pub fn whole_seconds(&mut self, id: WorkerId, span: Duration) -> i64 {
        let spare = self.spare.entry(id).or_default();
        *spare += span;
        let seconds = spare.as_secs();
        *spare -= Duration::from_secs(seconds);
        i64::try_from(seconds).unwrap_or(i64::MAX)
    }

    /// Sets when the clock looks at a worker; whether it is not to do so anyway.
    pub fn set_alarm(&mut self, id: WorkerId, at: Timestamp) -> bool {
        let is_new = !self.alarms.contains_key(&id);
        if is_new {
            self.alarms.insert(id, at);
        }
        is_new
    }

    /// The clock looked at a worker.
    pub fn clear_alarm(&mut self, id: WorkerId, now: Timestamp) {
        if self.alarms.get(&id).is_some_and(|at| *at <= now) {
            self.alarms.remove(&id);
        }
    }

    /// Workers that were heard of since an instant.
    pub fn seen_since(&self, since: Timestamp) -> impl Iterator<Item = (WorkerId, Timestamp)> {
        self.workers.values().filter(move |worker| worker.seen_at > since).map(|w| (w.id, w.seen_at))
    }

    /// Takes in a worker that is new, and written down at this moment.
    pub fn begin(&mut self, worker: Worker, now: Timestamp) {
        self.stored.insert(worker.id, Written { at: now, ..Written::default() });
        self.insert(worker);
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
        self.facts.insert(worker.id, self.facts_of(&worker));
        let (id, owner, kind) = (worker.id, worker.owner, worker.profile.kind());
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
        self.facts.remove(&id);
        self.stored.remove(&id);
        self.drops.remove(&id);
        self.alarms.remove(&id);
        self.spare.remove(&id);
        let Some(worker) = self.workers.remove(&id) else { return };
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

    /// How many workers serve one of these models, those that serve several counted for each; none named:
    /// all of the kind.
    pub fn count_serving(&self, kind: Kind, models: &[Arc<str>]) -> usize {
        match models.is_empty() {
            true => self.by_kind[kind.index()].len(),
            false => {
                let named = models.iter().filter_map(|model| self.by_model.get(&(kind, model.clone())));
                named.map(BTreeSet::len).sum()
            }
        }
    }

    /// Threads of workers online, and the mean speed of all deliveries that are remembered, in things per second.
    pub fn capacity(&self, kind: Kind) -> (u64, f64) {
        self.capacity[kind.index()]
    }

    pub fn set_capacity(&mut self, kind: Kind, threads: u64, speed: f64) {
        self.capacity[kind.index()] = (threads, speed);
    }
}

impl Engine {
    /// A worker, as far as jobs of a kind go; `None`: it runs none of them.
    pub(super) fn able(&self, id: WorkerId, kind: Kind) -> Option<Able<'_>> {
        let (worker, facts) = (self.fleet.get(id)?, self.fleet.facts(id, kind)?);
        Able::new(worker, facts, kind, self.accounts.get(worker.owner), self.rules.matched_targeting)
    }

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

    /// Notes that a worker was heard of.
    pub(super) fn seen(&mut self, now: Timestamp, id: WorkerId) {
        self.accrue(now, id);
    }
}
