//! Calls that brokers count together.

use std::time::Duration;

/// Calls of one caller that a limit let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tally {
    /// The window that they count in: a name that is the same on all brokers and says nothing of the caller.
    pub window: u64,
    /// How many.
    pub calls: u32,
    /// How long the window lasts from now on.
    pub left: Duration,
}

/// Who counts calls and may learn what others counted.
pub trait Tallies: Send + Sync {
    /// What was counted since the last time, the busiest windows at most; the others are left out for good.
    fn take(&self, most: usize) -> Vec<Tally>;
    /// Adds what another broker counted.
    fn add(&self, heard: &[Tally]);
}
