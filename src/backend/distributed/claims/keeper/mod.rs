//! The task that tells Redis where jobs stand, and builds the live queue again when it is lost.

mod overdue;
mod telling;

use std::{collections::HashMap, sync::Arc, time::Duration};

use fred::{
    interfaces::{KeysInterface, StreamsInterface},
    types::Value,
};
use uuid::Uuid;

use super::{
    GROUP, Shared,
    audit::Audit,
    ledger::{Ledger, Step},
};
use crate::{
    backend::{
        Failure,
        distributed::{link::complain, scripts},
    },
    domain::{RequestId, request::Kind},
};

/// How often the generation is looked at, and what is due tried again.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often claims whose time is over are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// How often workers that hold nothing are forgotten, and after how long.
const FORGET_EVERY: Duration = Duration::from_secs(600);
const IDLE_FOR: Duration = Duration::from_secs(3600);
/// Jobs that may be due; past it the queue is built again.
const MAX_DUE: usize = 500_000;
/// How long a builder's word stands without the builder.
const BUILDING_FOR: Duration = Duration::from_secs(30);
/// How long a start waits for a live queue.
const BEGIN_WITHIN: Duration = Duration::from_secs(20);
/// How the word of a queue begins that is not whole yet.
const BUILDING: &str = "building ";

/// The task's own state.
pub(super) struct Keeper {
    shared: Arc<Shared>,
    ledger: Ledger,
    audit: Audit,
    /// Of each kind's queue: its word, and the run of the server that it was seen in.
    runs: HashMap<Kind, (Arc<str>, String)>,
    /// Requests that were cancelled or failed, of which others are still to be told.
    ended: Vec<(Kind, RequestId)>,
}

impl Keeper {
    pub fn new(shared: Arc<Shared>, ledger: Ledger) -> Self {
        Self { shared, ledger, audit: Audit::default(), runs: HashMap::new(), ended: Vec::new() }
    }

    /// Joins the live queue, or builds it if there is none and this broker leads.
    pub async fn begin(&mut self) -> Result<(), Failure> {
        let deadline = tokio::time::Instant::now() + BEGIN_WITHIN;
        loop {
            if let Some(word) = self.present().await? {
                // What Redis says of jobs is kept up by those who did something with them.
                self.ledger.take_due();
                self.audit.soon();
                *self.shared.generation.write() = Some(word.into());
                return Ok(());
            }
            if self.shared.leadership.is_leader() && self.build().await? {
                return Ok(());
            }
            if tokio::time::Instant::now() > deadline {
                return Err("no broker builds the queue in Redis".into());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The word of the live queue, if there is a whole one.
    async fn present(&self) -> Result<Option<String>, Failure> {
        let mut words = Vec::new();
        for kind in Kind::ALL {
            let keys = self.shared.link.lane_keys(kind);
            let word: Option<String> = self.shared.link.commands().get(keys[4].clone()).await?;
            words.push(word.filter(|word| !word.starts_with(BUILDING)));
        }
        let first = words.first().cloned().flatten();
        Ok(first.filter(|first| words.iter().all(|word| word.as_ref() == Some(first))))
    }

    /// Runs until it is aborted.
    pub async fn run(mut self) {
        let mut look = interval(LOOK_EVERY);
        let mut sweep = interval(SWEEP_EVERY);
        let mut forget = interval(FORGET_EVERY);
        loop {
            tokio::select! {
                () = self.shared.wake.notified() => {}
                _ = look.tick() => self.look().await,
                _ = sweep.tick() => self.sweep().await,
                _ = forget.tick() => self.forget_idle().await,
            }
            self.read_steps().await;
            let is_lost = self.shared.generation.read().is_none();
            if is_lost && self.shared.link.is_up() {
                if let Err(error) = self.recover().await {
                    tracing::warn!(%error, "the live queue is not there yet");
                    // Not at once again: what woke this may go on waking it.
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            } else if !is_lost {
                self.tell().await;
            }
            // Under the lock: what is added meanwhile is counted after this, not forgotten by it.
            let steps = self.shared.steps.lock();
            self.shared.owes.store(self.ledger.due_len() + steps.len(), std::sync::atomic::Ordering::Relaxed);
        }
    }

    /// Joins a live queue that somebody has built, or builds it if this broker leads.
    async fn recover(&mut self) -> Result<(), Failure> {
        if self.shared.is_broken.swap(false, std::sync::atomic::Ordering::Relaxed) {
            // Part of it is gone, though not its word: nobody may go on with it.
            for kind in Kind::ALL {
                let word = self.shared.link.lane_keys(kind)[4].clone();
                let _: () = self.shared.link.commands().del(word).await?;
            }
        }
        if let Some(word) = self.present().await? {
            tracing::info!("joins the live queue that another broker has built");
            // What was due before is in Records, from which it was built; who looks after what is not.
            self.ledger.own_due();
            *self.shared.generation.write() = Some(word.into());
            return Ok(());
        }
        if !self.shared.leadership.is_leader() {
            tokio::time::sleep(Duration::from_millis(100)).await;
            self.shared.wake.notify_one();
            return Ok(());
        }
        self.rebuild().await
    }

    /// Follows what was committed.
    async fn read_steps(&mut self) {
        let steps = std::mem::take(&mut *self.shared.steps.lock());
        let shared = self.shared.clone();
        for step in steps {
            if let Step::Over(request) = &step
                && let Some(kind) = self.ledger.request(*request).map(|request| request.spec.kind())
            {
                self.ended.push((kind, *request));
            }
            self.ledger.note(step, |attempt| shared.claimed.lock().remove(&attempt));
        }
        self.tell_ended().await;
        let has_overflown = shared.has_overflown.swap(false, std::sync::atomic::Ordering::Relaxed);
        if has_overflown || self.ledger.due_len() > MAX_DUE {
            self.ledger.take_due();
            shared.is_broken.store(true, std::sync::atomic::Ordering::Relaxed);
            shared.generation.write().take();
        }
    }

    /// Tells other brokers of requests that were cancelled, or failed.
    async fn tell_ended(&mut self) {
        if !self.shared.link.is_up() {
            return;
        }
        for (kind, request) in std::mem::take(&mut self.ended) {
            let link = &self.shared.link;
            let fields = vec![
                ("what", "ended".to_owned()),
                ("request", request.to_string()),
                ("broker", link.broker().to_owned()),
            ];
            let log = link.lane_keys(kind)[3].clone();
            let told: Result<Value, _> =
                link.commands().xadd(log, false, ("MAXLEN", "~", 50_000), "*", fields).await;
            if let Err(error) = told {
                complain(&error, "could not tell that a request has ended; later again");
                self.ended.push((kind, request));
            }
        }
    }

    /// Looks whether Redis still has what it was told. A flush breaks no connection.
    async fn look(&mut self) {
        let Some(generation) = self.shared.generation.read().clone() else { return };
        if !self.shared.link.is_up() {
            return;
        }
        for kind in Kind::ALL {
            let link = &self.shared.link;
            let Ok(seen) = link.run(&scripts::LOOK, link.lane_keys(kind), Vec::new()).await else { return };
            let seen: Vec<String> = seen.convert().unwrap_or_default();
            let [word, run] = &seen[..] else { return };
            let known = self.runs.insert(kind, (generation.clone(), run.clone()));
            // Of the same word, but of another run: it may have been set back.
            let is_set_back =
                known.is_some_and(|(of, before)| of == generation && before != *run && **word == *generation);
            if is_set_back {
                tracing::warn!("Redis was started again, and may be set back");
                self.shared.is_broken.store(true, std::sync::atomic::Ordering::Relaxed);
            }
            if is_set_back || **word != *generation {
                self.shared.lose(&generation);
                return;
            }
        }
        self.read_steps().await;
        if let Err(error) = self.take_back_refused().await {
            tracing::debug!(%error, "refused claims could not be taken back yet");
        }
    }

    /// Builds the queue again, from Records.
    async fn rebuild(&mut self) -> Result<(), Failure> {
        tracing::warn!("Redis lost the live queue; it is built again from the records");
        let shared = self.shared.clone();
        shared.claimed.lock().clear();
        // What is committed from here on comes after the snapshot or is in it; to hear it twice is no harm.
        shared.has_overflown.store(false, std::sync::atomic::Ordering::Relaxed);
        shared.steps.lock().clear();
        let snapshot = shared.records.load().await?;
        shared.know(&snapshot);
        let mut ledger = Ledger::of(&snapshot);
        ledger.succeed(&self.ledger);
        self.ledger = ledger;
        if self.build().await? {
            tracing::info!("the live queue is there again");
            // Others may have had to tell of what came after the snapshot, and join without doing so.
            self.audit.soon();
        }
        Ok(())
    }

    /// Empties the queue and fills it with all that is due. False if another broker is at it.
    async fn build(&mut self) -> Result<bool, Failure> {
        let shared = self.shared.clone();
        let word = Uuid::new_v4().simple().to_string();
        let mine = format!("{BUILDING}{} ", shared.link.broker());
        let building = format!("{mine}{word}");
        for kind in Kind::ALL {
            let keys = shared.link.lane_keys(kind);
            let present: Option<String> = shared.link.commands().get(keys[4].clone()).await?;
            let present = present.unwrap_or_default();
            if present.starts_with(BUILDING) && !present.starts_with(&mine) {
                return Ok(false);
            }
            let lapse = i64::try_from(BUILDING_FOR.as_millis()).unwrap_or(i64::MAX);
            if !self.take_word(kind, &present, &building, lapse, "empty").await? {
                return Ok(false);
            }
        }
        let chunks = self.due_chunks(true);
        let is_whole = self.tell_chunks(&building, chunks).await;
        if !is_whole {
            return Err("not all jobs could be told".into());
        }
        for kind in Kind::ALL {
            if !self.take_word(kind, &building, &word, 0, "").await? {
                return Ok(false);
            }
        }
        *shared.generation.write() = Some(word.into());
        Ok(true)
    }

    async fn take_word(
        &self,
        kind: Kind,
        from: &str,
        to: &str,
        lapse_ms: i64,
        mode: &'static str,
    ) -> Result<bool, Failure> {
        let link = &self.shared.link;
        let arguments = vec![from.into(), to.into(), lapse_ms.into(), GROUP.into(), mode.into()];
        let answer = link.run(&scripts::BEGIN, link.lane_keys(kind), arguments).await?;
        Ok(answer.as_i64() == Some(1))
    }

    /// Tells Redis what is due.
    async fn tell(&mut self) {
        if self.ledger.due_len() == 0 || !self.shared.link.is_up() {
            return;
        }
        let Some(generation) = self.shared.generation.read().clone() else { return };
        let chunks = self.due_chunks(false);
        self.tell_chunks(&generation, chunks).await;
    }

    /// Takes back claims whose time is over: for the leader.
    async fn sweep(&mut self) {
        let Some(generation) = self.shared.generation.read().clone() else { return };
        if !self.shared.link.is_up() || !self.shared.leadership.is_leader() {
            self.audit.stop();
            return;
        }
        self.read_steps().await;
        if let Err(error) = self.sweep_overdue(&generation).await {
            tracing::debug!(%error, "overdue claims could not be looked at");
        }
        if let Err(error) = self.audit.run(&self.shared, &mut self.ledger).await {
            tracing::debug!(%error, "the live queue could not be compared with the records");
        }
    }

    async fn forget_idle(&self) {
        let Some(generation) = self.shared.generation.read().clone() else { return };
        for kind in Kind::ALL {
            let link = &self.shared.link;
            let idle = i64::try_from(IDLE_FOR.as_millis()).unwrap_or(i64::MAX);
            let arguments = vec![Value::from(&*generation), GROUP.into(), idle.into()];
            if let Err(error) = link.run(&scripts::IDLE, link.lane_keys(kind), arguments).await {
                complain(&error, "idle workers could not be forgotten; later again");
            }
        }
    }
}

fn interval(every: Duration) -> tokio::time::Interval {
    let mut interval = tokio::time::interval(every);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    interval
}
