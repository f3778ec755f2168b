//! Records as they ought to be: rows in maps, applied a batch at a time, each change checked against
//! what must never happen.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use gridbroker::domain::{
    AttemptId, Kudos, RequestId, Timestamp, UserId, WorkerId,
    kudos::{Account, Posting},
    lease::{Attempt, Closed},
    record::{Record, Snapshot, StoredRequest},
    result::Outcome,
    transfer::Transfer,
    user::User,
    worker::{Worker, WorkerStats},
};
use uuid::Uuid;

/// What is on disk.
pub struct Model {
    pub users: BTreeMap<UserId, User>,
    pub workers: BTreeMap<WorkerId, Worker>,
    pub requests: BTreeMap<RequestId, StoredRequest>,
    /// Requests that were dropped, as they last were.
    pub dropped: HashMap<RequestId, StoredRequest>,
    pub outcomes: HashMap<AttemptId, Arc<Outcome>>,
    pub balances: BTreeMap<Account, Kudos>,
    attempts: HashMap<AttemptId, RequestId>,
    posted: HashSet<String>,
    /// Kudos that users gave each other.
    pub transfers: HashMap<Uuid, Transfer>,
    /// What accounts were forgiven.
    forgiven: HashMap<UserId, Kudos>,
    /// Accounts that lost kudos in this batch, what their balances may not fall below, and whether that is
    /// beside what is set aside.
    backed: Vec<(UserId, Kudos, bool)>,
    /// Results of this batch whose webhook is not due yet.
    untold: HashSet<AttemptId>,
    complaints: Vec<String>,
}

impl Default for Model {
    fn default() -> Self {
        let anonymous = User::anonymous();
        Self {
            users: BTreeMap::from([(anonymous.id, anonymous)]),
            workers: BTreeMap::new(),
            requests: BTreeMap::new(),
            dropped: HashMap::new(),
            outcomes: HashMap::new(),
            balances: BTreeMap::new(),
            attempts: HashMap::new(),
            posted: HashSet::new(),
            transfers: HashMap::new(),
            forgiven: HashMap::new(),
            backed: Vec::new(),
            untold: HashSet::new(),
            complaints: Vec::new(),
        }
    }
}

impl Model {
    /// Applies a batch, and says what in it must not be.
    pub fn commit(&mut self, batch: &[Record]) -> Vec<String> {
        for record in batch {
            self.apply(record);
        }
        let sum: Kudos = self.balances.values().copied().sum();
        self.demand(sum == Kudos::ZERO, || format!("balances sum to {sum}, not to zero"));
        for (id, floor, counts_holds) in std::mem::take(&mut self.backed) {
            let held = if counts_holds { self.held(id) } else { Kudos::ZERO };
            let balance = self.balance(id);
            self.demand(balance - held >= floor, || {
                format!("the balance of {id} is {balance}, {held} of it are set aside: below {floor}")
            });
        }
        let counted: Vec<_> = self.users.values().filter_map(|user| self.miscounted(user)).collect();
        self.complaints.extend(counted);
        for attempt in std::mem::take(&mut self.untold) {
            self.demand(false, || format!("{attempt} was settled and its webhook is not due"));
        }
        std::mem::take(&mut self.complaints)
    }

    /// All that an engine starts from.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            users: self.users.values().cloned().collect(),
            workers: self.workers.values().cloned().collect(),
            requests: self.requests.values().filter(|stored| !stored.done).cloned().collect(),
            ..Snapshot::default()
        }
    }

    /// Whether an attempt is on disk.
    pub fn knows(&self, attempt: AttemptId) -> bool {
        self.attempts.contains_key(&attempt)
    }

    /// Whether an attempt is open on disk.
    pub fn is_open(&self, attempt: AttemptId) -> bool {
        let request = self.attempts.get(&attempt).and_then(|request| self.requests.get(request));
        request.is_some_and(|stored| stored.open.iter().any(|open| open.id == attempt))
    }

    /// When the lease of an open attempt ends.
    pub fn stored_expiry(&self, attempt: AttemptId) -> Option<Timestamp> {
        let stored = self.attempts.get(&attempt).and_then(|request| self.requests.get(request))?;
        stored.open.iter().find(|open| open.id == attempt).map(|open| open.expires_at)
    }

    /// What an account has.
    pub fn balance(&self, user: UserId) -> Kudos {
        self.balances.get(&user.into()).copied().unwrap_or_default()
    }

    /// A request as it is, or last was, on disk.
    pub fn request(&self, id: RequestId) -> Option<&StoredRequest> {
        self.requests.get(&id).or_else(|| self.dropped.get(&id))
    }

    /// Moves a balance, as the planted bug does once more.
    pub fn shift(&mut self, account: Account, amount: Kudos) {
        *self.balances.entry(account).or_default() += amount;
        let Some(user) = account.holder().and_then(|id| self.users.get_mut(&id)) else { return };
        match account == Account::escrow(user.id) {
            true => user.escrow += amount,
            false => user.balance += amount,
        }
        let short = (user.escrow < Kudos::ZERO).then_some(user.id);
        self.demand(short.is_none(), || format!("more was given back than was put aside: {short:?}"));
    }

    fn demand(&mut self, holds: bool, complaint: impl FnOnce() -> String) {
        if !holds {
            self.complaints.push(complaint());
        }
    }

    fn apply(&mut self, record: &Record) {
        match record {
            Record::UserMade(user) => {
                self.users.insert(user.id, (**user).clone());
            }
            Record::UserCounted { user, change } => {
                if let Some(user) = self.users.get_mut(user) {
                    user.stats.add(change);
                }
            }
            Record::WorkerMade { worker, limit, .. } => self.make(worker, *limit),
            Record::WorkerSaid(worker) => {
                let Some(known) = self.workers.get_mut(&worker.id) else {
                    return self.demand(false, || format!("worker {} speaks but is not on disk", worker.id));
                };
                let (stats, standing) = (known.stats.clone(), known.standing.clone());
                *known = Worker { stats, standing, ..(**worker).clone() };
            }
            Record::WorkerRuled { worker, ruling } => {
                if let Some(worker) = self.workers.get_mut(worker) {
                    ruling.apply(&mut worker.standing);
                }
            }
            Record::JobCounted(_) => {}
            Record::WorkerDropped(_)
            | Record::BoardChanged(_)
            | Record::FilterChanged(_)
            | Record::Style(_) => {
                self.demand(false, || format!("nobody asked for {record:?}"));
            }
            Record::WorkerCounted { worker, change } => {
                if let Some(worker) = self.workers.get_mut(worker) {
                    worker.stats.add(change);
                }
            }
            Record::KudosHeld { owner, amount, floor, request } => {
                let held = self.held(*owner);
                let (has, is_noted) = (
                    self.balance(*owner) - *floor,
                    self.requests.get(request).is_some_and(|r| r.request.spec.origin.upfront == *amount),
                );
                self.demand(is_noted && held <= has, || {
                    format!("{owner} sets aside {amount} for {request}: {held} in all, of {has}")
                });
            }
            Record::KeyHeld { .. } | Record::TeamCounted { .. } => {
                self.demand(false, || format!("nobody asked for {record:?}"));
            }
            Record::SharedKeyMade { key, .. } => {
                if let Some(user) = self.users.get_mut(&key.owner) {
                    user.shared_keys.push((**key).clone());
                }
            }
            Record::SharedKeyChanged { key: id, owner, change } => {
                let keys = self.users.get_mut(owner).into_iter().flat_map(|user| &mut user.shared_keys);
                keys.filter(|key| key.id == *id).for_each(|key| change.apply(key));
            }
            Record::SharedKeyDropped { key: id, owner } => {
                if let Some(user) = self.users.get_mut(owner) {
                    user.shared_keys.retain(|key| key.id != *id);
                }
            }
            Record::SharedKeyUsed { key: id, owner, amount, .. } => {
                let keys = self.users.get_mut(owner).into_iter().flat_map(|user| &mut user.shared_keys);
                for key in keys.filter(|key| key.id == *id) {
                    key.spend(*amount);
                }
            }
            Record::RoleGiven { user, role } => {
                if let Some(user) = self.users.get_mut(user).filter(|user| !user.roles.contains(role)) {
                    user.roles.push(*role);
                }
            }
            Record::UserAmended { user, amendment } => {
                if let Some(user) = self.users.get_mut(user) {
                    amendment.apply(user);
                }
            }
            Record::UptimeRewarded { worker: id, number } => {
                let Some(worker) = self.workers.get_mut(id) else {
                    return self.demand(false, || format!("worker {id} is paid but is not on disk"));
                };
                let before = std::mem::replace(&mut worker.stats.uptime_rewards, *number);
                self.demand(before + 1 == *number, || format!("reward {number} of {id} after {before}"));
            }
            Record::RequestAccepted { request, expires_at, .. } => {
                let stored = StoredRequest {
                    request: request.clone(),
                    expires_at: *expires_at,
                    cancelled: false,
                    faulted: false,
                    done: false,
                    consumed: Kudos::ZERO,
                    open: Vec::new(),
                    closed: Vec::new(),
                    outcomes: Vec::new(),
                };
                let is_new = self.requests.insert(request.id, stored).is_none();
                self.demand(is_new, || format!("request {} was accepted twice", request.id));
            }
            Record::RequestMoved { request, expires_at, cancelled, faulted, spent } => {
                let Some(stored) = self.requests.get_mut(request) else {
                    return self.demand(false, || format!("request {request} moved but is not on disk"));
                };
                stored.expires_at = stored.expires_at.max(*expires_at);
                stored.consumed += *spent;
                stored.cancelled |= cancelled;
                stored.faulted |= faulted;
                self.conclude(*request);
                self.demand(*spent >= Kudos::ZERO, || format!("request {request} got kudos back"));
            }
            Record::AttemptOpened { request, attempt } => self.open(*request, attempt),
            Record::LeaseMoved { attempt, expires_at } => {
                if let Some(open) = self.find(*attempt).and_then(|(stored, at)| stored.open.get_mut(at)) {
                    open.expires_at = *expires_at;
                }
            }
            Record::AttemptClosed { request, attempt, how } => {
                self.close(*attempt, *how);
                self.conclude(*request);
            }
            Record::Settled { request, outcome } => {
                self.close(outcome.attempt, Closed::Settled);
                let other = self.requests.get_mut(request).and_then(|stored| {
                    if stored.request.spec.webhook.is_some() {
                        self.untold.insert(outcome.attempt);
                    }
                    let other = stored.outcomes.iter().find(|other| other.job == outcome.job).cloned();
                    stored.outcomes.push(outcome.clone());
                    other
                });
                self.demand(other.is_none(), || {
                    format!("job {} of {request} settled a second time", outcome.job)
                });
                let is_new = self.outcomes.insert(outcome.attempt, outcome.clone()).is_none();
                self.demand(is_new, || format!("attempt {} settled twice", outcome.attempt));
                self.conclude(*request);
            }
            Record::WebhookDue(due) => {
                let is_right = self.untold.remove(&due.attempt) && due.host == "example.org";
                self.demand(is_right, || format!("a webhook of {} is due without a result", due.attempt));
            }
            Record::Posted(posting) => self.post(posting),
            Record::KudosTransferred { transfer, floor } => {
                let transfer: &Transfer = transfer;
                let is_new = self.transfers.insert(transfer.id, transfer.clone()).is_none();
                self.demand(is_new, || format!("transfer {} was done twice", transfer.id));
                self.backed.push((transfer.sender, *floor, true));
            }
            Record::SharedKeyFilled { key: id, owner, amount } => {
                let keys = self.users.get_mut(owner).into_iter().flat_map(|user| &mut user.shared_keys);
                for budget in keys.filter(|key| key.id == *id).filter_map(|key| key.budget.as_mut()) {
                    *budget += *amount;
                }
            }
            Record::MonthlyChanged { user, delta, at } => {
                if let Some(user) = self.users.get_mut(user) {
                    user.monthly.amount = (user.monthly.amount + *delta).max(Kudos::ZERO);
                    user.monthly.paid_at.get_or_insert(*at);
                }
            }
            Record::MonthlyPaid { user, before, at } => {
                let last = self.users.get_mut(user).and_then(|user| user.monthly.paid_at.replace(*at));
                self.demand(last == *before, || format!("{user} was paid after {before:?}, had {last:?}"));
            }
            Record::RequestDropped { request: id, .. } => {
                if let Some(stored) = self.requests.remove(id) {
                    self.demand(stored.done, || format!("request {id} was dropped before it was done"));
                    self.dropped.insert(*id, stored);
                }
            }
        }
    }

    /// What is set aside for an account's requests.
    pub fn held(&self, owner: UserId) -> Kudos {
        let own = |stored: &&StoredRequest| stored.request.owner == owner && !stored.done;
        let left =
            |stored: &StoredRequest| (stored.request.spec.origin.upfront - stored.consumed).max(Kudos::ZERO);
        self.requests.values().filter(own).map(left).sum()
    }

    /// When one account last gave kudos to another.
    pub fn last_transfer(&self, sender: UserId, receiver: UserId) -> Option<Timestamp> {
        let given = self.transfers.values().filter(|t| (t.sender, t.receiver) == (sender, receiver));
        given.map(|transfer| transfer.at).max()
    }

    /// What is wrong with an account's kudos by source, if anything.
    fn miscounted(&self, user: &User) -> Option<String> {
        let (stats, moved) = (&user.stats, &user.stats.moved);
        let given = moved.gifted + moved.donated + moved.received;
        let counted =
            stats.accumulated + stats.granted + given + moved.recurring + moved.awarded + moved.styled;
        let forgiven = self.forgiven.get(&user.id).copied().unwrap_or_default();
        let id = user.id;
        (counted + forgiven != user.balance).then(|| {
            format!("{id} counts {counted}, was forgiven {forgiven} and has a balance of {}", user.balance)
        })
    }

    fn make(&mut self, worker: &Worker, limit: usize) {
        let count = self.workers.values().filter(|other| other.owner == worker.owner).count();
        self.demand(count <= limit, || format!("{} got a worker beside {count} others", worker.owner));
        let name = &worker.name;
        let is_free = self.workers.values().all(|other| other.name != *name && other.id != worker.id);
        self.demand(is_free, || format!("worker {name} was made twice"));
        let made = Worker { stats: WorkerStats::default(), ..worker.clone() };
        self.workers.insert(worker.id, made);
    }

    fn open(&mut self, id: RequestId, attempt: &Attempt) {
        let Some(stored) = self.requests.get_mut(&id) else {
            return self.demand(false, || format!("attempt {} opened for unknown request {id}", attempt.id));
        };
        let rival = stored.open.iter().find(|open| open.job == attempt.job).map(|open| open.id);
        let is_settled = stored.outcomes.iter().any(|outcome| outcome.job == attempt.job);
        let is_over = stored.done;
        let numbers: BTreeSet<u32> =
            stored.closed.iter().filter(|c| c.0 == attempt.job).map(|c| c.1).collect();
        stored.open.push(attempt.clone());
        let is_new = self.attempts.insert(attempt.id, id).is_none();
        self.demand(is_new, || format!("attempt {} opened twice", attempt.id));
        let job = attempt.job;
        self.demand(rival.is_none(), || {
            format!("job {job} of {id} is held twice: by {rival:?} and {}", attempt.id)
        });
        self.demand(!is_settled, || format!("job {job} of {id} was granted though it is settled"));
        self.demand(!is_over, || format!("job {job} of {id} was granted though the request is done"));
        let is_next = numbers.last().is_none_or(|last| *last < attempt.number);
        self.demand(is_next, || format!("job {job} of {id} got number {} again", attempt.number));
    }

    fn find(&mut self, attempt: AttemptId) -> Option<(&mut StoredRequest, usize)> {
        let stored = self.attempts.get(&attempt).and_then(|id| self.requests.get_mut(id))?;
        let at = stored.open.iter().position(|open| open.id == attempt)?;
        Some((stored, at))
    }

    fn close(&mut self, attempt: AttemptId, how: Closed) {
        let Some((stored, at)) = self.find(attempt) else {
            return self.demand(false, || {
                format!("attempt {attempt} was settled or closed ({how:?}) but is not open")
            });
        };
        let open = stored.open.remove(at);
        if how != Closed::Settled {
            stored.closed.push((open.job, open.number, open.id, how));
        }
    }

    /// A request is done once every job has its result, or once it is over and nobody holds a job.
    fn conclude(&mut self, id: RequestId) {
        if let Some(stored) = self.requests.get_mut(&id) {
            let is_over = (stored.cancelled || stored.faulted) && stored.open.is_empty();
            stored.done = is_over || stored.outcomes.len() >= stored.request.spec.jobs;
        }
    }

    fn post(&mut self, posting: &Posting) {
        let is_new = self.posted.insert(posting.key.clone());
        self.demand(is_new, || format!("posting {} came twice", posting.key));
        self.demand(posting.amount > Kudos::ZERO, || {
            format!("posting {} moves {}", posting.key, posting.amount)
        });
        self.shift(posting.from, -posting.amount);
        self.shift(posting.to, posting.amount);
        if let Some(payer) = self.users.get(&UserId(posting.from.0)) {
            self.backed.push((payer.id, payer.floor(), false));
        }
        if let (Account::FORGIVEN, Some(id)) = (posting.from, posting.to.holder()) {
            *self.forgiven.entry(id).or_default() += posting.amount;
        }
    }
}
