//! Steps in the life of a job that a ledger follows, and the records that they are in.

use std::sync::Arc;

use crate::domain::{
    AttemptId, RequestId, Timestamp, WorkerId,
    lease::{Attempt, Closed},
    news::News,
    record::{Record, StoredRequest},
    request::Accepted,
};

/// A step that matters for who holds what.
#[derive(Clone, Debug)]
pub enum Step {
    Accepted(Accepted),
    Opened {
        request: RequestId,
        attempt: Attempt,
    },
    Moved {
        attempt: AttemptId,
        expires_at: Timestamp,
    },
    Closed {
        request: RequestId,
        attempt: AttemptId,
        how: Closed,
    },
    Settled {
        request: RequestId,
        job: usize,
    },
    Over(RequestId),
    Dropped(RequestId),
    Named(WorkerId, Arc<str>),
    /// Records were read: a request, and which of its attempts this broker looks after from now on.
    Learned(Box<StoredRequest>, Vec<AttemptId>),
    /// Another broker did something.
    Heard(News),
    /// Records refused an attempt that Redis has.
    Refused {
        request: RequestId,
        job: usize,
        attempt: AttemptId,
    },
}

impl Step {
    /// The step in a record that was refused, if there is one.
    pub fn refused(record: &Record) -> Option<Self> {
        let Record::AttemptOpened { request, attempt } = record else { return None };
        Some(Self::Refused { request: *request, job: attempt.job, attempt: attempt.id })
    }

    /// The step in a record, if it is one.
    pub fn of(record: &Record) -> Option<Self> {
        Some(match record {
            Record::RequestAccepted { request, .. } => Self::Accepted(request.clone()),
            Record::AttemptOpened { request, attempt } => {
                Self::Opened { request: *request, attempt: attempt.clone() }
            }
            Record::LeaseMoved { attempt, expires_at } => {
                Self::Moved { attempt: *attempt, expires_at: *expires_at }
            }
            Record::AttemptClosed { request, attempt, how } => {
                Self::Closed { request: *request, attempt: *attempt, how: *how }
            }
            Record::Settled { request, outcome } => Self::Settled { request: *request, job: outcome.job },
            Record::RequestMoved { request, cancelled, faulted, .. } if *cancelled || *faulted => {
                Self::Over(*request)
            }
            Record::RequestDropped { request, .. } => Self::Dropped(*request),
            Record::WorkerMade { worker, .. } | Record::WorkerSaid(worker) => {
                Self::Named(worker.id, worker.name.as_str().into())
            }
            Record::UserMade(_)
            | Record::WorkerCounted { .. }
            | Record::WorkerRuled { .. }
            | Record::WorkerDropped(_)
            | Record::BoardChanged(_)
            | Record::Style(_)
            | Record::FilterChanged(_)
            | Record::JobCounted(_)
            | Record::Posted(_)
            | Record::KudosTransferred { .. }
            | Record::SharedKeyFilled { .. }
            | Record::MonthlyChanged { .. }
            | Record::MonthlyPaid { .. }
            | Record::WebhookDue(_)
            | Record::KudosHeld { .. }
            | Record::RoleGiven { .. }
            | Record::UserAmended { .. }
            | Record::SharedKeyMade { .. }
            | Record::SharedKeyChanged { .. }
            | Record::SharedKeyDropped { .. }
            | Record::SharedKeyUsed { .. }
            | Record::KeyHeld { .. }
            | Record::TeamCounted { .. }
            | Record::UptimeRewarded { .. }
            | Record::UserCounted { .. }
            | Record::RequestMoved { .. } => return None,
        })
    }
}
