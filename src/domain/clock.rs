//! Time, as it is handed to the engine.

use std::{
    sync::OnceLock,
    time::{Duration, Instant, SystemTime},
};

use serde::{Deserialize, Serialize};

/// An instant, in Unix milliseconds, UTC.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// This instant moved into the future.
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long ago `earlier` was; zero if it lies ahead.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Whole seconds since `earlier`.
    pub fn seconds_since(self, earlier: Self) -> i64 {
        i64::try_from(self.since(earlier).as_secs()).unwrap_or(i64::MAX)
    }
}

/// Where the running server, a test or a simulation takes its time from.
pub trait Clock: Send + Sync {
    /// The present instant.
    fn now(&self) -> Timestamp;
}

/// The machine's own clock, as it was when first asked, and what has gone by since.
///
/// A clock that is set anew while the broker runs would end every lease at once, or none for hours;
/// so steps are not followed, only the time that passes.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

static ANCHOR: OnceLock<(Timestamp, Instant)> = OnceLock::new();

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    fn now(&self) -> Timestamp {
        let (at, then) = ANCHOR.get_or_init(|| {
            let now = SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            (Timestamp::default().plus(now), Instant::now())
        });
        at.plus(then.elapsed())
    }
}
