//! What was made: read from Records for whoever asks, one reading at a time.

use std::sync::{Arc, atomic::Ordering};

use super::Host;
use crate::domain::{Result, Timestamp, stats::Stats};

/// How long a reading serves while nothing is delivered here, in milliseconds: what is delivered elsewhere
/// is not heard of.
const FRESH: i64 = 1000;

/// What was read last.
#[derive(Default)]
pub(super) struct Reading {
    at: Timestamp,
    /// Deliveries that were written here by then.
    counted: u64,
    stats: Arc<Stats>,
}

impl Host {
    /// What was made, over all brokers: a second old at most, and never without what was delivered here.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`](crate::domain::Error::StoreUnavailable).
    pub async fn stats(&self) -> Result<Arc<Stats>> {
        let asked_at = self.now();
        let mut reading = self.shared.stats.lock().await;
        let counted = self.shared.counted.load(Ordering::Acquire);
        // Whoever waited here for a reading that began after they asked is served by it.
        let is_of_now = reading.at > asked_at;
        let is_fresh = reading.counted == counted && asked_at.0 - reading.at.0 < FRESH;
        if is_of_now || is_fresh {
            return Ok(reading.stats.clone());
        }
        let at = self.now();
        let stats = self.stored(self.shared.backend.records.stats(at).await)?;
        *reading = Reading { at, counted, stats: Arc::new(stats) };
        Ok(reading.stats.clone())
    }
}
