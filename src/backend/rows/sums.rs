//! Changes while they are summed up.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;

use super::{accounts::Amendments, requests::RequestChange, stats::Counts, styles::StyleSums};
use crate::domain::{
    AttemptId, Kudos, RequestId, SharedKeyId, TeamId, Timestamp, UserId, WorkerId,
    record::Record,
    request::Kind,
    shared_key::KeyChange,
    standing::Ruling,
    team::{TeamChange, TeamFigures},
    user::UserStats,
    worker::WorkerChange,
};

/// Changes while they are summed up.
#[derive(Default)]
pub(super) struct Sums {
    pub users: HashMap<UserId, UserStats>,
    pub workers: HashMap<WorkerId, (WorkerChange, Vec<f64>)>,
    pub requests: HashMap<RequestId, RequestChange>,
    /// Requests that are accepted, with their owners, kinds, jobs and limits.
    pub accepted: Vec<(RequestId, (UserId, Kind), i64, i64)>,
    /// Requests that were cancelled or faulted, or dropped, and the first deed that did so.
    pub over: HashMap<RequestId, usize>,
    pub dropped: HashMap<RequestId, (usize, Timestamp)>,
    pub said: HashMap<WorkerId, Value>,
    pub ruled: BTreeMap<WorkerId, Ruling>,
    pub amended: Amendments,
    /// Changes of what holds for everybody: of the same thing the last one counts.
    pub modes: BTreeMap<String, bool>,
    pub timeouts: BTreeMap<String, Option<Timestamp>>,
    pub leases: HashMap<AttemptId, Timestamp>,
    /// Kudos spent with keys that are lent, and what else is said of such keys.
    pub keys: BTreeMap<SharedKeyId, Kudos>,
    pub key_changes: BTreeMap<SharedKeyId, KeyChange>,
    /// Keys that may be spent on more.
    pub filled: HashSet<SharedKeyId>,
    /// Kudos spent with them, by request.
    pub spent: BTreeMap<RequestId, Kudos>,
    /// What is added to the figures of teams, and what else is said of them.
    pub teams: BTreeMap<TeamId, TeamFigures>,
    pub team_changes: BTreeMap<TeamId, TeamChange>,
    /// Attempts of this batch, by their place among the rows.
    pub born: HashMap<AttemptId, usize>,
    pub ended: HashSet<AttemptId>,
    /// Workers whose time online is paid for.
    pub rewarded: HashSet<WorkerId>,
    /// Accounts whose monthly kudos change, or are paid.
    pub monthly: HashSet<UserId>,
    /// Keys of the batch's postings.
    pub posted: HashSet<String>,
    pub counts: Counts,
    pub styles: StyleSums,
}

impl Sums {
    /// Whether an earlier deed took away what a record of this one rests on.
    pub fn is_undone(&self, record: &Record, deed: usize) -> bool {
        let request = match record {
            Record::RequestAccepted { request, .. } => request.id,
            Record::KudosHeld { request, .. }
            | Record::KeyHeld { request, .. }
            | Record::AttemptOpened { request, .. }
            | Record::AttemptClosed { request, .. }
            | Record::Settled { request, .. }
            | Record::RequestMoved { request, .. }
            | Record::RequestDropped { request, .. } => *request,
            Record::UserMade(_)
            | Record::UserCounted { .. }
            | Record::RoleGiven { .. }
            | Record::UserAmended { .. }
            | Record::SharedKeyMade { .. }
            | Record::SharedKeyChanged { .. }
            | Record::SharedKeyDropped { .. }
            | Record::SharedKeyUsed { .. }
            | Record::SharedKeyFilled { .. }
            | Record::KudosTransferred { .. }
            | Record::MonthlyChanged { .. }
            | Record::MonthlyPaid { .. }
            | Record::TeamCounted { .. }
            | Record::UptimeRewarded { .. }
            | Record::WorkerMade { .. }
            | Record::WorkerSaid(_)
            | Record::WorkerRuled { .. }
            | Record::WorkerDropped(_)
            | Record::BoardChanged(_)
            | Record::FilterChanged(_)
            | Record::Style(_)
            | Record::JobCounted(_)
            | Record::WorkerCounted { .. }
            | Record::LeaseMoved { .. }
            | Record::WebhookDue(_)
            | Record::Posted(_) => return false,
        };
        let opens = matches!(record, Record::AttemptOpened { .. });
        self.dropped.get(&request).is_some_and(|(earlier, _)| *earlier < deed)
            || opens && self.over.get(&request).is_some_and(|earlier| *earlier < deed)
    }
}
