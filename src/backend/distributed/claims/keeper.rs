//! The task that tells Redis where jobs stand, and builds the live queue again when it is lost.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use fred::{
    interfaces::{KeysInterface, StreamsInterface},
    types::Value,
};
use futures_util::future::join_all;
use uuid::Uuid;

use super::{
    GROUP, NOBODY, Shared,
    audit::Audit,
    claim_head, entry, job_name,
    ledger::{Due, JobId, Ledger, Stand, Step},
    parse_job_name, push_claim,
};
use crate::{
    backend::{
        Failure,
        distributed::{link::complain, scripts},
    },
    domain::{AttemptId, RequestId, news::News, record::StoredRequest, request::Kind},
};

/// How often the generation is looked at, and what is due tried again.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often claims whose time is over are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// How often workers that hold nothing are forgotten, and after how long.
const FORGET_EVERY: Duration = Duration::from_secs(600);
const IDLE_FOR: Duration = Duration::from_secs(3600);
/// How long past its end a claim is left alone: who holds it ends it in Records first.
const OVERDUE_FOR: Duration = Duration::from_secs(10);
/// How much longer a claim that Records still hold counts from when it was found overdue.
const HELD_ON: Duration = Duration::from_secs(30);
/// Jobs told in one script. Redis does nothing else meanwhile.
const CHUNK: usize = 64;
/// Jobs that may be due; past it the queue is built again.
const MAX_DUE: usize = 500_000;
/// Scripts on their way at a time. The last must be answered within a command's time-out.
const SIDE_BY_SIDE: usize = 32;
/// How long a builder's word stands without the builder.
const BUILDING_FOR: Duration = Duration::from_secs(30);
/// How long a start waits for a live queue.
const BEGIN_WITHIN: Duration = Duration::from_secs(20);
/// How the word of a queue begins that is not whole yet.
const BUILDING: &str = "building ";
/// Jobs found overdue in one go.
const SWEEP_MOST: i64 = 256;

/// Jobs of a kind that are told in one script, and in which.
struct Chunk {
    kind: Kind,
    telling: Telling,
    jobs: Vec<(JobId, Due)>,
}

/// What Redis is told of a job.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Telling {
    /// It is over.
    Over,
    /// A worker of this broker holds it.
    Held,
    /// A worker holds it, and nobody knows yet of which broker.
    HeldBySomebody,
    /// Who holds it does so for longer.
    Longer,
    /// It waits.
    Waiting,
}

/// The task's own state.
pub(super) struct Keeper {
    shared: Arc<Shared>,
    ledger: Ledger,
    audit: Audit,
    /// Requests that were cancelled or failed, of which others are still to be told.
    ended: Vec<(Kind, RequestId)>,
}

impl Keeper {
    pub fn new(shared: Arc<Shared>, ledger: Ledger) -> Self {
        Self { shared, ledger, audit: Audit::default(), ended: Vec::new() }
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
        let has_overflown = shared.has_overflown.load(std::sync::atomic::Ordering::Relaxed);
        if has_overflown || self.ledger.due_len() > MAX_DUE {
            self.ledger.take_due();
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
            let keys = self.shared.link.lane_keys(kind);
            let present: Result<Option<String>, _> = self.shared.link.commands().get(keys[4].clone()).await;
            if present.is_ok_and(|word| word.as_deref() != Some(&generation)) {
                self.shared.lose(&generation);
                return;
            }
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

    /// Takes what is due, in parts that can be told side by side: they are about different jobs.
    ///
    /// Of what other brokers look after nothing is told, but when the queue is built.
    fn due_chunks(&mut self, is_building: bool) -> Vec<Chunk> {
        let mut sorted = BTreeMap::<_, Vec<_>>::new();
        for (job, (kind, due)) in self.ledger.take_due() {
            let telling = match (self.ledger.stand(job), due) {
                (Stand::Over, _) => Telling::Over,
                (Stand::Held(attempt), due) if self.ledger.is_own(attempt.id) => match due {
                    Due::Stand => Telling::Held,
                    Due::Lease => Telling::Longer,
                },
                (Stand::Held(_), _) if is_building => Telling::HeldBySomebody,
                (Stand::Held(_) | Stand::Away(_), _) => continue,
                (Stand::Waiting { .. }, _) => Telling::Waiting,
            };
            sorted.entry((telling, kind)).or_default().push((job, due));
        }
        let mut chunks = Vec::new();
        for ((telling, kind), jobs) in sorted {
            chunks.extend(jobs.chunks(CHUNK).map(|jobs| Chunk { kind, telling, jobs: jobs.to_vec() }));
        }
        chunks
    }

    /// Tells what is due; false if not all of it could be. That is due again then.
    async fn tell_chunks(&mut self, word: &str, chunks: Vec<Chunk>) -> bool {
        let mut is_whole = true;
        let mut chunks = chunks.into_iter().peekable();
        while chunks.peek().is_some() {
            let round: Vec<_> = chunks.by_ref().take(SIDE_BY_SIDE).collect();
            let answers = join_all(round.iter().map(|chunk| self.tell_chunk(word, chunk))).await;
            for (chunk, is_told) in round.into_iter().zip(answers) {
                if !is_told {
                    is_whole = false;
                    chunk.jobs.into_iter().for_each(|(job, due)| self.ledger.put_due(job, chunk.kind, due));
                }
            }
            if !is_whole {
                // Whatever it is, the rest would meet it too.
                for chunk in chunks.by_ref() {
                    chunk.jobs.into_iter().for_each(|(job, due)| self.ledger.put_due(job, chunk.kind, due));
                }
            }
        }
        is_whole
    }

    async fn tell_chunk(&self, word: &str, chunk: &Chunk) -> bool {
        let link = &self.shared.link;
        let arguments = self.arguments(word, chunk);
        let script = match chunk.telling {
            Telling::Over => &scripts::SETTLE,
            Telling::Held | Telling::HeldBySomebody => &scripts::CLAIM,
            Telling::Longer => &scripts::RENEW,
            Telling::Waiting => &scripts::ANNOUNCE,
        };
        let is_lost = match link.run(script, link.lane_keys(chunk.kind), arguments).await {
            Ok(answer) if answer.as_i64() != Some(-1) => return true,
            Ok(_) => true,
            Err(error) => {
                complain(&error, "Redis could not be told where jobs stand; later again");
                self.shared.note_loss(&error)
            }
        };
        if is_lost {
            self.shared.lose(word);
        }
        false
    }

    fn arguments(&self, word: &str, chunk: &Chunk) -> Vec<Value> {
        let (ledger, broker) = (&self.ledger, self.shared.link.broker());
        let now = self.shared.clock.now();
        let mut arguments: Vec<Value> = match chunk.telling {
            Telling::Held => claim_head(word, broker, "each"),
            Telling::HeldBySomebody => claim_head(word, NOBODY, "each"),
            Telling::Over | Telling::Waiting | Telling::Longer => {
                vec![word.into(), GROUP.into(), broker.into()]
            }
        };
        for ((request, job), _) in &chunk.jobs {
            let name = job_name(*request, *job);
            match ledger.stand((*request, *job)) {
                Stand::Over => arguments.push(name.into()),
                Stand::Away(_) => {}
                Stand::Held(attempt) if chunk.telling != Telling::Longer => {
                    let left = attempt.expires_at.since(now).as_millis();
                    push_claim(&mut arguments, *request, attempt, &ledger.name(attempt.worker), left);
                }
                Stand::Held(attempt) => {
                    let left = i64::try_from(attempt.expires_at.since(now).as_millis()).unwrap_or(i64::MAX);
                    let worker = ledger.name(attempt.worker);
                    arguments.extend([
                        name.into(),
                        attempt.id.to_string().into(),
                        left.into(),
                        Value::from(&*worker),
                    ]);
                }
                Stand::Waiting { number, returned, is_fault } => {
                    let Some(request) = ledger.request(*request) else { continue };
                    arguments.extend([
                        name.into(),
                        i64::from(*number).into(),
                        returned.map_or_else(|| "-".to_owned(), |attempt| attempt.to_string()).into(),
                        if *is_fault { "1" } else { "0" }.into(),
                        entry::order(request).into(),
                        request.created_at.0.into(),
                        request.owner.0.into(),
                        entry::needs(&request.spec).into(),
                    ]);
                }
            }
        }
        arguments
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

    async fn sweep_overdue(&mut self, generation: &str) -> Result<(), Failure> {
        for kind in Kind::ALL {
            let link = &self.shared.link;
            let over = i64::try_from(OVERDUE_FOR.as_millis()).unwrap_or(i64::MAX);
            let arguments = vec![Value::from(generation), over.into(), SWEEP_MOST.into()];
            let found = link.run(&scripts::OVERDUE, link.lane_keys(kind), arguments).await?;
            let found: Vec<String> = found.convert().unwrap_or_default();
            let pairs: Vec<_> = found
                .chunks_exact(2)
                .filter_map(|pair| Some((parse_job_name(&pair[0])?, AttemptId::parse(&pair[1]))))
                .collect();
            if pairs.is_empty() {
                continue;
            }
            let ids: BTreeSet<_> = pairs.iter().map(|((request, _), _)| *request).collect();
            let ids: Vec<_> = ids.into_iter().collect();
            let stored = self.shared.records.requests(&ids).await?;
            for (job, attempt) in pairs {
                let stored = stored.iter().find(|stored| stored.request.id == job.0);
                self.take_back(kind, job, attempt, stored);
            }
        }
        Ok(())
    }

    fn take_back(
        &mut self,
        kind: Kind,
        job: JobId,
        attempt: Option<AttemptId>,
        stored: Option<&StoredRequest>,
    ) {
        let now = self.shared.clock.now();
        let open = attempt.and_then(|id| stored?.open.iter().find(|open| open.id == id));
        match (open, attempt) {
            // Records have it open: its lease is longer than Redis was told, or nobody has ended it.
            (Some(open), Some(attempt)) => match open.expires_at.plus(OVERDUE_FOR) < now {
                true => self.shared.hear(News::Overdue { request: job.0, attempt }),
                false if self.ledger.is_own(attempt) => {
                    self.ledger.hold_on(job, kind, now.plus(HELD_ON));
                }
                false => {}
            },
            (_, Some(attempt)) => {
                tracing::info!("took a claim back that the records do not know");
                if let Some(stored) = stored {
                    self.ledger.correct(stored);
                }
                self.ledger.take_from(job, kind, attempt);
            }
            (_, None) => self.ledger.put_due(job, kind, Due::Stand),
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
