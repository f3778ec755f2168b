//! Why a request waits, and why a worker has nothing to do: the table of matching, read aloud.
//!
//! Nothing here knows a rule. Pairs are put through the table of [`matching`](super::matching), and so is
//! every change that is suggested: what is said of it is what came of it there.
//!
//! | file | what |
//! |---|---|
//! | `request` | why a request waits, and what its owner could change |
//! | `changes` | the smallest changes that let workers take it |
//! | `ahead` | how many jobs come before it |
//! | `worker` | why a worker gets nothing |
//! | `gains` | what it would get if it offered more |
//! | `counts` | how many pairs each rule forbids, and how many it alone |
//! | `looks` | how much one explanation may look at |

mod ahead;
mod changes;
mod counts;
mod gains;
mod looks;
mod request;
#[cfg(test)]
mod tests;
mod worker;

use super::matching::{Ease, Lift, Rule};
use crate::domain::request::Kind;

pub use counts::Count;

/// Why a request waits.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// Workers online that run its kind. Those that are paused are none, but to their owners.
    pub workers: usize,
    /// How many of them were looked at; what follows is of those.
    pub looked_at: usize,
    /// How many could take it now, if they were free.
    pub able: usize,
    /// Which job of those that they could take its next one is; `None`: no worker could take it.
    pub position: Option<Position>,
    /// Rules that forbid it to workers, in the order of the table.
    pub counts: Vec<Count>,
    /// What would let more workers take it: fewest changes first, then most workers; of those that differ in
    /// how much they ask for the mildest first.
    pub changes: Vec<Change>,
    /// Whether all workers and all changes were looked at.
    pub is_whole: bool,
}

/// A place among the jobs that the same workers could take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Position {
    /// 1 is next.
    pub jobs: usize,
    /// Whether it is no more than that.
    pub is_exact: bool,
}

/// What who asks could change, all of it together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// One thing each.
    pub eases: Vec<Ease>,
    /// Workers that could take it then.
    pub workers: usize,
}

/// Why a worker has nothing to do.
#[derive(Clone, Debug)]
pub struct WorkerExplanation {
    /// What keeps it from any work at all.
    pub blocks: Vec<Block>,
    /// The kinds of jobs that it runs.
    pub kinds: Vec<KindExplanation>,
}

/// What keeps a worker from work.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Block {
    /// Its owner's account is scheduled for deletion.
    OwnerDeleted,
    /// Its owner is flagged.
    OwnerFlagged,
    /// It was not heard of for so many seconds.
    Offline(u64),
    /// It is heard of, and waits at no pop or stream of this broker.
    NotWaiting,
    /// All that it has room for is out.
    NoCredits,
    /// It is in maintenance, with this text.
    Maintenance(String),
    /// It is paused.
    Paused,
    /// Nothing waits of what it runs.
    NothingWaits,
}

/// Why a worker has nothing to do of one kind.
#[derive(Clone, Debug)]
pub struct KindExplanation {
    /// The kind.
    pub kind: Kind,
    /// Requests that wait.
    pub requests: usize,
    /// Their jobs.
    pub jobs: usize,
    /// How many of the requests were looked at, the first of the queue; what follows is of those.
    pub looked_at: usize,
    /// Jobs that it could take now.
    pub able: usize,
    /// Rules that forbid it jobs, in the order of the table.
    pub counts: Vec<Count>,
    /// What it would have more of if it served a model: most jobs first.
    pub models: Vec<Gain>,
    /// What it would have more of if it offered something else: most jobs first.
    pub lifts: Vec<Gain>,
    /// Whether all that waits and all changes were looked at.
    pub is_whole: bool,
}

/// What a worker would have more of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gain {
    /// If it offered this.
    pub lift: Lift,
    /// Its value now, where that is a number.
    pub now: Option<i64>,
    /// Jobs that it could take then and cannot now, less those of which the opposite holds.
    pub jobs: usize,
    /// Requests that they are of.
    pub requests: usize,
}

/// The rules of a kind, in the order of the table, each once.
type Table = Vec<&'static Rule>;
