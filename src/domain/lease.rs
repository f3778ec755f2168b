//! An attempt: one grant of a job to one worker, and its right to the job until an expiry.

use serde::{Deserialize, Serialize};

use super::{AttemptId, Timestamp, WorkerId};

/// How the worker of an attempt is reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Held {
    /// Popped over HTTP: nobody to talk to until the result comes.
    Pop,
    /// Pushed on a stream: its end, or silence, is noticed.
    Stream,
}

/// How an attempt ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Closed {
    /// With a result.
    Settled,
    /// The worker reported failure, or let the lease expire: counts as a fault.
    Faulted,
    /// Given back without blame: never accepted, its stream was cut, or its request was cancelled.
    Returned,
}

impl Closed {
    /// The word that Records keep.
    pub fn word(self) -> &'static str {
        match self {
            Self::Settled => "settled",
            Self::Faulted => "faulted",
            Self::Returned => "returned",
        }
    }

    /// Reads [`Closed::word`].
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Settled, Self::Faulted, Self::Returned].into_iter().find(|c| c.word() == word)
    }
}

/// An open attempt.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Attempt {
    /// Its ID.
    pub id: AttemptId,
    /// Index of the job in its request.
    pub job: usize,
    /// From 1; each grant of the same job counts one up.
    pub number: u32,
    /// Who has it.
    pub worker: WorkerId,
    /// Model the worker was told to use.
    pub model: String,
    /// Seed the worker was given, for images.
    pub seed: u32,
    /// How the worker is reached.
    pub held: Held,
    /// When it was granted.
    pub granted_at: Timestamp,
    /// When the lease ends.
    pub expires_at: Timestamp,
}
