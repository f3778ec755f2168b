//! What an operator can set of the engine's rules.

use std::{sync::Arc, time::Duration};

use super::PeopleRules;
use crate::domain::{UserId, earning::Promotion, filters::Filters, monthly::Subscriptions};

/// What an operator can set of the engine's rules.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Jobs that may wait in all; past it, submits are refused.
    pub max_waiting_jobs: usize,
    /// Bytes of prompts and parameters of requests that are not done; past it, submits are refused.
    pub max_open_bytes: usize,
    /// Requests that are done and still kept in memory; older ones are read from Records.
    pub max_finished_requests: usize,
    /// Bytes of them, prompts and results; past it the oldest are read from Records too.
    pub max_finished_bytes: usize,
    /// How long a request is kept after it was last touched.
    pub keep: Duration,
    /// A pushed attempt that is not reported on for so long goes back.
    pub accept_within: Duration,
    /// How long the attempts of a cut stream wait for their worker.
    pub grace: Duration,
    /// How long a worker may still hand in a job of a cancelled request.
    pub cancel_grace: Duration,
    /// When accounts are trusted by themselves.
    pub promotion: Promotion,
    /// The account that awards kudos.
    pub awarder: UserId,
    /// What accounts get each month besides.
    pub subscriptions: Arc<Subscriptions>,
    /// Attempts that may fail before their request does.
    pub max_faults: usize,
    /// Room in its request's log that the reports of one attempt may fill, in bytes; what does not fit
    /// is told with the result.
    pub max_told_bytes: usize,
    /// Who may work here.
    pub people: PeopleRules,
    /// What prompts may not ask for.
    pub filters: Arc<Filters>,
    /// Requests that name workers need kudos up front.
    pub upfront_kudos_on_worker_list: bool,
    /// Requests that name the workers they are for go to those alone that serve who asks first.
    pub matched_targeting: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            max_waiting_jobs: 200_000,
            max_open_bytes: 1 << 30,
            max_finished_requests: 20_000,
            max_finished_bytes: 256 << 20,
            keep: Duration::from_secs(20 * 60),
            accept_within: Duration::from_secs(10),
            grace: Duration::from_secs(15),
            cancel_grace: Duration::from_secs(10),
            promotion: Promotion::default(),
            awarder: UserId::AWARDER,
            subscriptions: Arc::default(),
            max_faults: 3,
            max_told_bytes: 4 << 20,
            people: PeopleRules::default(),
            filters: Arc::default(),
            upfront_kudos_on_worker_list: false,
            matched_targeting: false,
        }
    }
}
