//! Reading a request's events from any cursor on.

use std::{collections::VecDeque, sync::Arc};

use super::Host;
use crate::{
    backend::Cursor,
    domain::{Error, RequestId, Result, event::Event, result::Product},
    engine::View,
};

/// Events read from a log in one go.
const CHUNK: usize = 64;

/// How long a log may be quiet before Records are asked whether its request is done, and how long its end
/// may take once they say so. Longer than an end waits for results that others tell.
const QUIET: std::time::Duration = std::time::Duration::from_secs(3);
/// Of so many looks at a quiet log one asks Records although its request is going on here.
const SELDOM: u32 = 5;
/// How long a log that is there and yet not to be read is left alone.
const ABSENT: std::time::Duration = std::time::Duration::from_millis(50);

/// How often a log is begun again that is lost before anybody sees it.
const MOST_TRIES: u32 = 100;

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
            self.stored(signals.begin(request, self.now(), retell(&view)).await)?;
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
            let is_going_on =
                self.host.glance(|engine, now| engine.view(self.request, now).is_some_and(|view| !view.done));
            if is_going_on && !round.is_multiple_of(SELDOM) {
                continue;
            }
            if self.host.stored_view(self.request).await.is_ok_and(|view| view.done) {
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

/// The events of a request of which only the state is known: after a restart, or from the records.
pub(super) fn retell(view: &View) -> Vec<Event> {
    let mut events = Vec::new();
    if view.position > 0 {
        events.push(Event::Queued { position: view.position, eta_seconds: view.wait_seconds });
    }
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
    if view.done {
        events.push(Event::Done { finished: view.finished, kudos: view.consumed });
    }
    events
}
