//! What a run is made of.

use std::time::Duration;

use gridbroker::{
    domain::{Kudos, earning::Promotion},
    engine::Rules,
};

use super::dice::Chance;
use crate::backend::store::Keeper;

/// A bug planted into the layer around the engine, to see that it is found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bug {
    None,
    /// Answers leave before the records they rest on are on disk.
    EarlyAnswers,
    /// Now and then a posting moves a balance twice.
    DoublePosting,
    /// The end of an attempt does not reach the disk.
    ReopenedAttempt,
    /// A restart does not read who holds what.
    ForgetfulRestore,
    /// A result is written a second time.
    DoubleSettlement,
}

/// What a run is made of.
#[derive(Clone)]
pub struct Plan {
    pub seed: u64,
    /// Turns of actors and the like before the drain.
    pub happenings: u64,
    pub clients: usize,
    pub workers: usize,
    /// In a thousand happenings.
    pub crashes: u64,
    /// In a thousand happenings.
    pub clock_jumps: u64,
    /// In a hundred claims.
    pub lost_claims: u64,
    /// Claims are answered at once, as a broker that is alone does.
    pub instant_claims: bool,
    /// Workers break off, fall silent, repeat themselves and fail.
    pub is_rough: bool,
    /// Real keepers of Records beside the model.
    pub keepers: &'static [Keeper],
    pub bug: Bug,
    pub rules: Rules,
}

impl Plan {
    pub fn rough(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let rules = Rules {
            keep: Duration::from_secs(chance.between(120, 1200) as u64),
            max_finished_requests: chance.between(3, 60) as usize,
            max_waiting_jobs: chance.between(20, 200) as usize,
            promotion: Promotion { threshold: Some(Kudos::whole(20)), probation: Duration::from_secs(60) },
            ..Rules::default()
        };
        Self {
            seed,
            happenings: 2_500,
            clients: chance.between(1, 5) as usize,
            workers: chance.between(2, 9) as usize,
            crashes: chance.between(0, 6) as u64,
            clock_jumps: chance.between(0, 3) as u64,
            lost_claims: chance.between(0, 20) as u64,
            instant_claims: chance.percent(50),
            is_rough: true,
            keepers: &[],
            bug: Bug::None,
            rules,
        }
    }

    pub fn calm(seed: u64) -> Self {
        let calm = Self {
            crashes: 0,
            clock_jumps: 0,
            lost_claims: 0,
            instant_claims: true,
            is_rough: false,
            ..Self::rough(seed)
        };
        Self { rules: Rules::default(), ..calm }
    }
}
