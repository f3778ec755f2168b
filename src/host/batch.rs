//! Deeds that gather, and what waits until they are on disk.

use std::{collections::BTreeSet, sync::atomic::Ordering, time::Duration};

use super::{Host, RETRY_AFTER, Release};
use crate::{
    backend::{Deed, Failure, Refusal, Verdict},
    domain::{
        AttemptId, Error, Kudos, OfferId, RequestId, Timestamp, UserId, WorkerId,
        board::BoardChange,
        event::Event,
        news::{Delivered, News},
        record::Record,
        style::StyleChange,
        transfer::KudosRule,
    },
    engine::Push,
};

/// How often a batch is tried again before the process gives up, and how long each wait is longer.
const TRIES: u32 = 8;
/// The same over a store of other machines, which may be away for longer: some ten seconds each, five
/// minutes in all.
const PATIENT_TRIES: u32 = 30;
/// Longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// Something to be done once the records before it are on disk.
pub(super) enum Output {
    /// Answers whoever asked for a verb; refused, if one of the deeds is that they wait for.
    Release {
        release: Release,
        deeds: Vec<usize>,
    },
    Tell {
        request: RequestId,
        at: Timestamp,
        event: Event,
    },
    Deliver {
        offer: OfferId,
        push: Push,
    },
    Shelve(RequestId),
    Forget {
        request: RequestId,
        objects: Vec<String>,
    },
    Reread(RequestId),
    Delivered(Delivered),
}

impl Output {
    /// The deeds without which it is not done, of which one is where it was put.
    pub fn rests_on<'d>(&'d self, place: &'d Option<usize>) -> &'d [usize] {
        match self {
            Self::Release { deeds, .. } => deeds,
            _ => place.as_slice(),
        }
    }
}

/// Deeds in order, and what waits for them: also in order, each with the deed that it rests on.
#[derive(Default)]
pub(super) struct Batch {
    pub deeds: Vec<Deed>,
    pub outputs: Vec<(Option<usize>, Output)>,
    /// The deed that records are added to; `None`: the next one begins a deed.
    current: Option<usize>,
    /// Whoever asked for the verb does not wait for what comes now.
    is_apart: bool,
    /// Deeds of the verb that whoever asked for it waits for.
    awaited: Vec<usize>,
}

impl Batch {
    /// What comes now is of another verb.
    pub fn begin(&mut self) {
        self.awaited.clear();
        self.cut();
    }

    /// What comes now is a deed of its own.
    pub fn cut(&mut self) {
        (self.current, self.is_apart) = (None, false);
    }

    /// The same, of which whoever asked for the verb is not told.
    pub fn part(&mut self) {
        (self.current, self.is_apart) = (None, true);
    }

    /// Takes the deeds of the verb that whoever asked for it waits for.
    pub fn take_awaited(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.awaited)
    }

    pub fn add(&mut self, record: Record) {
        let current = *self.current.get_or_insert_with(|| {
            self.deeds.push(Deed::new());
            let deed = self.deeds.len() - 1;
            if !self.is_apart {
                self.awaited.push(deed);
            }
            deed
        });
        self.deeds[current].push(record);
    }

    pub fn put(&mut self, output: Output) {
        self.outputs.push((self.current, output));
    }

    /// Adds the answer to whoever waits for these deeds.
    pub fn put_release(&mut self, deeds: Vec<usize>, release: Release) {
        self.outputs.push((None, Output::Release { release, deeds }));
    }
}

/// What was written: of each deed whether it holds, and what waits for it.
pub(super) struct Written {
    pub deeds: Vec<Deed>,
    pub verdicts: Vec<Verdict>,
    pub outputs: Vec<(Option<usize>, Output)>,
}

/// A deed that Records refused: what it was about, and who waits to be told.
pub(super) struct RefusedDeed {
    pub records: Deed,
    pub refusal: Refusal,
    pub releases: Vec<Release>,
}

/// What is said of a name that another style or collection of the same account has.
fn name_taken(change: &StyleChange) -> Option<Error> {
    let (what, name) = match change {
        StyleChange::Made(style) | StyleChange::Changed(style) => ("style", &style.name),
        StyleChange::CollectionMade(made) | StyleChange::CollectionChanged(made) => {
            ("collection", &made.name)
        }
        StyleChange::Dropped(_) | StyleChange::CollectionDropped(_) | StyleChange::Used(_) => return None,
    };
    Some(Error::NameTaken(what, name.clone()))
}

impl RefusedDeed {
    /// What those who wait are told.
    pub fn error(&self) -> Error {
        let told = |record: &Record| match (record, self.refusal) {
            (Record::WorkerRuled { ruling, .. }, Refusal::Taken) => {
                ruling.name.clone().map(Error::WorkerNameAlreadyExists)
            }
            (Record::WorkerDropped(_), _) => Some(Error::WorkerLocked),
            (Record::Style(change), Refusal::Taken) => name_taken(change),
            (Record::BoardChanged(BoardChange::TeamMade(team)), Refusal::Taken) => {
                Some(Error::TeamNameAlreadyExists(team.name.clone()))
            }
            (Record::BoardChanged(BoardChange::TeamChanged(_, change)), Refusal::Taken) => {
                change.name.clone().map(Error::TeamNameAlreadyExists)
            }
            (Record::KeyHeld { amount, .. }, Refusal::Overdrawn { left }) => {
                Some(Error::SharedKeyInsufficientKudos { needed: *amount, left: left.max(Kudos::ZERO) })
            }
            _ => None,
        };
        if let Some(error) = self.records.iter().find_map(told) {
            return error;
        }
        let is_transfer = |record: &Record| matches!(record, Record::KudosTransferred { .. });
        if self.records.iter().any(is_transfer) {
            return match self.refusal {
                Refusal::Uncovered => KudosRule::SetAside.into(),
                // What was done before is found out by asking again.
                _ => Error::Overtaken,
            };
        }
        if self.refusal == Refusal::Uncovered {
            let needed = self.records.iter().find_map(|record| match record {
                Record::KudosHeld { amount, .. } => Some(*amount),
                _ => None,
            });
            // Whether it may be smaller is known to the engine, which is asked again if the caller allows it.
            return needed
                .map_or(Error::Overtaken, |needed| Error::KudosUpfront { needed, may_shrink: true });
        }
        let Refusal::TooMany { waiting } = self.refusal else { return Error::Overtaken };
        let too_many = self.records.iter().find_map(|record| match record {
            Record::RequestAccepted { request, limit, .. } => {
                Some(Error::TooManyPrompts { waiting, asked: request.spec.jobs, limit: *limit })
            }
            Record::SharedKeyMade { limit, .. } => limit.map(Error::too_many_keys),
            Record::WorkerMade { limit, trusted, .. } => {
                Some(Error::TooManyWorkers { count: waiting, limit: *limit, trusted: *trusted })
            }
            _ => None,
        });
        too_many.unwrap_or(Error::Overtaken)
    }
}

/// Attempts that records would have begun or ended.
pub(super) fn attempts(records: &[Record]) -> BTreeSet<AttemptId> {
    let attempt = |record: &Record| match record {
        Record::AttemptOpened { attempt, .. } => Some(attempt.id),
        Record::AttemptClosed { attempt, .. } => Some(*attempt),
        Record::Settled { outcome, .. } => Some(outcome.attempt),
        _ => None,
    };
    records.iter().filter_map(attempt).collect()
}

/// Requests that records are about.
pub(super) fn requests(records: &[Record]) -> BTreeSet<RequestId> {
    let request = |record: &Record| match record {
        Record::RequestAccepted { request, .. } => Some(request.id),
        Record::AttemptOpened { request, .. }
        | Record::AttemptClosed { request, .. }
        | Record::Settled { request, .. }
        | Record::RequestMoved { request, .. }
        | Record::RequestDropped { request, .. } => Some(*request),
        _ => None,
    };
    records.iter().filter_map(request).collect()
}

/// Accounts and workers whose rows records change.
pub(super) fn people<'a>(
    records: impl Iterator<Item = &'a Record>,
) -> (BTreeSet<UserId>, BTreeSet<WorkerId>) {
    let (mut users, mut workers) = (BTreeSet::new(), BTreeSet::new());
    for record in records {
        match record {
            Record::UserMade(user) => drop(users.insert(user.id)),
            Record::UserCounted { user, .. } => drop(users.insert(*user)),
            Record::Posted(posting) => {
                users.extend([posting.from, posting.to].iter().filter_map(|account| account.holder()));
            }
            Record::WorkerMade { worker, .. } | Record::WorkerSaid(worker) => {
                workers.insert(worker.id);
            }
            Record::WorkerCounted { worker, .. }
            | Record::WorkerRuled { worker, .. }
            | Record::UptimeRewarded { worker, .. }
            | Record::WorkerDropped(worker) => drop(workers.insert(*worker)),
            Record::RoleGiven { user, .. } | Record::UserAmended { user, .. } => drop(users.insert(*user)),
            Record::Style(change) => users.extend(change.thanked()),
            Record::SharedKeyMade { key, .. } => drop(users.insert(key.owner)),
            Record::SharedKeyUsed { owner, .. }
            | Record::SharedKeyChanged { owner, .. }
            | Record::SharedKeyFilled { owner, .. }
            | Record::SharedKeyDropped { owner, .. } => drop(users.insert(*owner)),
            Record::KudosTransferred { transfer, .. } => users.extend([transfer.sender, transfer.receiver]),
            Record::MonthlyChanged { user, .. } | Record::MonthlyPaid { user, .. } => {
                users.insert(*user);
            }
            // Setting kudos aside changes no row of the account.
            Record::BoardChanged(_)
            | Record::FilterChanged(_)
            | Record::JobCounted(_)
            | Record::KudosHeld { .. }
            | Record::KeyHeld { .. }
            | Record::TeamCounted { .. }
            | Record::RequestAccepted { .. }
            | Record::AttemptOpened { .. }
            | Record::LeaseMoved { .. }
            | Record::AttemptClosed { .. }
            | Record::Settled { .. }
            | Record::WebhookDue(_)
            | Record::RequestMoved { .. }
            | Record::RequestDropped { .. } => {}
        }
    }
    (users, workers)
}

impl Host {
    /// Whether batches cannot be written at present, to a store that will be back.
    pub(super) fn is_store_away(&self) -> bool {
        self.is_shared() && !self.shared.is_storing.load(Ordering::Relaxed)
    }
}

/// Writes deeds, trying again for a while. What the engine has decided cannot be taken back, so a
/// store that stays away ends the process; the next start carries on from what is on disk.
pub(super) async fn commit(host: &Host, batch: Batch) -> Result<Written, Failure> {
    let Batch { deeds, outputs, .. } = batch;
    match write(host, &deeds).await {
        Ok(verdicts) => {
            let kept = || {
                let kept = deeds.iter().zip(&verdicts).filter(|(_, verdict)| **verdict == Verdict::Kept);
                kept.flat_map(|(deed, _)| deed)
            };
            let backend = &host.shared.backend;
            backend.claims.committed(&mut kept());
            if kept().any(|record| matches!(record, Record::WebhookDue(_))) {
                host.shared.webhooks.notify_one();
            }
            let counted = kept().filter(|record| matches!(record, Record::JobCounted(_))).count();
            host.shared.counted.fetch_add(counted as u64, Ordering::Release);
            if backend.peers.are_possible() {
                let (users, workers) = people(kept());
                if !users.is_empty() || !workers.is_empty() {
                    let (users, workers) = (users.into_iter().collect(), workers.into_iter().collect());
                    backend.peers.tell(News::People { users, workers });
                }
                if kept().any(|record| matches!(record, Record::BoardChanged(_))) {
                    backend.peers.tell(News::Board);
                }
                if kept().any(|record| matches!(record, Record::FilterChanged(_))) {
                    backend.peers.tell(News::Filters);
                }
            }
            Ok(Written { deeds, verdicts, outputs })
        }
        Err(error) => {
            for (_, output) in outputs {
                if let Output::Release { release, .. } = output {
                    release(Err(Error::StoreUnavailable { retry_after: RETRY_AFTER }));
                }
            }
            Err(error)
        }
    }
}

async fn write(host: &Host, deeds: &[Deed]) -> Result<Vec<Verdict>, Failure> {
    let shared = &host.shared;
    let storing = &shared.is_storing;
    let is_remote = shared.backend.peers.are_possible();
    let tries = if is_remote { PATIENT_TRIES } else { TRIES };
    let mut attempt = 1;
    loop {
        match shared.backend.records.commit_each(deeds).await {
            Ok(verdicts) => {
                storing.store(true, Ordering::Relaxed);
                return Ok(verdicts);
            }
            Err(error) => {
                storing.store(false, Ordering::Relaxed);
                tracing::error!(%error, attempt, "a batch could not be written");
                // Each try is patient already. A broker that ends does not wait for a store that may never
                // come back: nobody was told that anything of this is done.
                let is_ending = is_remote && shared.stopping.is_cancelled();
                if attempt == tries || is_ending {
                    return Err(error);
                }
                let pause = Duration::from_millis(100) * attempt * attempt;
                let most = if tries == TRIES { pause } else { LONGEST_PAUSE };
                tokio::time::sleep(pause.min(most)).await;
                attempt += 1;
            }
        }
    }
}
