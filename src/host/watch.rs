//! Reading a request's events from any cursor on.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::Host;
use crate::{
    backend::Cursor,
    domain::{
        Error, RequestId, Result, Timestamp,
        event::{Event, Outlook},
        result::Product,
    },
    engine::View,
};

/// Events read from a log in one go.
const CHUNK: usize = 64;

/// How long a log may be quiet before Records are asked whether its request is done, and how long its end
/// may take once they say so. Longer than an end waits for results that others tell.
const QUIET: Duration = Duration::from_secs(3);
/// Of so many looks at a quiet log one asks Records although its request is going on here.
const SELDOM: u32 = 5;
/// How long a log that is there and yet not to be read is left alone.
const ABSENT: Duration = Duration::from_millis(50);
/// How often it is looked at what a request that waits has to expect, and one that does not wait.
const LOOK_EVERY: Duration = Duration::from_secs(2);
const GLANCE_EVERY: Duration = Duration::from_secs(10);
/// How much later it is looked again when there were too many looks.
const DELAY: Duration = Duration::from_millis(370);
/// Such looks that all readers together have in a second. Each takes some 100 us of everybody's time; whoever
/// gets none is told later.
const LOOKS: u32 = 200;

/// How often a log is begun again that is lost before anybody sees it.
const MOST_TRIES: u32 = 100;

/// Looks that were had in the present second.
#[derive(Default)]
pub(super) struct Looks(Mutex<(i64, u32)>);

impl Looks {
    fn may_look(&self, now: Timestamp) -> bool {
        let (second, mut had) = (now.0 / 1000, self.0.lock());
        if had.0 != second {
            *had = (second, 0);
        }
        had.1 += 1;
        had.1 <= LOOKS
    }
}

/// A reader of one request's events.
pub struct Watching {
    host: Host,
    request: RequestId,
    cursor: Cursor,
    ready: VecDeque<(Cursor, Arc<Event>)>,
    /// Whether the reader has been told anything, if only that the log was begun again.
    has_told: bool,
    /// Whether the reader came with all that the log had.
    is_waiting: bool,
    is_over: bool,
}

/// Looks again and again at what a request has to expect. Beside the reading of its log, so that neither
/// disturbs the other.
pub struct Expecting {
    host: Host,
    request: RequestId,
    expected: Mutex<Expected>,
}

/// What a reader was told that the request has to expect, and when that is looked at again.
struct Expected {
    outlook: Option<Outlook>,
    look_at: Instant,
}

impl Host {
    /// Watches a request from after a cursor on; without one, from the beginning. A cursor of an
    /// earlier log gets `reset` and the whole new log. `None`: the cursor is at the end already.
    ///
    /// # Errors
    /// [`Error::RequestNotFound`], [`Error::StoreUnavailable`].
    pub async fn watch(&self, request: RequestId, after: Option<Cursor>) -> Result<Option<Watching>> {
        let signals = &self.shared.backend.signals;
        let mut tries = 0;
        let extent = loop {
            if let Some(extent) = self.stored(signals.extent(request).await)? {
                break extent;
            }
            let view = self.view(request).await?;
            let outlook = self.glance(|engine, now| engine.outlook(request, now));
            self.stored(signals.begin(request, self.now(), retell(&view, outlook)).await)?;
            // It may be lost again before it is looked at; not for ever.
            if tries > MOST_TRIES {
                return Err(Error::StoreUnavailable { retry_after: super::RETRY_AFTER });
            }
            if tries > 0 {
                tokio::time::sleep(ABSENT).await;
            }
            tries += 1;
        };
        let begin = Cursor { epoch: extent.epoch, seq: 0 };
        let mut ready = VecDeque::new();
        let cursor = match after {
            None => begin,
            Some(cursor) if cursor.epoch == extent.epoch => cursor.min(extent),
            Some(_) => {
                ready.push_back((begin, Arc::new(Event::Reset { job: None })));
                begin
            }
        };
        if cursor == extent && cursor.seq > 0 {
            let before = Cursor { seq: cursor.seq - 1, ..cursor };
            let last = self.stored(signals.after(request, before, 1).await)?;
            if last.first().is_some_and(|(_, event)| event.is_last()) {
                return Ok(None);
            }
        }
        Ok(Some(Watching {
            host: self.clone(),
            request,
            cursor,
            ready,
            has_told: after.is_some(),
            is_waiting: cursor == extent,
            is_over: false,
        }))
    }

    /// Looks at what a request has to expect, from now on.
    pub fn expecting(&self, request: RequestId) -> Expecting {
        let expected = Mutex::new(Expected { outlook: None, look_at: Instant::now() + LOOK_EVERY });
        Expecting { host: self.clone(), request, expected }
    }
}

impl Watching {
    /// The next event; waits for it. `None` after the last.
    ///
    /// # Errors
    /// [`Error::RequestNotFound`] when the request's time is over, [`Error::Draining`] when the broker stops.
    pub async fn next(&mut self) -> Result<Option<(Cursor, Arc<Event>)>> {
        while !self.is_over && self.ready.is_empty() {
            let signals = self.host.shared.backend.signals.clone();
            let more = tokio::select! {
                more = signals.after(self.request, self.cursor, CHUNK) => self.host.stored(more)?,
                () = self.host.stopping().cancelled() => {
                    return Err(Error::Draining { retry_after: super::RETRY_AFTER });
                }
                () = self.outlives() => {
                    // Who should have told the end is no more: the log is begun again from Records.
                    signals.forget(self.request);
                    Vec::new()
                }
            };
            match more.is_empty() {
                true => self.resume().await?,
                false => self.ready.extend(more),
            }
        }
        Ok(self.take_ready())
    }

    /// Waits until the request has been done for a while, and nobody has told so. Never over if there are
    /// no other brokers: this one tells all that it does.
    async fn outlives(&self) {
        if !self.host.is_shared() {
            return std::future::pending().await;
        }
        for round in 1u32.. {
            // Readers who leave what is quiet and come back would never see the end of two such whiles.
            if round > 1 || !self.is_waiting {
                tokio::time::sleep(QUIET).await;
            }
            // What this broker knows to be going on need not be read each time.
            let is_going_on = self
                .host
                .glance(|engine, now| engine.view(self.request, now).is_some_and(|view| !view.is_over()));
            if is_going_on && !round.is_multiple_of(SELDOM) {
                continue;
            }
            if self.host.stored_view(self.request).await.is_ok_and(|view| view.is_over()) {
                return tokio::time::sleep(QUIET).await;
            }
        }
    }

    fn take_ready(&mut self) -> Option<(Cursor, Arc<Event>)> {
        let (cursor, event) = self.ready.pop_front()?;
        self.cursor = cursor;
        (self.has_told, self.is_waiting) = (true, false);
        self.is_over = event.is_last();
        Some((cursor, event))
    }

    /// Goes on when the log is gone: with the one that was begun since, or is begun now, as a reader
    /// would who comes back with this cursor.
    async fn resume(&mut self) -> Result<()> {
        // Who has been told nothing of this log need not be told that it was begun again.
        let told = self.has_told.then_some(self.cursor);
        match self.host.watch(self.request, told).await? {
            None => self.is_over = true,
            Some(again) if again.cursor.epoch != self.cursor.epoch => *self = again,
            // The same is there again, as after a short absence: what follows is still to come.
            Some(_) => tokio::time::sleep(ABSENT).await,
        }
        Ok(())
    }
}

impl Expecting {
    /// Notes what the reader was told.
    pub fn told(&self, event: &Event) {
        if let Event::Queued(outlook) = event {
            self.expected.lock().outlook = Some(*outlook);
        }
    }

    /// Waits until the request has to expect something else than the reader was told.
    pub async fn changes(&self) -> Outlook {
        loop {
            let look_at = self.expected.lock().look_at;
            tokio::time::sleep_until(look_at).await;
            if let Some(outlook) = self.look() {
                return outlook;
            }
        }
    }

    /// What the request has to expect, if that is not what the reader was told.
    fn look(&self) -> Option<Outlook> {
        let mut expected = self.expected.lock();
        let now = Instant::now();
        if !self.host.shared.looks.may_look(self.host.now()) {
            // Another time of the second than before, or the same ones would get none again.
            expected.look_at = now + LOOK_EVERY + DELAY;
            return None;
        }
        expected.look_at = now + LOOK_EVERY;
        let Some(outlook) = self.host.glance(|engine, now| engine.outlook(self.request, now)) else {
            expected.look_at = now + GLANCE_EVERY;
            return None;
        };
        if expected.outlook.is_some_and(|before| !outlook.differs_from(&before)) {
            return None;
        }
        expected.outlook = Some(outlook);
        Some(outlook)
    }
}

/// The events of a request of which only the state is known: after a restart, or from the records.
pub(super) fn retell(view: &View, outlook: Option<Outlook>) -> Vec<Event> {
    let mut events: Vec<_> = outlook.map(Event::Queued).into_iter().collect();
    for outcome in &view.outcomes {
        if let Product::Text(text) = &outcome.product
            && !text.is_empty()
        {
            events.push(Event::Token { job: outcome.job, attempt: outcome.number, text: text.clone() });
        }
        events.push(Event::Result { job: outcome.job, attempt: outcome.number, outcome: outcome.clone() });
    }
    if view.faulted {
        events.push(Event::Faulted { message: "the request failed".into() });
    }
    if view.cancelled {
        events.push(Event::Cancelled);
    }
    if view.is_over() {
        events.push(Event::Done { finished: view.finished, kudos: view.consumed });
    }
    events
}
