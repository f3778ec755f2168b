//! Event logs in Redis, for readers at any broker.
//!
//! ```text
//!  stream:<request>        the events, with IDs <epoch>-<seq>; also the channel on which appends are told
//!  {stream:<request>}:at   where the log stands: epoch, last number, who began it, whether it has ended,
//!                          how much of each broker's share is in it, attempt and bytes told of each job
//! ```
//!
//! Order is Redis' order. What a broker appends to a log is its *share*; it keeps it in memory until the
//! request is over ([`shares`]), as the embedded back end keeps the whole log. A task tells Redis what
//! is missing of each share ([`writer`]): events that come fast go in one call, and while Redis is away
//! nothing grows but the shares.
//!
//! **The rule of lost logs.** An append names the epoch that the broker knows, and adds nothing to a log
//! that is gone or another one: there would be a hole. The broker then begins the log again under a
//! higher epoch, with its whole share from its first event on. So does a reader who finds the log of a
//! request gone that is not over. Where nobody has a share any more, whoever wants to watch begins the
//! log from Records. A reader with a cursor of an earlier epoch gets nothing from `after`, and asks again.
//!
//! A log outlives the broker that began it: whoever takes its jobs over tells again what Records know,
//! and what was said before is not said twice.
//!
//! Reading waits for a wake-up: from this process's own appends, or over Pub/Sub from others'
//! ([`news`]). None is needed: a reader looks again by itself.

mod news;
mod shares;
mod writer;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use fred::{error::Error, types::Value};
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
    time::Instant,
};

use self::{
    news::News,
    shares::{Shares, Told},
};
use super::{Link, link::complain, scripts};
use crate::{
    backend::{Cursor, Failure, Signals},
    domain::{Clock, RequestId, Timestamp, event::Event},
};

/// How long a log is kept after its last append: longer than any request.
const KEPT_FOR: Duration = Duration::from_secs(2 * 3600);
/// How often a reader in wait looks by itself, at a log that others may write.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The same, at a log that only this broker has written so far.
const LOOK_AT_OWN_EVERY: Duration = Duration::from_secs(5);
/// How long a reader bears it that Redis is away.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long events that are not told yet are waited for when the broker ends.
const FLUSH_WITHIN: Duration = Duration::from_secs(3);
/// Events that are read in one go to find out what was told of an attempt.
const READ_AT_ONCE: usize = 1000;
/// How long who begins to read waits for a log that is being begun.
const BEGINNING: Duration = Duration::from_secs(5);

/// Event logs kept in Redis.
pub struct RedisSignals {
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

/// What the tasks and those who call share.
struct Shared {
    link: Arc<Link>,
    clock: Arc<dyn Clock>,
    shares: Mutex<Shares>,
    /// There is something for the writer.
    wake: Notify,
    /// Counts the writer's rounds.
    rounds: watch::Sender<u64>,
    news: News,
}

/// What a log in Redis says.
struct Reading {
    extent: Cursor,
    has_ended: bool,
    events: Vec<Arc<Event>>,
}

impl RedisSignals {
    /// Logs over this link. Must be called inside a runtime.
    pub fn new(link: Arc<Link>, clock: Arc<dyn Clock>) -> Self {
        let shared = Arc::new(Shared {
            link,
            clock,
            shares: Mutex::default(),
            wake: Notify::new(),
            rounds: watch::Sender::new(0),
            news: News::default(),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(writer::run(shared.clone()));
        tasks.spawn(news::follow(shared.clone()));
        Self { shared, _tasks: tasks }
    }
}

#[async_trait]
impl Signals for RedisSignals {
    fn append(&self, request: RequestId, at: Timestamp, event: Event) {
        self.shared.shares.lock().append(request, at, event);
        self.shared.wake.notify_one();
    }

    async fn begin(&self, request: RequestId, at: Timestamp, events: Vec<Event>) -> Result<(), Failure> {
        self.shared.shares.lock().begin(request, at, events);
        self.shared.wake.notify_one();
        Ok(())
    }

    async fn extent(&self, request: RequestId) -> Result<Option<Cursor>, Failure> {
        let until = Instant::now() + BEGINNING;
        loop {
            let mut rounds = self.shared.rounds.subscribe();
            let told = self.shared.shares.lock().told(request);
            if !matches!(told, Told::NotYet) {
                if let Some(reading) = self.shared.read(request, Cursor { epoch: 0, seq: 0 }, 0).await? {
                    // Another broker has begun it again.
                    if let Told::Under(epoch) = told
                        && epoch < reading.extent.epoch
                    {
                        self.shared.lost(request, epoch);
                    }
                    return Ok(Some(reading.extent));
                }
                let Told::Under(epoch) = told else { return Ok(None) };
                self.shared.lost(request, epoch);
            }
            let round = tokio::time::timeout_at(until, rounds.changed()).await;
            round.map_err(|_| "Redis does not take events at present")??;
        }
    }

    async fn after(
        &self,
        request: RequestId,
        cursor: Cursor,
        most: usize,
    ) -> Result<Vec<(Cursor, Arc<Event>)>, Failure> {
        let numbered = |events: Vec<Arc<Event>>| {
            let seqs = (1..).map(|i| Cursor { seq: cursor.seq + i, ..cursor });
            seqs.zip(events).collect::<Vec<_>>()
        };
        let mut ear = self.shared.news.listen(request);
        let mut failing_since = None;
        let mut is_first = true;
        loop {
            ear.mark_unchanged();
            let mut pause = LOOK_EVERY;
            let told = {
                let shares = self.shared.shares.lock();
                let own = shares.after(request, cursor, most);
                if !own.is_empty() {
                    return Ok(numbered(own));
                }
                if shares.is_sole(request, cursor) {
                    pause = LOOK_AT_OWN_EVERY;
                }
                shares.told(request)
            };
            match told {
                Told::Under(epoch) if epoch > cursor.epoch => return Ok(Vec::new()),
                // Another broker has begun the log again; what this one has to say goes there, too.
                Told::Under(epoch) if epoch < cursor.epoch => self.shared.lost(request, epoch),
                Told::NotYet => {
                    let since = *failing_since.get_or_insert_with(Instant::now);
                    if since.elapsed() > PATIENCE {
                        return Err("Redis does not take events".into());
                    }
                }
                // What this broker alone has written is in its share, so there is nothing to be read
                // before the first wake-up.
                Told::Under(_) if is_first && pause == LOOK_AT_OWN_EVERY => failing_since = None,
                Told::Under(_) | Told::Nothing => match self.shared.read(request, cursor, most).await {
                    Ok(Some(reading)) if reading.extent.epoch == cursor.epoch => {
                        failing_since = None;
                        if !reading.events.is_empty() {
                            return Ok(numbered(reading.events));
                        }
                        if reading.has_ended && cursor.seq >= reading.extent.seq {
                            return Ok(Vec::new());
                        }
                    }
                    Ok(Some(_)) => return Ok(Vec::new()),
                    Ok(None) => match told {
                        Told::Under(epoch) => self.shared.lost(request, epoch),
                        _ if matches!(self.shared.shares.lock().told(request), Told::Nothing) => {
                            return Ok(Vec::new());
                        }
                        _ => {}
                    },
                    Err(error) => {
                        let since = *failing_since.get_or_insert_with(Instant::now);
                        if since.elapsed() > PATIENCE {
                            return Err(error.into());
                        }
                        complain(&error, "a log could not be read; again in a moment");
                    }
                },
            }
            is_first = false;
            // A wake-up or not: the next look decides.
            let _ = tokio::time::timeout(pause, ear.changed()).await;
        }
    }

    async fn flush(&self) {
        let written = async {
            loop {
                let mut rounds = self.shared.rounds.subscribe();
                if !self.shared.shares.lock().has_due() {
                    return;
                }
                self.shared.wake.notify_one();
                if rounds.changed().await.is_err() {
                    return;
                }
            }
        };
        if tokio::time::timeout(FLUSH_WITHIN, written).await.is_err() {
            tracing::warn!("not all events could be told before the end");
        }
    }

    async fn take_over(
        &self,
        request: RequestId,
        at: Timestamp,
        job: usize,
        attempt: u32,
    ) -> Result<Option<String>, Failure> {
        let told = self.shared.take(request, job, attempt).await?;
        let text = told.clone().unwrap_or_default();
        self.shared.shares.lock().take_over(request, at, job, attempt, text);
        self.shared.wake.notify_one();
        Ok(told)
    }

    fn shelve(&self, request: RequestId) {
        self.shared.shares.lock().shelve(request);
    }

    fn forget(&self, request: RequestId) {
        self.shared.shares.lock().forget(request);
        self.shared.wake.notify_one();
    }
}

impl Shared {
    /// Reads a log after a cursor; `None` if there is none.
    async fn read(&self, request: RequestId, after: Cursor, most: usize) -> Result<Option<Reading>, Error> {
        let arguments: Vec<Value> = vec![
            after.epoch.to_string().into(),
            after.seq.to_string().into(),
            i64::try_from(most).unwrap_or(i64::MAX).into(),
        ];
        let answer = scripts::READ.run(self.link.logs(), self.link.log_keys(request), arguments).await?;
        let answer = answer.into_array();
        let number = |i: usize| answer.get(i).and_then(Value::as_i64).unwrap_or(0);
        if number(0) == 0 {
            return Ok(None);
        }
        let mut events = Vec::new();
        for value in answer.iter().skip(3) {
            let bytes = value.as_bytes().unwrap_or_default();
            let event = serde_json::from_slice(bytes);
            // Written by this program; by a later version of it, perhaps, which knows more.
            let event = event.map_err(|error| {
                Error::new(fred::error::ErrorKind::Parse, format!("an event cannot be read: {error}"))
            })?;
            events.push(Arc::new(event));
        }
        let extent = Cursor { epoch: number(0), seq: number(1).unsigned_abs() };
        Ok(Some(Reading { extent, has_ended: number(2) == 1, events }))
    }

    /// Takes over telling of an attempt, and reads the text that was told of it.
    async fn take(&self, request: RequestId, job: usize, attempt: u32) -> Result<Option<String>, Error> {
        let arguments: Vec<Value> = vec![
            self.link.broker().into(),
            i64::try_from(job).unwrap_or(i64::MAX).into(),
            i64::from(attempt).into(),
        ];
        let answer = scripts::TAKE.run(self.link.logs(), self.link.log_keys(request), arguments).await?;
        let answer = answer.into_array();
        let number = |i: usize| answer.get(i).and_then(Value::as_i64).unwrap_or(0);
        let (epoch, seq, bytes) = (number(0), number(1).unsigned_abs(), number(2));
        if epoch == 0 || bytes == 0 {
            return Ok(Some(String::new()));
        }
        let mut text = String::new();
        let mut cursor = Cursor { epoch, seq: 0 };
        while cursor.seq < seq {
            let reading = self.read(request, cursor, READ_AT_ONCE).await?;
            let events =
                reading.filter(|reading| reading.extent.epoch == epoch).map(|reading| reading.events);
            let Some(events) = events.filter(|events| !events.is_empty()) else { return Ok(None) };
            cursor.seq += events.len() as u64;
            for event in events {
                match &*event {
                    Event::Token { job: of, attempt: by, text: more } if *of == job => {
                        if *by != attempt {
                            text.clear();
                        } else {
                            text.push_str(more);
                        }
                    }
                    Event::Reset { job: of } if of.is_none_or(|of| of == job) => text.clear(),
                    _ => {}
                }
            }
        }
        Ok((text.len() as i64 == bytes).then_some(text))
    }

    /// Says that the log of a request under this epoch is gone: the writer begins it again.
    fn lost(&self, request: RequestId, epoch: i64) {
        self.shares.lock().lost(request, epoch, self.clock.now());
        self.wake.notify_one();
    }
}
