//! What this broker has to say in the logs of requests that are not over.

use std::{
    collections::{HashMap, HashSet, VecDeque, hash_map::Entry as Slot},
    sync::Arc,
};

use crate::{
    backend::Cursor,
    domain::{RequestId, Timestamp, event::Event, result::Product},
};

/// Events told in one call, and their size in bytes at which a call ends. Redis does nothing else meanwhile.
const CALL_EVENTS: usize = 256;
const CALL_BYTES: usize = 256 << 10;
/// Logs whose end Redis has still to be told of; past it the oldest are left to expire.
const MAX_FORGOTTEN: usize = 100_000;

/// This broker's part of one log, whole, in order.
struct Share {
    /// Tells it from another of the same request, before or after: answers may come late.
    version: u64,
    /// The epoch, should this broker be the one to begin the log.
    at: Timestamp,
    /// The log's epoch; `None` while there is no log that has this share.
    epoch: Option<i64>,
    events: Vec<Entry>,
    /// How many at the beginning tell again what happened before; only for a log that is begun with them.
    retold: usize,
    /// How many are in the log.
    written: usize,
    /// How often the log's end has waited for what others have to tell.
    waits: u32,
    /// This broker has done with it, once it is written.
    is_shelved: bool,
    /// The log has nothing else in it up to there: its numbers are places in `events`.
    is_sole: bool,
}

/// An event of a share.
#[derive(Clone)]
pub struct Entry {
    pub event: Arc<Event>,
    /// It is the text that was told of an attempt before this broker took over telling of it: said only
    /// if the log does not have it.
    pub is_taken_over: bool,
    /// It is the result of a job whose text is told in tokens.
    pub ends_text: bool,
    /// Of a job that starts over: the attempt that this share told of last; 0: none.
    pub after: u32,
}

impl From<Event> for Entry {
    fn from(event: Event) -> Self {
        Self { event: Arc::new(event), is_taken_over: false, ends_text: false, after: 0 }
    }
}

/// What the log of a request is to this broker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Told {
    /// It has no share in it.
    Nothing,
    /// It has a share, which has not been written yet, or has to be again.
    NotYet,
    /// It has written to the log of this epoch.
    Under(i64),
}

/// A call that appends.
pub struct Call {
    pub request: RequestId,
    pub version: u64,
    pub epoch: Option<i64>,
    pub at: Timestamp,
    pub first: usize,
    pub retold: usize,
    pub events: Vec<Entry>,
}

/// The shares.
#[derive(Default)]
pub struct Shares {
    shares: HashMap<RequestId, Share>,
    last_version: u64,
    /// Requests whose shares are not wholly written, in the order in which they fell behind.
    due: VecDeque<RequestId>,
    is_due: HashSet<RequestId>,
    forgotten: VecDeque<RequestId>,
}

impl Shares {
    /// Adds an event.
    pub fn append(&mut self, request: RequestId, at: Timestamp, event: Event) {
        self.add(request, at, event.into());
    }

    /// Adds that this broker tells of an attempt from now on, of which this text was told.
    pub fn take_over(&mut self, request: RequestId, at: Timestamp, job: usize, attempt: u32, text: String) {
        let event = Arc::new(Event::Token { job, attempt, text });
        self.add(request, at, Entry { event, is_taken_over: true, ends_text: false, after: 0 });
    }

    fn add(&mut self, request: RequestId, at: Timestamp, entry: Entry) {
        let share = self.shares.entry(request).or_insert_with(|| {
            self.last_version += 1;
            Share::new(self.last_version, at, Vec::new())
        });
        share.push(entry);
        self.put_due(request);
    }

    /// Adds a share that retells what happened before, unless there is one.
    pub fn begin(&mut self, request: RequestId, at: Timestamp, events: Vec<Event>) {
        if let Slot::Vacant(slot) = self.shares.entry(request) {
            self.last_version += 1;
            slot.insert(Share::new(self.last_version, at, events));
            self.put_due(request);
        }
    }

    /// Drops a share with its log.
    pub fn forget(&mut self, request: RequestId) {
        self.shares.remove(&request);
        if self.forgotten.len() >= MAX_FORGOTTEN {
            self.forgotten.pop_front();
        }
        self.forgotten.push_back(request);
    }

    /// Drops a share once all of it is in the log; the log stays.
    pub fn shelve(&mut self, request: RequestId) {
        if let Some(share) = self.shares.get_mut(&request) {
            share.is_shelved = true;
            if share.epoch.is_some() && share.written == share.events.len() {
                self.shares.remove(&request);
            }
        }
    }

    /// Notes that the end of a log waits for what others have to tell: so much of the share is in it.
    pub fn waits(&mut self, call: &Call, epoch: i64, count: usize) {
        let Some(share) = self.shares.get_mut(&call.request) else { return };
        if share.version == call.version && share.epoch == call.epoch {
            share.is_sole = false;
            share.epoch = Some(epoch);
            share.written = count.min(share.events.len());
            share.waits += 1;
        }
    }

    /// Notes that so much of a share is in the log, and that the text told of the job whose result is next
    /// is not that of the result: others told it, or it was cut off. It is told again, whole.
    pub fn retell_text(&mut self, call: &Call, epoch: i64, count: usize) {
        let Some(share) = self.shares.get_mut(&call.request) else { return };
        if share.version != call.version || share.epoch != call.epoch {
            return;
        }
        share.is_sole = false;
        share.epoch = Some(epoch);
        share.written = count.min(share.events.len());
        let result = share.events.get(share.written).map(|entry| entry.event.clone());
        if let Some(Event::Result { job, attempt, outcome }) = result.as_deref()
            && let Product::Text(text) = &outcome.product
        {
            let token = Event::Token { job: *job, attempt: *attempt, text: text.clone() };
            let again = [Event::Reset { job: Some(*job) }, token];
            share.events.splice(share.written..share.written, again.map(Entry::from));
        }
        self.put_due(call.request);
    }

    /// How often the end of a log has waited for others.
    pub fn waited(&self, request: RequestId) -> u32 {
        self.shares.get(&request).map_or(0, |share| share.waits)
    }

    /// Says that the log of this epoch is gone.
    pub fn lost(&mut self, request: RequestId, epoch: i64, now: Timestamp) {
        if let Some(share) = self.shares.get_mut(&request)
            && share.epoch == Some(epoch)
        {
            share.epoch = None;
            share.written = 0;
            share.at = now.max(Timestamp(epoch + 1));
            self.put_due(request);
        }
    }

    /// What the log of a request is to this broker.
    pub fn told(&self, request: RequestId) -> Told {
        match self.shares.get(&request) {
            None => Told::Nothing,
            Some(share) => share.epoch.map_or(Told::NotYet, Told::Under),
        }
    }

    /// Whether this broker alone has written to the log of the cursor's epoch, as far as it knows.
    pub fn is_sole(&self, request: RequestId, cursor: Cursor) -> bool {
        let share = self.shares.get(&request);
        share.is_some_and(|share| share.is_sole && share.epoch == Some(cursor.epoch))
    }

    /// Events after a cursor, as far as they are in the log and the share has them.
    pub fn after(&self, request: RequestId, cursor: Cursor, most: usize) -> Vec<Arc<Event>> {
        if !self.is_sole(request, cursor) {
            return Vec::new();
        }
        let written = self.shares.get(&request).map_or(&[][..], |share| &share.events[..share.written]);
        let from = usize::try_from(cursor.seq).unwrap_or(usize::MAX).min(written.len());
        written[from..].iter().take(most).map(|entry| entry.event.clone()).collect()
    }

    fn put_due(&mut self, request: RequestId) {
        if self.is_due.insert(request) {
            self.due.push_back(request);
        }
    }

    /// Takes what is to be done next: logs to be dropped, and then up to this many calls. Both at once,
    /// because a log may be dropped and begun again.
    pub fn take_due(&mut self, most: usize) -> (Vec<RequestId>, Vec<Call>) {
        (self.forgotten.drain(..).collect(), self.take_calls(most))
    }

    /// Puts back what could not be dropped, unless it has been begun again.
    pub fn put_forgotten(&mut self, requests: Vec<RequestId>) {
        let again = requests.into_iter().filter(|request| !self.shares.contains_key(request));
        self.forgotten.extend(again.collect::<Vec<_>>());
    }

    fn take_calls(&mut self, most: usize) -> Vec<Call> {
        let mut calls = Vec::new();
        while calls.len() < most {
            let Some(request) = self.due.pop_front() else { break };
            self.is_due.remove(&request);
            let Some(share) = self.shares.get(&request) else { continue };
            if share.epoch.is_some() && share.written == share.events.len() {
                continue;
            }
            let mut bytes = 0;
            let unwritten = share.events[share.written..].iter().take(CALL_EVENTS);
            let events = unwritten.take_while(|entry| {
                let fits = bytes < CALL_BYTES;
                bytes += entry.event.size_bytes();
                fits
            });
            calls.push(Call {
                request,
                version: share.version,
                epoch: share.epoch,
                at: share.at,
                first: share.written,
                retold: share.retold,
                events: events.cloned().collect(),
            });
        }
        calls
    }

    /// Notes that a call was carried out: the log's epoch, how much of the share is in it, and whether
    /// nothing else is.
    pub fn written(&mut self, call: &Call, epoch: i64, count: usize, is_sole: bool) {
        let request = call.request;
        let Some(share) = self.shares.get_mut(&request) else { return };
        if share.version != call.version || share.epoch != call.epoch {
            return;
        }
        // Once others have written, numbers are no places in the share any more.
        share.is_sole = is_sole && (share.epoch.is_none() || share.is_sole);
        share.epoch = Some(epoch);
        share.written = count.min(share.events.len());
        if share.written < share.events.len() {
            self.put_due(request);
        } else if share.is_shelved || share.events.last().is_some_and(|entry| entry.event.is_last()) {
            // The log is whole and stands for itself.
            self.shares.remove(&request);
        }
    }

    /// Notes that a call could not be carried out.
    pub fn failed(&mut self, request: RequestId) {
        if self.shares.contains_key(&request) {
            self.put_due(request);
        }
    }

    /// Whether Redis has something to be told.
    pub fn has_due(&self) -> bool {
        !self.due.is_empty() || !self.forgotten.is_empty()
    }
}

impl Share {
    fn push(&mut self, entry: Entry) {
        let (ends_text, after) = (self.ends_text(&entry.event), self.told_last(&entry.event));
        self.events.push(Entry { ends_text, after, ..entry });
    }

    /// The attempt that was told of last of a job that starts over.
    fn told_last(&self, event: &Event) -> u32 {
        let Event::Reset { job: Some(over) } = event else { return 0 };
        let attempt = |entry: &Entry| match &*entry.event {
            Event::Assigned { job, attempt, .. }
            | Event::Token { job, attempt, .. }
            | Event::Progress { job, attempt, .. }
            | Event::Preview { job, attempt, .. }
                if job == over =>
            {
                Some(*attempt)
            }
            _ => None,
        };
        self.events.iter().rev().find_map(attempt).unwrap_or(0)
    }

    /// Whether an event is the result of a job whose text is told in tokens.
    fn ends_text(&self, event: &Event) -> bool {
        let Event::Result { job, attempt, .. } = event else { return false };
        let is_of_it = |event: &Event| matches!(event, Event::Token { job: of, attempt: by, .. } if of == job && by == attempt);
        self.events.iter().rev().any(|entry| is_of_it(&entry.event))
    }

    fn new(version: u64, at: Timestamp, events: Vec<Event>) -> Self {
        let retold = events.len();
        let entries = events.into_iter().map(Entry::from).collect::<Vec<_>>();
        let mut share = Self {
            version,
            at,
            epoch: None,
            events: Vec::new(),
            retold,
            written: 0,
            waits: 0,
            is_shelved: false,
            is_sole: false,
        };
        for entry in entries {
            share.push(entry);
        }
        share
    }
}
