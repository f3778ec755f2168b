//! IDs and chance.

use std::sync::Arc;

use rand::{RngExt, SeedableRng, rngs::StdRng};
use uuid::Uuid;

use crate::{domain::Clock, engine::Dice};

/// IDs and chance of the running server: a generator that nobody can guess, seeded by the system.
pub(super) struct SystemDice {
    random: StdRng,
    clock: Arc<dyn Clock>,
}

impl SystemDice {
    /// Dice that go by this clock.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { random: StdRng::from_rng(&mut rand::rng()), clock }
    }
}

impl Dice for SystemDice {
    /// IDs begin with the time, so that new rows stand side by side in the store, and go on with 74
    /// random bits: an ID is a capability, and no other one helps to guess it.
    fn uuid(&mut self) -> Uuid {
        let now = u64::try_from(self.clock.now().0).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(now, &self.random.random()).into_uuid()
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random.random_range(0..bound.max(1))
    }
}
