//! Carries effects out as the host does: records gather while a batch is being written, and what rests
//! on them waits. A crash takes all of that away.

use std::{collections::HashMap, sync::Arc};

use gridbroker::{
    domain::{AttemptId, OfferId, event::Event, record::Record, result::Product},
    engine::{Claim, ClaimId, Effect, Engine, Push, Step, View},
};

use super::{
    disk::Disk,
    plan::Bug,
    things::Sizes,
    world::{Answer, BEGIN, Batch, Happening, Output, Seat, World},
};

impl World {
    /// Runs a verb; `then` gets its answer once all before it is on disk, unless the broker crashes.
    /// What is returned is for the witness: nobody in the world knows it yet.
    pub fn act<T: Clone + 'static>(
        &mut self,
        verb: impl FnOnce(&mut Engine, &mut Step<'_>, &mut HashMap<OfferId, Seat>) -> T,
        then: impl FnOnce(&mut World, T) + 'static,
    ) -> T {
        let mut effects = std::mem::take(&mut self.effects);
        let now = self.clock();
        let mut step = Step { now, dice: &mut self.dice, effects: &mut effects };
        let answer = verb(&mut self.engine, &mut step, &mut self.desk);
        self.effects = effects;
        self.carry_out();
        let decided = answer.clone();
        let answer: Answer = Box::new(move |world| then(world, answer));
        match self.plan.bug {
            Bug::EarlyAnswers => self.later(0, Happening::Answer(answer)),
            _ => self.gathering.outputs.push(Output::Answer(answer)),
        }
        self.write();
        decided
    }

    pub fn step(&mut self, verb: impl FnOnce(&mut Engine, &mut Step<'_>)) {
        self.act(|engine, step, _| verb(engine, step), |_, ()| {});
    }

    fn carry_out(&mut self) {
        while !self.effects.is_empty() {
            for effect in std::mem::take(&mut self.effects) {
                self.events += 1;
                match effect {
                    Effect::Persist(record) => {
                        let now = self.clock();
                        self.history.note(|| format!("{} {record:?}", now.0 - BEGIN));
                        self.history.decided(&record, now);
                        self.gather(record);
                    }
                    Effect::Claim(claim) => self.claim(claim),
                    Effect::Murmur { request, event } => self.history.logged(request, &event),
                    Effect::Tell { request, event } => {
                        self.gathering.outputs.push(Output::Tell(request, event))
                    }
                    Effect::Deliver { offer, push } => {
                        if let Push::Grant(grant) = &push {
                            self.history.sent(&grant.attempts);
                        }
                        self.gathering.outputs.push(Output::Deliver(offer, push))
                    }
                    // Of a world with one broker.
                    Effect::Cut | Effect::Apart | Effect::Delivered(_) => {}
                    Effect::Reread(request) => panic!("{request} has no part at another broker"),
                    Effect::Shelve(request) | Effect::Forget { request, .. } => {
                        self.gathering.outputs.push(Output::Shelve(request));
                    }
                }
            }
        }
    }

    fn gather(&mut self, record: Record) {
        match (&record, self.plan.bug) {
            (Record::AttemptClosed { .. }, Bug::ReopenedAttempt) => return,
            (Record::Settled { .. }, Bug::DoubleSettlement) if self.chance.percent(20) => {
                self.gathering.records.push(record.clone());
            }
            _ => {}
        }
        self.gathering.records.push(record);
    }

    fn claim(&mut self, claim: Claim) {
        let (id, lost) = (claim.id, self.chance.percent(self.plan.lost_claims));
        self.claims_out.insert(id, claim);
        if self.plan.instant_claims && !lost {
            self.claims_out.remove(&id);
            let now = self.clock();
            let mut effects = Vec::new();
            self.engine.claimed(&mut Step { now, dice: &mut self.dice, effects: &mut effects }, id);
            self.effects.append(&mut effects);
        } else {
            let slow = self.chance.percent(10);
            let delay = self.chance.between(0, if slow { 8_000 } else { 50 });
            self.later(delay, Happening::Claim(self.life, id, lost));
        }
    }

    pub(super) fn answer_claim(&mut self, id: ClaimId, lost: bool) {
        self.claims_out.remove(&id);
        self.step(|engine, step| if lost { engine.lost(step, id) } else { engine.claimed(step, id) });
    }

    fn write(&mut self) {
        if self.writing.is_some() {
            return;
        }
        let batch = std::mem::take(&mut self.gathering);
        if batch.records.is_empty() {
            return self.release(batch.outputs);
        }
        self.writing = Some(batch);
        let slow = self.chance.percent(3);
        let delay = self.chance.between(1, if slow { 2_000 } else { 15 });
        self.later(delay, Happening::Committed(self.life));
    }

    pub(super) fn committed(&mut self) {
        let Some(batch) = self.writing.take() else { return };
        self.put_on_disk(&batch.records);
        self.release(batch.outputs);
        self.write();
    }

    fn put_on_disk(&mut self, records: &[Record]) {
        for complaint in self.model.commit(records) {
            self.history.complain(complaint);
        }
        if let Some(disk) = &self.disk {
            disk.commit(records);
        }
        for record in records {
            if let (Record::Posted(posting), Bug::DoublePosting) = (record, self.plan.bug)
                && self.chance.percent(5)
            {
                self.model.shift(posting.from, -posting.amount);
                self.model.shift(posting.to, posting.amount);
            }
        }
    }

    fn release(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Answer(answer) => {
                    let delay = self.chance.between(0, 30);
                    self.later(delay, Happening::Answer(answer));
                }
                Output::Tell(request, event) => self.history.logged(request, &event),
                Output::Shelve(request) => self.history.shelved(request),
                Output::Deliver(offer, push) => super::workers::deliver(self, offer, push),
            }
        }
    }

    /// The engine is told that an offer's reader is gone.
    pub(super) fn close(&mut self, offer: OfferId) {
        let Some(seat) = self.desk.remove(&offer) else { return };
        match seat.is_stream {
            true => {
                if let Some(id) = self.workers[seat.worker].id {
                    self.history.cut(id);
                }
                self.step(|engine, step| engine.close_stream(step, offer));
            }
            false => self.step(|engine, _| engine.withdraw(offer)),
        }
    }

    /// Pushes that found nobody: the jobs in them go back.
    pub fn undelivered(&mut self, attempts: &[AttemptId]) {
        attempts.iter().for_each(|id| self.history.given_up(*id));
        self.step(|engine, step| engine.undelivered(step, attempts));
    }

    /// All that is not on disk vanishes, and a new broker starts from what is.
    pub(super) fn crash(&mut self) {
        let batch = self.writing.take();
        if let Some(batch) = batch.filter(|_| self.chance.percent(50)) {
            // Written in full, but nobody was told.
            self.put_on_disk(&batch.records);
        }
        self.history.note(|| "CRASH".into());
        self.life += 1;
        (self.gathering, self.effects) = (Batch::default(), Vec::new());
        self.open.clone_from(&self.submitted);
        self.desk.clear();
        self.claims_out.clear();
        self.compare_disk();
        let mut snapshot = match &self.disk {
            Some(disk) => disk.load(),
            None => self.model.snapshot(),
        };
        if self.plan.bug == Bug::ForgetfulRestore {
            snapshot.requests.iter_mut().for_each(|stored| stored.open.clear());
        }
        let ids: Vec<_> = snapshot.requests.iter().map(|stored| stored.request.id).collect();
        let model = &self.model;
        self.history.crashed(|attempt| model.stored_expiry(attempt));
        self.engine = Engine::new(self.plan.rules.clone(), Arc::new(Sizes));
        let now = self.clock();
        self.engine.restore(now, snapshot);
        let views: Vec<_> = ids.iter().filter_map(|id| self.engine.view(*id, now)).collect();
        for view in views {
            self.retell(&view);
        }
    }

    /// Begins a request's log again, as the host does after a start.
    fn retell(&mut self, view: &View) {
        for outcome in &view.outcomes {
            let (request, job, attempt) = (view.accepted.id, outcome.job, outcome.number);
            if let Product::Text(text) = &outcome.product {
                self.history.logged(request, &Event::Token { job, attempt, text: text.clone() });
            }
            self.history.logged(request, &Event::Result { job, attempt, outcome: outcome.clone() });
        }
    }

    pub(super) fn compare_disk(&mut self) {
        if let Some(disk) = &self.disk
            && let Some(difference) = disk.difference(&self.model.snapshot())
        {
            self.history.complain(difference);
        }
    }

    pub(super) fn compare_tables(&mut self) {
        if let Some(difference) = self.disk.as_ref().and_then(Disk::difference_of_tables) {
            self.history.complain(difference);
        }
    }

    /// Nothing waits to be written.
    pub fn is_settled(&self) -> bool {
        self.writing.is_none() && self.gathering.records.is_empty()
    }
}
