//! Event logs in memory.
//!
//! A reader has no buffer of its own: it reads from the log at its cursor, so a slow one costs
//! nothing and a late one misses nothing. Logs end with their request; after a restart they are
//! begun again from Records, under a higher epoch.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use crate::{
    backend::{Cursor, Failure, Signals},
    domain::{RequestId, Timestamp, event::Event},
};

/// The length of a log that was forgotten while it was being read.
const FORGOTTEN: u64 = u64::MAX;

/// The logs of this process.
#[derive(Default)]
pub struct LocalSignals {
    logs: RwLock<HashMap<RequestId, Arc<Log>>>,
}

struct Log {
    epoch: i64,
    events: Mutex<Vec<Arc<Event>>>,
    /// Number of events; its sender goes when the log is dropped.
    length: watch::Sender<u64>,
}

impl Log {
    fn new(at: Timestamp, events: Vec<Event>) -> Arc<Self> {
        let length = watch::Sender::new(events.len() as u64);
        Arc::new(Self { epoch: at.0, events: Mutex::new(events.into_iter().map(Arc::new).collect()), length })
    }
}

impl LocalSignals {
    fn log(&self, request: RequestId) -> Option<Arc<Log>> {
        self.logs.read().get(&request).cloned()
    }
}

#[async_trait]
impl Signals for LocalSignals {
    fn append(&self, request: RequestId, at: Timestamp, event: Event) {
        let log = match self.log(request) {
            Some(log) => log,
            None => self.logs.write().entry(request).or_insert_with(|| Log::new(at, Vec::new())).clone(),
        };
        let length = {
            let mut events = log.events.lock();
            events.push(Arc::new(event));
            events.len() as u64
        };
        log.length.send_replace(length);
    }

    async fn begin(&self, request: RequestId, at: Timestamp, events: Vec<Event>) -> Result<(), Failure> {
        self.logs.write().entry(request).or_insert_with(|| Log::new(at, events));
        Ok(())
    }

    async fn extent(&self, request: RequestId) -> Result<Option<Cursor>, Failure> {
        let log = self.log(request);
        Ok(log.map(|log| Cursor { epoch: log.epoch, seq: log.events.lock().len() as u64 }))
    }

    async fn after(
        &self,
        request: RequestId,
        cursor: Cursor,
        most: usize,
    ) -> Result<Vec<(Cursor, Arc<Event>)>, Failure> {
        let Some(log) = self.log(request).filter(|log| log.epoch == cursor.epoch) else {
            return Ok(Vec::new());
        };
        let mut length = log.length.subscribe();
        loop {
            length.mark_unchanged();
            {
                let events = log.events.lock();
                let from = usize::try_from(cursor.seq).unwrap_or(usize::MAX).min(events.len());
                if from < events.len() {
                    let numbered = events[from..].iter().take(most).enumerate();
                    let events = numbered.map(|(i, event)| {
                        (Cursor { epoch: cursor.epoch, seq: (from + i) as u64 + 1 }, event.clone())
                    });
                    return Ok(events.collect());
                }
                if events.last().is_some_and(|event| event.is_last()) {
                    return Ok(Vec::new());
                }
            }
            // A forgotten log says so. What was appended since the look above is a change still unseen,
            // and must stay one: only then does the wait end at once.
            if *length.borrow() == FORGOTTEN || length.changed().await.is_err() {
                return Ok(Vec::new());
            }
        }
    }

    async fn take_over(
        &self,
        _: RequestId,
        _: Timestamp,
        _: usize,
        _: u32,
    ) -> Result<Option<String>, Failure> {
        // There is no other broker; whoever asks is told all again.
        Ok(None)
    }

    fn shelve(&self, request: RequestId) {
        self.forget(request);
    }

    fn forget(&self, request: RequestId) {
        if let Some(log) = self.logs.write().remove(&request) {
            log.length.send_replace(FORGOTTEN);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn token(text: &str) -> Event {
        Event::Token { job: 0, attempt: 1, text: text.into() }
    }

    #[tokio::test]
    async fn a_reader_gets_exactly_what_follows_its_cursor() {
        let signals = LocalSignals::default();
        let request = RequestId(uuid::Uuid::from_u128(1));
        for text in ["a", "b", "c"] {
            signals.append(request, Timestamp(5), token(text));
        }
        let read = signals.after(request, Cursor { epoch: 5, seq: 1 }, 10).await.unwrap();
        let texts: Vec<_> = read.iter().map(|(cursor, event)| (cursor.seq, (**event).clone())).collect();
        assert_eq!(texts, [(2, token("b")), (3, token("c"))]);
    }

    #[tokio::test]
    async fn a_reader_at_the_end_waits_and_is_woken() {
        let signals = Arc::new(LocalSignals::default());
        let request = RequestId(uuid::Uuid::from_u128(2));
        signals.append(request, Timestamp(5), token("a"));
        let reader = tokio::spawn({
            let signals = signals.clone();
            async move { signals.after(request, Cursor { epoch: 5, seq: 1 }, 10).await.unwrap() }
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!reader.is_finished(), "nothing follows yet");
        signals.append(request, Timestamp(9), token("b"));
        assert_eq!(reader.await.unwrap()[0].0, Cursor { epoch: 5, seq: 2 }, "the epoch stays the log's");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_reader_that_arrives_together_with_the_last_event_misses_nothing() {
        let signals = Arc::new(LocalSignals::default());
        for number in 0..20_000 {
            let request = RequestId(uuid::Uuid::from_u128(number));
            signals.append(request, Timestamp(5), token("a"));
            let (ready, is_ready) = std::sync::mpsc::channel();
            let reader = tokio::spawn({
                let signals = signals.clone();
                async move {
                    let _ = ready.send(());
                    signals.after(request, Cursor { epoch: 5, seq: 1 }, 10).await.unwrap()
                }
            });
            // Blocks on purpose: the two threads meet, a little later each time.
            is_ready.recv().unwrap();
            for _ in 0..number % 1000 {
                std::hint::spin_loop();
            }
            signals.append(request, Timestamp(5), Event::Done { finished: 0, kudos: Default::default() });
            let read = tokio::time::timeout(Duration::from_secs(10), reader).await;
            assert_eq!(read.expect("the reader is woken").unwrap().len(), 1, "log {number}");
        }
    }

    #[tokio::test]
    async fn a_finished_or_forgotten_log_reads_empty() {
        let signals = Arc::new(LocalSignals::default());
        let request = RequestId(uuid::Uuid::from_u128(3));
        signals.append(request, Timestamp(5), token("a"));
        let reader = tokio::spawn({
            let signals = signals.clone();
            async move { signals.after(request, Cursor { epoch: 5, seq: 1 }, 10).await.unwrap() }
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        signals.forget(request);
        assert!(reader.await.unwrap().is_empty());
        signals.append(request, Timestamp(7), Event::Done { finished: 0, kudos: Default::default() });
        assert!(signals.after(request, Cursor { epoch: 7, seq: 1 }, 10).await.unwrap().is_empty());
    }
}
