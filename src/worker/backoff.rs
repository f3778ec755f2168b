//! How long to wait before the next try.

use std::time::Duration;

/// Waits that double up to a limit, with jitter so that a crowd does not come back at once.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
}

const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(5);
/// The broker may ask for this much at most.
const LONGEST_ASKED: Duration = Duration::from_secs(60);

impl Default for Backoff {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl Backoff {
    /// All is well again: the next wait is short.
    pub fn reset(&mut self) {
        self.next = FIRST;
    }

    /// The next wait, from half of its length to all of it; never less than the other side asked for.
    pub fn wait(&mut self, asked: Option<Duration>) -> Duration {
        let full = self.next;
        self.next = (full * 2).min(LONGEST);
        let jittered = full.mul_f64(0.5 + rand::random::<f64>() / 2.0);
        asked.map_or(jittered, |asked| jittered.max(asked.min(LONGEST_ASKED)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_limit_and_start_short_again() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..12).map(|_| backoff.wait(None)).collect();
        assert!(waits[0] <= FIRST && waits[0] >= FIRST / 2, "{waits:?}");
        assert!(waits[11] <= LONGEST && waits[11] >= LONGEST / 2, "{waits:?}");
        backoff.reset();
        assert!(backoff.wait(None) <= FIRST);
    }

    #[test]
    fn the_broker_may_ask_for_a_longer_wait_but_not_for_ever() {
        assert_eq!(Backoff::default().wait(Some(Duration::from_secs(2))), Duration::from_secs(2));
        assert_eq!(Backoff::default().wait(Some(Duration::from_secs(3600))), LONGEST_ASKED);
    }
}
