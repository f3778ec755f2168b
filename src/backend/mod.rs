//! The seam: promises in domain words, and their keepers.
//!
//! [`Records`] are durable rows, the truth about what must be done, who was granted it and what is
//! settled. [`Claims`] say who holds which job. [`Signals`] keep the event logs that watchers read.
//! [`Peers`] say what other brokers do. [`Leadership`] says who runs the upkeep. [`Blobs`] keep images. The engine does not know that any
//! of this exists; the host carries its effects here.

mod beside;
mod cells;
pub mod copy;
pub mod distributed;
pub mod embedded;
mod ledger;
mod ranked;
mod rows;
pub mod s3;
mod styles;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;

pub use styles::StyleRecords;

use crate::domain::{
    AttemptId, Kudos, RequestId, TeamId, Timestamp, UserId, WorkerId,
    board::Board,
    event::Event,
    lease::Attempt,
    news::News,
    record::{PastAttempt, Record, Snapshot, StoredRequest},
    request::Kind,
    tally::Tallies,
    team::TeamFigures,
    user::{KeyHash, User},
    webhook::Webhook,
    worker::Worker,
};

pub use beside::{FilterRecords, StatRecords};
pub use ledger::Ledger;
pub use ranked::{RankedUsers, Ranking};

/// What a back end failed at. For our log; callers are only told that the store is unavailable.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Durable rows.
#[async_trait]
pub trait Records: Ledger + RankedUsers + FilterRecords + StatRecords + StyleRecords {
    /// All that an engine starts from: accounts, workers, and requests that are not done.
    async fn load(&self) -> Result<Snapshot, Failure>;
    /// Puts deeds on disk, in order, each whole or not at all, and says of each whether it holds. When
    /// this returns, a power cut loses nothing of it. Fails only if nothing is known of any of them.
    ///
    /// A deed is refused if it rests on what is no longer so, because another broker was faster: see
    /// [`Refusal`]. Others of the same call hold all the same. Those that hold may do so as if at one
    /// instant: what one of them makes room for, one before it may take.
    async fn commit_each(&self, deeds: &[Deed]) -> Result<Vec<Verdict>, Failure>;
    /// Puts a batch on disk whole, or fails.
    async fn commit(&self, batch: &[Record]) -> Result<(), Failure> {
        match self.commit_each(&[batch.to_vec()]).await?.first() {
            Some(Verdict::Refused(refusal)) => Err(format!("the records refuse it: {refusal:?}").into()),
            _ => Ok(()),
        }
    }
    /// A request, done or not; `None` if there is none.
    async fn request(&self, id: RequestId) -> Result<Option<StoredRequest>, Failure> {
        Ok(self.requests(&[id]).await?.pop())
    }
    /// Those of these requests that there are, done or not, in no order.
    async fn requests(&self, ids: &[RequestId]) -> Result<Vec<StoredRequest>, Failure>;
    /// Those of these accounts and workers that there are, in no order.
    async fn people(
        &self,
        users: &[UserId],
        workers: &[WorkerId],
    ) -> Result<(Vec<User>, Vec<Worker>), Failure>;
    /// What holds for everybody.
    async fn board(&self) -> Result<Board, Failure> {
        Ok(self.load().await?.board)
    }
    /// Figures of a team, or of all, in no order.
    async fn team_figures(&self, only: Option<TeamId>) -> Result<Vec<(TeamId, TeamFigures)>, Failure>;
    /// A worker by its exact name.
    async fn worker_by_name(&self, name: &str) -> Result<Option<Worker>, Failure>;
    /// What became of an attempt.
    async fn attempt(&self, id: AttemptId) -> Result<Option<PastAttempt>, Failure>;
    /// An account by its key.
    async fn user_by_key(&self, key: KeyHash) -> Result<Option<User>, Failure>;
    /// Deletes requests that were done and whose time was over by then; returns them with their attempts.
    async fn sweep(&self, before: Timestamp) -> Result<Vec<(RequestId, Vec<AttemptId>)>, Failure>;
    /// Gives up to `most` webhooks that are due to this broker, those that wait longest first, and none
    /// that goes to one of these hosts. Each counts as one more try; nobody else gets it for as long as
    /// `hold`, and then whoever asks first.
    async fn take_webhooks(
        &self,
        now: Timestamp,
        hold: Duration,
        most: usize,
        except: &[String],
    ) -> Result<Vec<Webhook>, Failure>;
    /// Ends webhooks, and has others tried again after a while; of these, those that somebody else has
    /// taken meanwhile stay as they are.
    async fn end_webhooks(&self, now: Timestamp, ends: &[WebhookEnd]) -> Result<(), Failure>;
    /// Drops the oldest webhooks until there are no more than so many; returns how many it dropped.
    async fn crop_webhooks(&self, most: usize) -> Result<u64, Failure>;
    /// A secret that all brokers over these records share, made at first use.
    async fn secret(&self, proposal: [u8; 32]) -> Result<[u8; 32], Failure>;
    /// Whether they can be reached.
    async fn ping(&self) -> Result<(), Failure>;
}

/// What becomes of a webhook that was taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WebhookEnd {
    /// Which.
    pub attempt: AttemptId,
    /// Its tries when it was taken.
    pub tries: u32,
    /// How it goes on; `None`: it does not.
    pub again: Option<WebhookAgain>,
}

/// How a webhook goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WebhookAgain {
    /// When it is due next, from now.
    pub wait: Duration,
    /// Its tries from then on.
    pub tries: u32,
}

/// The records of one verb: on disk together, or not at all.
pub type Deed = Vec<Record>;

/// What became of a deed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is on disk.
    Kept,
    /// It is not, and never will be: what it rests on is no longer so.
    Refused(Refusal),
}

/// Why a deed is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// It ends an attempt that is open no more; opens one for a job that another attempt has or has
    /// delivered, or whose request is cancelled, faulted, done or gone; or drops a request too early;
    /// or speaks of a worker that was not made, or drops one that holds a job; or sends kudos back too soon,
    /// or pays for a month that was paid for.
    Overtaken,
    /// It accepts a request of an account that has too many jobs of the kind waiting, or makes a worker
    /// of one that has too many workers, or lends a key of one that lends too many.
    TooMany {
        /// Jobs that wait, or workers that there are; keys are not counted.
        waiting: usize,
    },
    /// The ID or the key of an account, the name of a worker or a team, or the ID of a transfer is another's.
    Taken,
    /// It sets aside, or gives away, kudos that its account does not have, or has set aside for requests.
    Uncovered,
    /// It keeps kudos of a key for a request that the key does not have beside those kept for others.
    Overdrawn {
        /// What it has beside those.
        left: Kudos,
    },
}

/// The answer to a claim.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClaimAnswer {
    /// The jobs are the claimant's.
    Claimed,
    /// Somebody else has them.
    Lost,
    /// Nobody can say yet; ask again.
    Unknown,
}

/// Who holds which job.
#[async_trait]
pub trait Claims: Send + Sync {
    /// Asks for jobs of one request. Asking again for the same attempts gives the same answer.
    async fn claim(&self, request: RequestId, kind: Kind, attempts: &[Attempt]) -> ClaimAnswer;
    /// Takes over what Records hold, before anything is asked or told.
    async fn restore(&self, snapshot: &Snapshot) -> Result<(), Failure>;
    /// Waits until others can see what was committed, for a while at most: this broker ends.
    async fn flush(&self) {}
    /// Is told what Records say of requests that others accepted.
    fn learned(&self, stored: &[StoredRequest]);
    /// Is told that this broker looks after these attempts of requests from now on; other brokers hear of
    /// it at once if they must give them up.
    async fn adopt(&self, stored: &[StoredRequest], attempts: &[AttemptId], at_once: bool);
    /// Is told, in order, what is in Records from now on. What a keeper shows elsewhere may lag
    /// behind; it never runs ahead.
    fn committed(&self, records: &mut (dyn Iterator<Item = &Record> + Send));
    /// Is told what Records refused: claims of attempts that were to begin with it are nobody's.
    fn refused(&self, _: &mut (dyn Iterator<Item = &Record> + Send)) {}
}

/// A place in a request's log: the log's beginning in Unix ms, and the event's number, from 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Cursor {
    /// When the log was begun. A log begun again has a higher one.
    pub epoch: i64,
    /// The event's number; 0 stands before the first.
    pub seq: u64,
}

impl Cursor {
    /// Reads `<epoch>-<seq>`.
    pub fn parse(text: &str) -> Option<Self> {
        let (epoch, seq) = text.split_once('-')?;
        Some(Self { epoch: epoch.parse().ok()?, seq: seq.parse().ok()? })
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.epoch, self.seq)
    }
}

/// Event logs, one for each request.
#[async_trait]
pub trait Signals: Send + Sync {
    /// Appends an event; begins the log if there is none. Events of one request are appended in the
    /// order of the calls, and after what `begin` wrote before.
    fn append(&self, request: RequestId, at: Timestamp, event: Event);
    /// Begins a log with these events unless there is one.
    async fn begin(&self, request: RequestId, at: Timestamp, events: Vec<Event>) -> Result<(), Failure>;
    /// The log's epoch and its number of events; `None` if there is no log.
    async fn extent(&self, request: RequestId) -> Result<Option<Cursor>, Failure>;
    /// Up to `most` events after a cursor of the log's epoch; waits until there is one.
    /// Empty once the log has ended there, or is gone.
    async fn after(
        &self,
        request: RequestId,
        cursor: Cursor,
        most: usize,
    ) -> Result<Vec<(Cursor, Arc<Event>)>, Failure>;
    /// Waits until what was appended can be read by others, for a while at most: this broker ends.
    async fn flush(&self) {}
    /// Says that this broker alone tells of an attempt from now on, in the place of another one. Returns
    /// the text that was told of it so far; `None` if nobody can say.
    async fn take_over(
        &self,
        request: RequestId,
        at: Timestamp,
        job: usize,
        attempt: u32,
    ) -> Result<Option<String>, Failure>;
    /// Says that this broker has done with a log: Records answer for its request. Where others may read
    /// it, it stays for a while.
    fn shelve(&self, request: RequestId);
    /// Drops a log; readers in wait are told by an empty answer.
    fn forget(&self, request: RequestId);
}

/// Other brokers over the same records.
#[async_trait]
pub trait Peers: Send + Sync {
    /// Whether there may be any. If not, what this broker knows is all there is.
    fn are_possible(&self) -> bool;
    /// Begins to note what they do: all that is not in Records by now will be heard.
    async fn begin(&self) -> Result<(), Failure>;
    /// What they did since the last call, in order; waits until there is something.
    async fn hear(&self) -> Vec<News>;
    /// Brokers that live, this one among them; `None` while nobody can tell.
    fn living(&self) -> Option<Vec<Arc<str>>>;
    /// Tells all brokers, this one among them, something that is in Records or need not be. It may get lost.
    fn tell(&self, news: News);
    /// Has all brokers count together, after [`Peers::begin`]: tells the others what is counted here, and
    /// this counter what they count, within 100 ms or so. Some of it may get lost.
    fn count_together(&self, counter: Arc<dyn Tallies>);
}

/// Who runs the upkeep.
pub trait Leadership: Send + Sync {
    /// Whether this broker does.
    fn is_leader(&self) -> bool;
    /// Leaves it to the others, at once and for good: this broker is about to end. Without others nothing
    /// happens.
    fn step_down(&self) {}
}

/// Objects: images, under names that the broker chose.
#[async_trait]
pub trait Blobs: Send + Sync {
    /// Stores an object whole, replacing what had the name. On disk when this returns.
    async fn put(&self, name: &str, content: Bytes) -> Result<(), Failure>;
    /// An object's content; `None` if there is none.
    async fn get(&self, name: &str) -> Result<Option<Bytes>, Failure>;
    /// How an object begins, and how large it is; `None` if there is none.
    async fn beginning(&self, name: &str, most: usize) -> Result<Option<Beginning>, Failure>;
    /// Whether there is such an object.
    async fn exists(&self, name: &str) -> Result<bool, Failure>;
    /// Deletes an object, if there is one.
    async fn delete(&self, name: &str) -> Result<(), Failure>;
    /// Names that sort after one and before another, in order, `most` at most.
    async fn names(&self, after: &str, before: &str, most: usize) -> Result<Vec<String>, Failure>;
    /// Links past the broker, if it hands such out.
    fn direct(&self) -> Option<&dyn DirectLinks> {
        None
    }
}

/// How an object begins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Beginning {
    /// Its first bytes; all of them, if they are not more than were asked for.
    pub content: Bytes,
    /// Size of the whole object.
    pub size_bytes: u64,
    /// Says which of the contents that the name had it is; empty where nobody asks.
    pub version: String,
}

/// Links to objects at their keeper, past the broker: an extra that keepers of [`Blobs`] may have.
///
/// A link to PUT holds for its time, whatever becomes of the job. So what is handed in lies under a name
/// of its own, and is kept under another one once it was looked at.
#[async_trait]
pub trait DirectLinks: Send + Sync {
    /// A link to PUT an object, with any `Content-Type` or none.
    fn put_link(&self, name: &str, holds: Duration) -> String;
    /// A link to GET an object.
    fn get_link(&self, name: &str, holds: Duration) -> String;
    /// Keeps this version of what lies under one name under another one; false if it is no more there.
    async fn keep(
        &self,
        from: &str,
        version: &str,
        to: &str,
        content_type: &'static str,
    ) -> Result<bool, Failure>;
}

/// Names of objects are the broker's own: letters, digits, `-`, `_` and `.`.
fn check_object_name(name: &str) -> Result<(), Failure> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let is_fit = (3..=200).contains(&name.len()) && !name.starts_with('.') && name.chars().all(is_plain);
    if is_fit { Ok(()) } else { Err(format!("{name:?} is no object name").into()) }
}

/// The six promises, kept by one configuration.
#[derive(Clone)]
pub struct Backend {
    /// Durable rows.
    pub records: Arc<dyn Records>,
    /// Who holds which job.
    pub claims: Arc<dyn Claims>,
    /// Event logs.
    pub signals: Arc<dyn Signals>,
    /// Other brokers.
    pub peers: Arc<dyn Peers>,
    /// Who runs the upkeep.
    pub leadership: Arc<dyn Leadership>,
    /// Objects.
    pub blobs: Arc<dyn Blobs>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_reads_back_as_it_is_printed(epoch in 0i64.., seq in any::<u64>()) {
            let cursor = Cursor { epoch, seq };
            prop_assert_eq!(Cursor::parse(&cursor.to_string()), Some(cursor));
        }

        #[test]
        fn any_text_is_a_cursor_or_none(text in any::<String>()) {
            Cursor::parse(&text);
        }
    }
}
