//! The task that owns the engine.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::atomic::Ordering,
    time::Duration,
};

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::sync::mpsc;

use super::{
    Desk, Host, Letter, Verb,
    batch::{Batch, Output, RefusedDeed, Written, commit},
    dice::SystemDice,
};
use crate::{
    backend::{ClaimAnswer, Failure, Verdict},
    domain::{Timestamp, news::News},
    engine::{Claim, ClaimId, Effect, Engine, Push, Step},
};

/// Letters that are read before effects are carried out; bounds the wait of the first.
const BURST: usize = 256;
/// How long the engine goes without being told the time, at most.
const TICK_EVERY: Duration = Duration::from_secs(5);
/// How long an unknown answer to a claim waits before it is asked again; doubled up to 32 times this.
const CLAIM_AGAIN: Duration = Duration::from_millis(50);
/// How long letters are still read once the broker stops, if they keep coming.
const FINISH_WITHIN: Duration = Duration::from_secs(5);
/// How often done requests whose time is over are swept out of the records.
const SWEEP_EVERY: Duration = Duration::from_secs(30);

type Commit = tokio::task::JoinHandle<Result<Written, Failure>>;

pub(super) struct Owner {
    host: Host,
    mailbox: mpsc::Receiver<Letter>,
    desk: Desk,
    dice: SystemDice,
    effects: Vec<Effect>,
    /// Claims to be asked for.
    claims: VecDeque<Claim>,
    /// Claims that are asked for. Those that are answered in order are heard in order.
    asking: FuturesUnordered<BoxFuture<'static, (ClaimId, bool)>>,
    gathering: Batch,
    /// The batch being written.
    writing: Option<Commit>,
    /// When the engine was last told the time.
    ticked_at: Timestamp,
    /// When objects that belong to nothing were last looked for.
    objects_swept_at: Timestamp,
}

impl Owner {
    pub fn new(host: Host, mailbox: mpsc::Receiver<Letter>) -> Self {
        let dice = SystemDice::new(host.shared.clock.clone());
        let desk = Desk::default();
        Self {
            host,
            mailbox,
            desk,
            dice,
            effects: Vec::new(),
            claims: VecDeque::new(),
            asking: FuturesUnordered::new(),
            gathering: Batch::default(),
            writing: None,
            ticked_at: Timestamp::default(),
            objects_swept_at: Timestamp::default(),
        }
    }

    /// Runs until the broker stops; then writes what is left.
    pub async fn run(mut self) -> Result<(), Failure> {
        let stopping = self.host.shared.stopping.clone();
        let mut letters = Vec::with_capacity(BURST);
        let mut sweep = tokio::time::interval(SWEEP_EVERY);
        sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            // Not only when the alarm rings: a mailbox that is never empty must not stop the clock.
            let now = self.host.now();
            if self.due() <= now {
                self.tick();
                self.write();
            }
            let alarm = tokio::time::sleep(self.due().since(now).min(TICK_EVERY));
            tokio::select! {
                biased;
                written = written(&mut self.writing) => self.release(written?),
                () = stopping.cancelled() => break,
                Some((id, is_ours)) = self.asking.next() => self.read(Letter::Claim { id, is_ours }),
                _ = sweep.tick() => self.sweep(),
                count = self.mailbox.recv_many(&mut letters, BURST) => {
                    if count == 0 {
                        break;
                    }
                    for letter in letters.drain(..) {
                        self.read(letter);
                    }
                }
                () = alarm => self.tick(),
            }
            self.write();
        }
        self.desk.close_all();
        self.finish().await
    }

    /// Writes what is left. Letters that come meanwhile are answered too: a result must not be lost
    /// because the broker happened to stop.
    async fn finish(mut self) -> Result<(), Failure> {
        let mut letters = Vec::new();
        let quiet = Duration::from_millis(200);
        let deadline = tokio::time::Instant::now() + FINISH_WITHIN;
        let mut is_closed = false;
        while !(is_closed && self.writing.is_none()) {
            tokio::select! {
                biased;
                written = written(&mut self.writing) => self.release(written?),
                () = tokio::time::sleep_until(deadline), if !is_closed => {
                    // What still comes is told that the broker is gone.
                    self.mailbox.close();
                    is_closed = true;
                    while let Ok(letter) = self.mailbox.try_recv() {
                        self.read(letter);
                    }
                }
                Some((id, is_ours)) = self.asking.next() => self.read(Letter::Claim { id, is_ours }),
                count = self.mailbox.recv_many(&mut letters, BURST), if !is_closed => {
                    is_closed = count == 0;
                    for letter in letters.drain(..) {
                        self.read(letter);
                    }
                }
                () = tokio::time::sleep(quiet), if self.writing.is_none() => break,
            }
            self.write();
        }
        Ok(())
    }

    fn read(&mut self, letter: Letter) {
        match letter {
            Letter::Act(verb) => self.act(verb),
            Letter::Undelivered(attempts) => self.step(|engine, step| engine.undelivered(step, &attempts)),
            Letter::Withdraw(offer) => {
                self.desk.close(offer);
                self.host.shared.engine.lock().withdraw(offer);
            }
            Letter::StreamClosed(offer) => {
                self.desk.close(offer);
                self.step(|engine, step| engine.close_stream(step, offer));
            }
            Letter::Claim { id, is_ours: true } => self.step(|engine, step| engine.claimed(step, id)),
            Letter::Claim { id, is_ours: false } => self.step(|engine, step| engine.lost(step, id)),
        }
    }

    /// When the engine is to be told the time next.
    fn due(&self) -> Timestamp {
        let latest = self.ticked_at.plus(TICK_EVERY);
        self.host.shared.engine.lock().next_due().map_or(latest, |due| due.min(latest))
    }

    fn tick(&mut self) {
        self.ticked_at = self.host.now();
        self.step(|engine, step| engine.tick(step));
        self.count();
    }

    fn count(&self) {
        let engine = self.host.shared.engine.lock();
        for kind in crate::domain::request::Kind::ALL {
            let (waiting, held) = engine.depth(kind);
            metrics::gauge!("gridbroker_jobs_waiting", "kind" => kind.word()).set(waiting as f64);
            metrics::gauge!("gridbroker_jobs_held", "kind" => kind.word()).set(held as f64);
        }
        metrics::gauge!("gridbroker_offers_open").set(engine.open_offers() as f64);
    }

    fn act(&mut self, verb: Verb) {
        let release = self.perform(|engine, step, desk| verb(engine, step, desk));
        self.gather();
        let deeds = self.gathering.take_awaited();
        self.claim_all();
        self.gathering.put_release(deeds, release);
    }

    fn step(&mut self, verb: impl FnOnce(&mut Engine, &mut Step<'_>)) {
        self.perform(|engine, step, _| verb(engine, step));
        self.gather();
        self.claim_all();
    }

    /// Runs a verb. Whoever looks next knows whether they have to wait.
    fn perform<T>(&mut self, verb: impl FnOnce(&mut Engine, &mut Step<'_>, &mut Desk) -> T) -> T {
        let shared = self.host.shared.clone();
        let mut engine = shared.engine.lock();
        let mut step = Step { now: shared.clock.now(), dice: &mut self.dice, effects: &mut self.effects };
        let outcome = verb(&mut engine, &mut step, &mut self.desk);
        if self.effects.iter().any(|effect| matches!(effect, Effect::Persist(_))) {
            shared.is_stored.store(false, Ordering::Release);
        }
        outcome
    }

    /// Puts the effects of a verb where they wait for their records: a deed of its own.
    fn gather(&mut self) {
        let at = self.host.now();
        self.gathering.begin();
        for effect in self.effects.drain(..) {
            let output = match effect {
                Effect::Persist(record) => {
                    if self.host.is_shared() {
                        self.host.shared.unwritten.lock().add(&record);
                    }
                    self.gathering.add(record);
                    continue;
                }
                Effect::Cut => {
                    self.gathering.cut();
                    continue;
                }
                Effect::Apart => {
                    self.gathering.part();
                    continue;
                }
                Effect::Claim(claim) => {
                    self.claims.push_back(claim);
                    continue;
                }
                Effect::Murmur { request, event } => {
                    self.host.shared.backend.signals.append(request, at, event);
                    continue;
                }
                Effect::Tell { request, event } => Output::Tell { request, at, event },
                Effect::Deliver { offer, push } => Output::Deliver { offer, push },
                Effect::Shelve(request) => Output::Shelve(request),
                Effect::Reread(request) => Output::Reread(request),
                Effect::Delivered(made) => Output::Delivered(made),
                Effect::Forget { request, attempts } => {
                    let blobs = &*self.host.shared.backend.blobs;
                    Output::Forget { request, objects: super::objects::names(blobs, request, &attempts) }
                }
            };
            self.gathering.put(output);
        }
    }

    /// Asks for the claims of a verb, and for those that follow from their answers.
    fn claim_all(&mut self) {
        while let Some(claim) = self.claims.pop_front() {
            self.claim(claim);
        }
    }

    /// Asks for a claim. A keeper that answers at once is heard at once, without a detour.
    fn claim(&mut self, claim: Claim) {
        let (id, host) = (claim.id, self.host.clone());
        let mut asking = Box::pin(async move { ask(&host, &claim).await });
        match asking.as_mut().now_or_never() {
            Some(true) => {
                self.perform(|engine, step, _| engine.claimed(step, id));
                self.gather();
            }
            Some(false) => self.host.post(Letter::Claim { id, is_ours: false }),
            None => self.asking.push(Box::pin(async move { (id, asking.await) })),
        }
    }

    /// Begins to write what has gathered, unless a batch is being written.
    fn write(&mut self) {
        if self.writing.is_some() {
            return;
        }
        let batch = std::mem::take(&mut self.gathering);
        if batch.deeds.is_empty() {
            self.host.shared.is_stored.store(true, Ordering::Release);
            let outputs = batch.outputs;
            self.release(Written { deeds: Vec::new(), verdicts: Vec::new(), outputs });
            return;
        }
        let records: usize = batch.deeds.iter().map(Vec::len).sum();
        metrics::histogram!("gridbroker_batch_records").record(records as f64);
        let host = self.host.clone();
        self.writing = Some(tokio::spawn(async move { commit(&host, batch).await }));
    }

    /// Does what waited for records that are on disk now. What rests on a refused deed is not done.
    fn release(&mut self, mut written: Written) {
        if self.host.is_shared() {
            self.host.shared.unwritten.lock().end(written.deeds.iter().flatten());
        }
        let outputs = std::mem::take(&mut written.outputs);
        let mut refused: BTreeMap<usize, RefusedDeed> = BTreeMap::new();
        for (place, verdict) in written.verdicts.iter().enumerate() {
            if let Verdict::Refused(refusal) = verdict {
                let records = std::mem::take(&mut written.deeds[place]);
                refused.insert(place, RefusedDeed { records, refusal: *refusal, releases: Vec::new() });
            }
        }
        for (deed, output) in outputs {
            let undone = output.rests_on(&deed).iter().find(|deed| refused.contains_key(deed)).copied();
            match undone.and_then(|deed| refused.get_mut(&deed)) {
                Some(refused) => match output {
                    Output::Release { release, .. } => refused.releases.push(release),
                    // Its worker asks again.
                    Output::Deliver { offer, push: Push::Grant(_) } => self.desk.fail_pop(offer),
                    _ => {}
                },
                None => self.carry_out(output),
            }
        }
        if !refused.is_empty() {
            let (host, refused) = (self.host.clone(), refused.into_values().collect());
            tokio::spawn(async move { host.repair(refused).await });
        }
    }

    fn carry_out(&mut self, output: Output) {
        let backend = &self.host.shared.backend;
        match output {
            Output::Release { release, .. } => release(Ok(())),
            Output::Tell { request, at, event } => backend.signals.append(request, at, event),
            Output::Deliver { offer, push } => self.desk.deliver(&self.host, offer, push),
            Output::Shelve(request) => backend.signals.shelve(request),
            Output::Forget { request, objects } => {
                backend.signals.forget(request);
                delete(&self.host, objects);
            }
            Output::Delivered(made) => backend.peers.tell(News::Delivered(made)),
            Output::Reread(request) => {
                let host = self.host.clone();
                tokio::spawn(async move { host.insist_on_reading(request).await });
            }
        }
    }

    fn sweep(&mut self) {
        if !self.host.shared.backend.leadership.is_leader() {
            return;
        }
        let (host, now) = (self.host.clone(), self.host.now());
        let with_objects = now.since(self.objects_swept_at) >= super::sweep::OBJECTS_EVERY;
        if with_objects {
            self.objects_swept_at = now;
        }
        tokio::spawn(async move {
            if let Err(error) = host.sweep(now, with_objects).await {
                tracing::warn!(%error, "could not sweep what is over");
            }
        });
    }
}

/// Asks until somebody knows whether the jobs are ours. Until then they are nobody's: to take "unknown"
/// for a yes would give a job to two workers.
async fn ask(host: &Host, claim: &Claim) -> bool {
    let mut wait = CLAIM_AGAIN;
    loop {
        match host.shared.backend.claims.claim(claim.request, claim.kind, &claim.attempts).await {
            ClaimAnswer::Claimed => return true,
            ClaimAnswer::Lost => return false,
            ClaimAnswer::Unknown => tokio::time::sleep(wait).await,
        }
        wait = (wait * 2).min(CLAIM_AGAIN * 32);
    }
}

/// The end of the batch being written; never, if there is none.
async fn written(writing: &mut Option<Commit>) -> Result<Written, Failure> {
    let Some(commit) = writing else { return std::future::pending().await };
    let outcome = commit.await.map_err(Failure::from).and_then(|outcome| outcome);
    *writing = None;
    outcome
}

/// Objects that are deleted at a time.
static DELETERS: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(16);

pub(super) fn delete(host: &Host, objects: Vec<String>) {
    if objects.is_empty() {
        return;
    }
    let blobs = host.shared.backend.blobs.clone();
    tokio::spawn(async move {
        for name in objects {
            let _turn = DELETERS.acquire().await;
            if let Err(error) = blobs.delete(&name).await {
                tracing::warn!(%error, "an object could not be deleted");
            }
        }
    });
}
