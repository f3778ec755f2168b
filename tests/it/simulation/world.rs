//! The world around the engine: time, who is in it, and what is under way.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use gridbroker::{
    domain::{AttemptId, OfferId, RequestId, Timestamp, event::Event, record::Record},
    engine::{Claim, ClaimId, Effect, Engine, Push},
};

use super::{
    clients::Client, dice::Chance, disk::Disk, history::History, model::Model, plan::Plan, things::Sizes,
    workers::Worker,
};

/// Where every run begins, in Unix ms.
pub(super) const BEGIN: i64 = 1_700_000_000_000;

/// Something that waits for the records before it.
pub enum Output {
    Answer(Answer),
    Tell(RequestId, Event),
    Deliver(OfferId, Push),
    Shelve(RequestId),
}

/// What whoever asked does with what it was told.
pub type Answer = Box<dyn FnOnce(&mut World)>;

#[derive(Default)]
pub(super) struct Batch {
    pub records: Vec<Record>,
    pub outputs: Vec<Output>,
}

/// Something that is going to happen.
pub enum Happening {
    Client(usize),
    Worker(usize),
    /// It is on its way whatever becomes of the broker.
    Answer(Answer),
    /// These belong to one life of the broker.
    Committed(u64),
    Claim(u64, ClaimId, bool),
    Closed(u64, OfferId),
    Arrival(u64, Seat, Push),
    Undelivered(u64, Vec<AttemptId>),
}

/// Who waits on an offer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seat {
    pub worker: usize,
    pub offer: OfferId,
    pub is_stream: bool,
}

pub struct World {
    pub plan: Plan,
    pub chance: Chance,
    pub(super) dice: Chance,
    /// True time since the beginning, in ms.
    pub now: i64,
    /// How far the broker's clock is off, in ms.
    skew: i64,
    /// Counts restarts of the broker.
    pub life: u64,
    pub events: u64,
    pub engine: Engine,
    pub(super) effects: Vec<Effect>,
    pub(super) gathering: Batch,
    pub(super) writing: Option<Batch>,
    agenda: BTreeMap<(i64, u64), Happening>,
    next: u64,
    pub desk: HashMap<OfferId, Seat>,
    /// Claims that are not answered yet.
    pub claims_out: HashMap<ClaimId, Claim>,
    pub model: Model,
    pub(super) disk: Option<Disk>,
    pub history: History,
    pub clients: Vec<Client>,
    pub workers: Vec<Worker>,
    /// Every request that was ever submitted.
    pub submitted: Vec<RequestId>,
    /// Those of them that may not be done.
    pub open: Vec<RequestId>,
    /// Requests that able workers must be able to finish once nothing goes wrong any more.
    pub must_be_done: Vec<RequestId>,
    pub is_draining: bool,
    /// The life of the broker in which somebody gives kudos now: others wait for their turn.
    pub giving: Option<u64>,
}

impl World {
    pub fn new(plan: Plan) -> Self {
        let mut chance = Chance::new(plan.seed ^ 0xC0FF_EE00);
        let mut world = Self {
            engine: Engine::new(plan.rules.clone(), Arc::new(Sizes)),
            dice: Chance::new(chance.next()),
            chance,
            now: 0,
            skew: 0,
            life: 0,
            events: 0,
            effects: Vec::new(),
            gathering: Batch::default(),
            writing: None,
            agenda: BTreeMap::new(),
            next: 0,
            desk: HashMap::new(),
            claims_out: HashMap::new(),
            model: Model::default(),
            disk: (!plan.keepers.is_empty()).then(|| Disk::open(plan.keepers)),
            history: History::default(),
            clients: Vec::new(),
            workers: Vec::new(),
            submitted: Vec::new(),
            open: Vec::new(),
            must_be_done: Vec::new(),
            is_draining: false,
            giving: None,
            plan,
        };
        super::clients::populate(&mut world);
        super::workers::populate(&mut world);
        // The accounts are there before anything can go wrong.
        while !world.is_settled() {
            world.committed();
        }
        world
    }

    /// The broker's clock.
    pub fn clock(&self) -> Timestamp {
        Timestamp(BEGIN + self.now + self.skew)
    }

    pub fn later(&mut self, delay: i64, happening: Happening) {
        self.next += 1;
        self.agenda.insert((self.now + delay.max(0), self.next), happening);
    }

    /// Lets everybody do as they please for a while.
    pub fn live(&mut self) {
        for count in 0..self.plan.happenings {
            if !self.turn() || self.history.is_broken() {
                break;
            }
            if count % 30 == 0 {
                super::checks::recount(self);
            }
            if self.chance.next() % 1000 < self.plan.crashes {
                self.crash();
            }
            if self.chance.next() % 1000 < self.plan.clock_jumps {
                let jump = self.chance.between(-120_000, 400_000);
                self.skew += jump;
                self.history.note(|| format!("clock jumps by {jump} ms"));
            }
        }
    }

    /// Able workers do what is left; nothing goes wrong any more. Then the books are checked.
    pub fn drain(&mut self) {
        self.is_draining = true;
        let end = self.now + 3 * 3600 * 1000;
        super::checks::note_what_must_be_done(self);
        super::workers::help(self);
        while self.now < end && !self.history.is_broken() && super::checks::is_busy(self) {
            for _ in 0..20 {
                self.turn();
            }
        }
        if !self.history.is_broken() {
            super::checks::audit(self);
            self.compare_disk();
            self.compare_tables();
        }
    }

    /// One thing happens; false if nothing ever will.
    fn turn(&mut self) -> bool {
        let Some((&(at, _), _)) = self.agenda.first_key_value() else { return false };
        if let Some(due) = self.engine.next_due().map(|due| due.0 - BEGIN - self.skew)
            && due <= at
        {
            let late = if self.plan.is_rough { self.chance.between(0, 20) } else { 0 };
            self.now = self.now.max(due + late).min(at.max(self.now));
            if due <= self.now {
                self.step(|engine, step| engine.tick(step));
                return true;
            }
        }
        let Some(((at, _), happening)) = self.agenda.pop_first() else { return false };
        self.now = self.now.max(at);
        self.events += 1;
        match happening {
            Happening::Client(i) => super::clients::turn(self, i),
            Happening::Worker(i) => super::workers::turn(self, i),
            Happening::Committed(life) if life == self.life => self.committed(),
            Happening::Claim(life, id, lost) if life == self.life => self.answer_claim(id, lost),
            Happening::Closed(life, offer) if life == self.life => self.close(offer),
            Happening::Undelivered(life, attempts) if life == self.life => self.undelivered(&attempts),
            Happening::Arrival(life, seat, push) => super::workers::arrival(self, life, seat, push),
            Happening::Answer(answer) => answer(self),
            _ => {}
        }
        true
    }
}
