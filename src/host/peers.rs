//! Other brokers over the same records: what they did, and whose attempts this one takes over.
//!
//! ```text
//!  peers.hear() ──► requests nobody here knows: read from Records, learnt ──► engine.hear(news)
//!                └► accounts, workers: read again, learnt
//!  each second  ──► who leads; workers seen here; attempts of dead brokers (leader) ──► engine.adopt
//! ```

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use tokio::time::{Instant, MissedTickBehavior};

use super::{
    Host,
    batch::{self, RefusedDeed},
    unwritten::Person,
};
use crate::{
    backend::Failure,
    domain::{
        AttemptId, RequestId, Result, Timestamp, UserId, WorkerId,
        news::News,
        record::{Record, StoredRequest},
        user::User,
        worker::Worker,
    },
    engine::{Adoption, Engine, Step},
};

/// Rows of accounts and workers are read again this long after they changed, all in one go.
const PEOPLE_EVERY: Duration = Duration::from_millis(250);
/// Of accounts and workers that change here all the time, each so many rounds the row counts. What is
/// on its way then is missing until the next such round.
const BUSY_ROUNDS: u32 = 4;
/// How often upkeep looks around.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often all brokers are told of a worker that is there.
const SEEN_EVERY: Duration = Duration::from_secs(10);
/// How long a store that failed is left alone before news are read again.
const PAUSE: Duration = Duration::from_millis(200);
/// Requests that are read in one go.
const CHUNK: usize = 500;

impl Host {
    /// Whether there may be other brokers.
    pub fn is_shared(&self) -> bool {
        self.shared.backend.peers.are_possible()
    }

    /// Sees to it that this broker looks after an attempt if it is open, whichever gave it out.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`](crate::domain::Error::StoreUnavailable).
    pub async fn bring(&self, attempt: AttemptId, why: Adoption) -> Result<()> {
        if !self.is_shared() || self.glance(|engine, _| engine.is_at_home(attempt)) {
            return Ok(());
        }
        let Some(past) = self.past_attempt(attempt).await? else { return Ok(()) };
        let stored = self.stored(self.reread(&[past.request], &BTreeSet::new()).await)?;
        if past.how.is_none() {
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
        let stored = self.read_requests(ids).await?;
        let there: BTreeSet<_> = stored.iter().map(|stored| stored.request.id).collect();
        let gone: Vec<_> = ids.iter().copied().filter(|id| !there.contains(id)).collect();
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

    /// Reads accounts and workers, and lets the engine learn them; returns those for which it is to be
    /// done again, as this broker changed them meanwhile. Those are learnt only if all are taken.
    async fn read_people(
        &self,
        users: Vec<UserId>,
        workers: Vec<WorkerId>,
        takes_all: bool,
    ) -> Result<(Vec<UserId>, Vec<WorkerId>), Failure> {
        if users.is_empty() && workers.is_empty() {
            return Ok((users, workers));
        }
        let glimpse = self.shared.unwritten.lock().glimpse(&users, &workers);
        let (users, workers) = self.shared.backend.records.people(&users, &workers).await?;
        let (mut again_users, mut again_workers) = (Vec::new(), Vec::new());
        {
            let unwritten = self.shared.unwritten.lock();
            again_users.extend(users.iter().map(|user| user.id));
            again_users.retain(|id| !unwritten.is_whole(&glimpse, Person::User(*id)));
            again_workers.extend(workers.iter().map(|worker| worker.id));
            again_workers.retain(|id| !unwritten.is_whole(&glimpse, Person::Worker(*id)));
        }
        users.iter().for_each(|user| self.know_key(user));
        let shared = self.shared.clone();
        self.instruct(move |engine, step| {
            // What changed between the reading and now is told by those who changed it, and read then.
            let unwritten = shared.unwritten.lock();
            let is_new = |user: &User| engine.user(user.id).is_none();
            let users = users
                .into_iter()
                .filter(|user| {
                    takes_all || is_new(user) || unwritten.is_whole(&glimpse, Person::User(user.id))
                })
                .collect();
            let is_new = |worker: &Worker| engine.worker(worker.id).is_none();
            let workers = workers
                .into_iter()
                .filter(|worker| {
                    takes_all || is_new(worker) || unwritten.is_whole(&glimpse, Person::Worker(worker.id))
                })
                .collect();
            engine.learn_people(step.now, users, workers);
        })
        .await;
        Ok((again_users, again_workers))
    }

    async fn learn_people(&self, users: Vec<User>, workers: Vec<Worker>) {
        users.iter().for_each(|user| self.know_key(user));
        self.instruct(move |engine, step| engine.learn_people(step.now, users, workers)).await;
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
    async fn instruct(&self, verb: impl FnOnce(&mut Engine, &mut Step<'_>) + Send + 'static) {
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
            tokio::time::sleep(PAUSE * 5).await;
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
        self.reread(&requests, &batch::attempts(records)).await?;
        Ok(())
    }

    /// Reads everything again.
    async fn reread_all(&self) -> Result<(), Failure> {
        let backend = &self.shared.backend;
        let known = self.glance(|engine, _| engine.open_requests());
        let snapshot = backend.records.load().await?;
        backend.claims.learned(&snapshot.requests);
        self.learn_people(snapshot.users, snapshot.workers).await;
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

/// Follows what other brokers do, until the broker stops.
pub(super) async fn follow(host: Host) {
    let stopping = host.stopping().clone();
    let mut people: (BTreeSet<UserId>, BTreeSet<WorkerId>) = Default::default();
    let mut rounds = 0u32;
    let mut round = tokio::time::interval(PEOPLE_EVERY);
    round.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let peers = host.shared.backend.peers.clone();
    loop {
        let news = tokio::select! {
            biased;
            () = stopping.cancelled() => return,
            _ = round.tick() => {
                rounds += 1;
                let (users, workers) = std::mem::take(&mut people);
                let (users, workers): (Vec<_>, Vec<_>) = (users.into_iter().collect(), workers.into_iter().collect());
                match host.read_people(users.clone(), workers.clone(), rounds % BUSY_ROUNDS == 0).await {
                    Ok((users, workers)) => {
                        people.0.extend(users);
                        people.1.extend(workers);
                    }
                    Err(error) => {
                        tracing::warn!(%error, "accounts and workers could not be read again yet");
                        people.0.extend(users);
                        people.1.extend(workers);
                        tokio::time::sleep(PAUSE).await;
                    }
                }
                continue;
            }
            news = peers.hear() => news,
        };
        for piece in &news {
            if let News::People { users, workers } = piece {
                people.0.extend(users);
                people.1.extend(workers);
            }
        }
        while let Err(error) = take(&host, &news).await {
            tracing::warn!(%error, "news of other brokers could not be taken in yet");
            tokio::select! {
                () = stopping.cancelled() => return,
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }
}

/// Takes news in: reads what must be read for them, and lets the engine hear them.
async fn take(host: &Host, news: &[News]) -> Result<(), Failure> {
    if news.contains(&News::Missed) {
        host.reread_all().await?;
    }
    let mut overdue: BTreeMap<RequestId, Vec<AttemptId>> = BTreeMap::new();
    let wanted: BTreeSet<_> = host.glance(|engine, _| {
        let unknown = |id: &RequestId| (!engine.knows(*id)).then_some(*id);
        let known = |id: &RequestId| engine.knows(*id).then_some(*id);
        let wanted = news.iter().filter_map(|piece| match piece {
            News::Waits { request, .. } => unknown(request),
            News::Held(hold) => unknown(&hold.request),
            News::Ended(request) => known(request),
            _ => None,
        });
        wanted.collect()
    });
    for piece in news {
        if let News::Overdue { request, attempt } = piece {
            overdue.entry(*request).or_default().push(*attempt);
        }
    }
    if !wanted.is_empty() {
        let wanted: Vec<_> = wanted.into_iter().collect();
        host.reread_known(&wanted).await?;
    }
    let heard = news.to_vec();
    host.instruct(move |engine, step| engine.hear(step, &heard)).await;
    if !overdue.is_empty() {
        let requests: Vec<_> = overdue.keys().copied().collect();
        let stored = host.reread(&requests, &BTreeSet::new()).await?;
        let named: Vec<_> = overdue.into_values().flatten().collect();
        host.adopt(stored, &named, Adoption::Overdue).await?;
    }
    Ok(())
}

impl Host {
    /// As [`Host::reread`], for requests that news are about: one that is not there is over and swept.
    async fn reread_known(&self, ids: &[RequestId]) -> Result<(), Failure> {
        let stored = self.read_requests(ids).await?;
        self.instruct(move |engine, step| engine.learn(step, stored, &BTreeSet::new())).await;
        Ok(())
    }
}

/// Tells other brokers who is here, and sees to what a dead one left, until the broker stops.
pub(super) async fn tend(host: Host) {
    let stopping = host.stopping().clone();
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told: BTreeMap<WorkerId, Instant> = BTreeMap::new();
    let mut since = Timestamp::default();
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            _ = look.tick() => {}
        }
        let leads = host.shared.backend.leadership.is_leader();
        host.instruct(move |engine, _| engine.lead(leads)).await;
        let now = Instant::now();
        told.retain(|_, at| now.duration_since(*at) < SEEN_EVERY);
        let seen = host.glance(|engine, now| engine.seen_since(since, now));
        since = host.now();
        let news: Vec<_> = seen.into_iter().filter(|(worker, _)| !told.contains_key(worker)).collect();
        if !news.is_empty() {
            told.extend(news.iter().map(|(worker, _)| (*worker, now)));
            host.shared.backend.peers.tell(News::Seen(news));
        }
        if leads && let Some(living) = host.shared.backend.peers.living() {
            let orphans = host.glance(|engine, _| engine.orphans(&living));
            if !orphans.is_empty() {
                tracing::warn!(jobs = orphans.len(), "a broker is gone; jobs of its workers go back");
                let (requests, attempts): (BTreeSet<_>, Vec<_>) = orphans.into_iter().unzip();
                let requests: Vec<_> = requests.into_iter().collect();
                let outcome = match host.reread(&requests, &BTreeSet::new()).await {
                    Ok(stored) => host.adopt(stored, &attempts, Adoption::Orphaned).await,
                    Err(error) => Err(error),
                };
                if let Err(error) = outcome {
                    tracing::warn!(%error, "jobs of a dead broker could not be taken over yet");
                }
            }
        }
    }
}
