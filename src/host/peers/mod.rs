//! Other brokers over the same records: what they did, and whose attempts this one takes over.
//!
//! ```text
//!  peers.hear() ──► requests nobody here knows: read from Records, learnt ──► engine.hear(news)
//!                └► accounts, workers: read again, learnt
//!  each second  ──► who leads; workers seen here
//!               └► attempts of dead brokers (leader), and those that nobody says it has ──► engine.adopt
//! ```

mod follow;
mod people;
mod tend;

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::{
    Host,
    batch::{self, RefusedDeed},
    unwritten::Person,
};
use crate::{
    backend::Failure,
    domain::{
        AttemptId, RequestId, Result, TeamId, UserId, WorkerId,
        lease::Attempt,
        news::News,
        record::{Record, StoredRequest},
    },
    engine::{Adoption, Engine, Step},
};

/// How long a store that failed is left alone before news are read again.
const PAUSE: Duration = Duration::from_millis(200);
/// How often what holds for everybody is read before what this broker changed meanwhile is left out, and
/// the pause between.
const BOARD_TRIES: u32 = 10;
const BOARD_PAUSE: Duration = Duration::from_millis(20);
/// Requests that are read in one go.
const CHUNK: usize = 500;

pub(super) use follow::follow;
pub(super) use tend::tend;

impl Host {
    /// Whether there may be other brokers.
    pub fn is_shared(&self) -> bool {
        self.shared.backend.peers.are_possible()
    }

    /// Sees to it that this broker looks after an attempt if it is open, whichever gave it out, and if its
    /// worker is this account's (`None`: whoever asks has a signed link).
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`](crate::domain::Error::StoreUnavailable).
    pub async fn bring(&self, attempt: AttemptId, why: Adoption, by: Option<UserId>) -> Result<()> {
        if !self.is_shared() || self.glance(|engine, _| engine.is_at_home(attempt)) {
            return Ok(());
        }
        let Some(past) = self.past_attempt(attempt).await? else { return Ok(()) };
        let stored = self.stored(self.reread(&[past.request], &BTreeSet::new()).await)?;
        let owner = self.glance(|engine, _| engine.worker(past.worker).map(|worker| worker.owner));
        let is_theirs = by.is_none() || owner.is_none() || by == owner;
        if past.how.is_none() && is_theirs {
            self.stored(self.adopt(stored, &[attempt], why).await)?;
        }
        Ok(())
    }

    /// Tells other brokers that a worker opened a stream here: older ones of it end.
    pub fn tell_stream_opened(&self, worker: WorkerId) {
        self.shared.backend.peers.tell(News::StreamOpened(worker, self.now()));
    }

    /// Sees to it that a worker is known here if there is one of this name.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`](crate::domain::Error::StoreUnavailable).
    pub async fn bring_worker(&self, name: &str) -> Result<()> {
        if !self.is_shared() || self.glance(|engine, _| engine.worker_by_name(name).is_some()) {
            return Ok(());
        }
        if let Some(worker) = self.stored(self.shared.backend.records.worker_by_name(name).await)? {
            self.learn_people(Vec::new(), vec![worker]).await;
        }
        Ok(())
    }

    /// Sees to it that a team is known here if there is one with this ID.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`](crate::domain::Error::StoreUnavailable).
    pub async fn bring_team(&self, id: TeamId) -> Result<()> {
        if self.is_shared() && self.glance(|engine, _| engine.team(id).is_none()) {
            self.stored(self.reread_board().await)?;
        }
        Ok(())
    }

    /// Reads what holds for everybody, and lets the engine learn it: again, if this broker changed something
    /// of it meanwhile, which what was read may lack; in the end as it is.
    async fn reread_board(&self) -> Result<(), Failure> {
        for left in (0..BOARD_TRIES).rev() {
            let glimpse = self.shared.unwritten.lock().glimpse(&[], &[]);
            let board = self.shared.backend.records.board().await?;
            let (shared, is_taken) = (self.shared.clone(), Arc::new(AtomicBool::new(false)));
            let told = is_taken.clone();
            self.instruct(move |engine, step| {
                if left == 0 || shared.unwritten.lock().is_whole(&glimpse, Person::Board) {
                    engine.learn_board(step, board);
                    told.store(true, Ordering::Relaxed);
                }
            })
            .await;
            if is_taken.load(Ordering::Relaxed) {
                break;
            }
            tokio::time::sleep(BOARD_PAUSE).await;
        }
        Ok(())
    }

    /// Sees to it that a request is known here if it is not over.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`](crate::domain::Error::StoreUnavailable).
    pub async fn bring_request(&self, id: RequestId) -> Result<()> {
        if self.is_shared() && !self.glance(|engine, _| engine.knows(id)) {
            self.stored(self.reread(&[id], &BTreeSet::new()).await)?;
        }
        Ok(())
    }

    /// Reads requests from Records, and lets the engine learn what they say.
    pub(super) async fn reread(
        &self,
        ids: &[RequestId],
        refused: &BTreeSet<AttemptId>,
    ) -> Result<Vec<StoredRequest>, Failure> {
        // One that was accepted here and is on its way to Records is not gone.
        let is_on_its_way = |id: &RequestId| self.shared.unwritten.lock().is_accepting(*id);
        let on_their_way: BTreeSet<_> = ids.iter().copied().filter(is_on_its_way).collect();
        let stored = self.read_requests(ids).await?;
        let there: BTreeSet<_> = stored.iter().map(|stored| stored.request.id).collect();
        let is_gone = |id: &RequestId| !there.contains(id) && !on_their_way.contains(id);
        let gone: Vec<_> = ids.iter().copied().filter(is_gone).collect();
        let (learnt, refused) = (stored.clone(), refused.clone());
        self.instruct(move |engine, step| {
            engine.learn(step, learnt, &refused);
            for id in gone {
                engine.unlearn(step, id);
            }
        })
        .await;
        Ok(stored)
    }

    /// Reads a request from Records, however long they are away, and lets the engine learn it.
    pub(super) async fn insist_on_reading(&self, id: RequestId) {
        while let Err(error) = self.reread(&[id], &BTreeSet::new()).await {
            tracing::warn!(%error, "a request could not be read again yet");
            tokio::select! {
                () = self.stopping().cancelled() => return,
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }

    /// Reads requests, and whoever has to do with them and is not known here.
    async fn read_requests(&self, ids: &[RequestId]) -> Result<Vec<StoredRequest>, Failure> {
        let backend = &self.shared.backend;
        let mut all = Vec::with_capacity(ids.len());
        for ids in ids.chunks(CHUNK) {
            let stored = backend.records.requests(ids).await?;
            let (users, workers) = self.glance(|engine, _| strangers(engine, &stored));
            self.read_people(users, workers, false).await?;
            backend.claims.learned(&stored);
            all.extend(stored);
        }
        Ok(all)
    }

    /// Takes attempts over, as far as Records have them open: in the logs, in claims, in the engine.
    async fn adopt(
        &self,
        stored: Vec<StoredRequest>,
        named: &[AttemptId],
        why: Adoption,
    ) -> Result<(), Failure> {
        let signals = &self.shared.backend.signals;
        let (mut adopted, mut told) = (Vec::new(), HashMap::new());
        for request in &stored {
            for attempt in request.open.iter().filter(|attempt| named.contains(&attempt.id)) {
                adopted.push(attempt.id);
                let (id, job, number) = (request.request.id, attempt.job, attempt.number);
                if let Some(text) = signals.take_over(id, self.now(), job, number).await? {
                    told.insert(attempt.id, text);
                }
            }
        }
        let at_once = matches!(why, Adoption::GoesOn | Adoption::Orphaned);
        self.shared.backend.claims.adopt(&stored, &adopted, at_once).await;
        self.instruct(move |engine, step| {
            for stored in stored {
                engine.adopt(step, stored, &adopted, &mut told, why);
            }
        })
        .await;
        Ok(())
    }

    /// Has the engine do something, behind what it was told before. Over when it is done; nobody waits for
    /// the records of it.
    pub(super) async fn instruct(&self, verb: impl FnOnce(&mut Engine, &mut Step<'_>) + Send + 'static) {
        let (done, is_done) = tokio::sync::oneshot::channel();
        self.order(move |engine, step, _| {
            verb(engine, step);
            // Who asked may be gone.
            let _ = done.send(());
        })
        .await;
        let _ = is_done.await;
    }

    /// Puts right what rests on deeds that Records refused, and then tells those who wait.
    pub(super) async fn repair(&self, refused: Vec<RefusedDeed>) {
        let (mut records, mut waiting) = (Vec::new(), Vec::new());
        metrics::counter!("gridbroker_deeds_refused_total").increment(refused.len() as u64);
        for deed in refused {
            tracing::debug!(refusal = ?deed.refusal, "another broker was faster");
            waiting.push((deed.error(), deed.releases));
            records.extend(deed.records);
        }
        while let Err(error) = self.reread_refused(&records).await {
            tracing::warn!(%error, "what was refused could not be read again yet");
            tokio::select! {
                () = self.stopping().cancelled() => break,
                () = tokio::time::sleep(PAUSE * 5) => {}
            }
        }
        for (error, releases) in waiting {
            for release in releases {
                release(Err(error.clone()));
            }
        }
    }

    async fn reread_refused(&self, records: &[Record]) -> Result<(), Failure> {
        let store = &self.shared.backend.records;
        let (users, workers) = batch::people(records.iter());
        self.read_people(users.into_iter().collect(), workers.into_iter().collect(), true).await?;
        if records.iter().any(|record| matches!(record, Record::BoardChanged(_))) {
            self.reread_board().await?;
        }
        // What has the name or the key is somebody else, or nobody.
        for record in records {
            match record {
                Record::WorkerMade { worker, .. } | Record::WorkerSaid(worker) => {
                    let (id, holder) = (worker.id, store.worker_by_name(&worker.name).await?);
                    if holder.as_ref().is_none_or(|holder| holder.id != id) {
                        self.instruct(move |engine, step| engine.replace_worker(step, id, holder)).await;
                    }
                }
                Record::UserMade(user) => {
                    let holder = store.user_by_key(user.key).await?;
                    let (id, holders) = (user.id, holder.into_iter().collect());
                    if self.shared.backend.records.people(&[id], &[]).await?.0.is_empty() {
                        self.instruct(move |engine, _| engine.forget_user(id)).await;
                    }
                    self.learn_people(holders, Vec::new()).await;
                }
                _ => {}
            }
        }
        let requests: Vec<_> = batch::requests(records).into_iter().collect();
        let refused = batch::attempts(records);
        let stored = self.reread(&requests, &refused).await?;
        self.shared.backend.claims.refused(&mut records.iter());
        // What was to end here and has not, because of something else in the same deed, is nobody's else.
        let is_left = |attempt: &&Attempt| refused.contains(&attempt.id);
        let left: Vec<_> = stored.iter().flat_map(|stored| &stored.open).filter(is_left).collect();
        let left: Vec<_> = left.into_iter().map(|attempt| attempt.id).collect();
        if !left.is_empty() {
            self.adopt(stored, &left, Adoption::Orphaned).await?;
        }
        Ok(())
    }

    /// Reads everything again.
    async fn reread_all(&self) -> Result<(), Failure> {
        let backend = &self.shared.backend;
        let known = self.glance(|engine, _| engine.open_requests());
        let snapshot = backend.records.load().await?;
        backend.claims.learned(&snapshot.requests);
        self.learn_people(snapshot.users, snapshot.workers).await;
        self.reread_board().await?;
        self.reread_filters();
        let there: BTreeSet<_> = snapshot.requests.iter().map(|stored| stored.request.id).collect();
        let requests = snapshot.requests;
        self.instruct(move |engine, step| engine.learn(step, requests, &BTreeSet::new())).await;
        let over: Vec<_> = known.into_iter().filter(|id| !there.contains(id)).collect();
        self.reread(&over, &BTreeSet::new()).await?;
        tracing::info!("read everything again, as news of other brokers may have been missed");
        Ok(())
    }
}

/// Those who have to do with requests and are not known.
fn strangers(engine: &Engine, stored: &[StoredRequest]) -> (Vec<UserId>, Vec<WorkerId>) {
    let owners: BTreeSet<_> = stored.iter().map(|stored| stored.request.owner).collect();
    let workers: BTreeSet<_> =
        stored.iter().flat_map(|stored| &stored.open).map(|attempt| attempt.worker).collect();
    (
        owners.into_iter().filter(|id| engine.user(*id).is_none()).collect(),
        workers.into_iter().filter(|id| engine.worker(*id).is_none()).collect(),
    )
}
