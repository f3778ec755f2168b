//! What happens to a request, as those who watch it are told.

use serde::{Deserialize, Serialize};

use super::{Kudos, WorkerId, result::Outcome};

/// One event of a request's log.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It waits: see [`Outlook`].
    Queued(Outlook),
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

/// What a request that waits has to expect.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Outlook {
    /// Which its next job is among the jobs that wait and that the same workers could take; 1 is next. Among
    /// all that wait of its kind, if no worker that is there could take it.
    pub position: usize,
    /// Seconds until it is done, at the speed that is usual.
    pub eta_seconds: i64,
    /// The same if the fast ones of these workers run what is before it, or the slow ones. `None`: no worker
    /// that is there could take it.
    #[serde(default)]
    pub eta_range: Option<(i64, i64)>,
}

impl Outlook {
    /// Whether this is worth telling to who knows what was before: another place, or another time by more
    /// than a tenth and 2 s.
    pub fn differs_from(&self, before: &Self) -> bool {
        let by = (self.eta_seconds - before.eta_seconds).abs();
        self.position != before.position
            || self.eta_range.is_some() != before.eta_range.is_some()
            || (by >= 2 && by * 10 > before.eta_seconds)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_little_is_not_told_again() {
        let of = |position, eta_seconds, eta_range| Outlook { position, eta_seconds, eta_range };
        let before = of(3, 100, Some((80, 120)));
        for (after, is_told, rule) in [
            (of(3, 100, Some((70, 190))), false, "the range follows"),
            (of(2, 100, Some((80, 120))), true, "the next place"),
            (of(3, 109, Some((80, 120))), false, "a tenth"),
            (of(3, 89, Some((80, 120))), true, "more than a tenth"),
            (of(3, 100, None), true, "nobody is there any more"),
        ] {
            assert_eq!(after.differs_from(&before), is_told, "{rule}");
        }
        assert!(!of(1, 2, None).differs_from(&of(1, 1, None)), "a second is nothing, of however few");
    }

    #[test]
    fn what_was_written_before_there_were_ranges_can_be_read() {
        let read: Event = serde_json::from_str(r#"{"queued":{"position":3,"eta_seconds":7}}"#).unwrap();
        assert_eq!(read, Event::Queued(Outlook { position: 3, eta_seconds: 7, eta_range: None }));
    }
}
