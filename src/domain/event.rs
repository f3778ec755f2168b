//! What happens to a request, as those who watch it are told.

use serde::{Deserialize, Serialize};

use super::{Kudos, WorkerId, result::Outcome};

/// One event of a request's log.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It waits; 1 is next.
    Queued { position: usize, eta_seconds: i64 },
    /// A worker has a job.
    Assigned { job: usize, attempt: u32, worker: WorkerId, worker_name: String, model: String },
    /// A worker is partly through a job.
    Progress { job: usize, attempt: u32, current_step: u32, total_steps: u32 },
    /// A picture of how far a job is; only the newest of an attempt is kept.
    Preview { job: usize, attempt: u32, id: super::AttemptId, step: Option<u32> },
    /// More text of a job; a job's texts, joined, equal its result.
    Token { job: usize, attempt: u32, text: String },
    /// A job is delivered.
    Result { job: usize, attempt: u32, outcome: std::sync::Arc<Outcome> },
    /// What was said of a job (`None`: of all) no longer holds.
    Reset { job: Option<usize> },
    /// The request failed; why, for people.
    Faulted { message: String },
    /// What was waiting was cancelled.
    Cancelled,
    /// Nothing more will come.
    Done { finished: usize, kudos: Kudos },
}

impl Event {
    /// Whether this is the last event of its log.
    pub fn is_last(&self) -> bool {
        matches!(self, Self::Done { .. })
    }

    /// Bytes it takes in a log, roughly; what log limits count.
    pub fn size_bytes(&self) -> usize {
        96 + match self {
            Self::Token { text, .. } => text.len(),
            Self::Assigned { worker_name, model, .. } => worker_name.len() + model.len(),
            Self::Result { outcome, .. } => outcome.size_bytes(),
            Self::Faulted { message } => message.len(),
            _ => 0,
        }
    }
}
