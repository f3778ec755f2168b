//! Accounts: users, keys, and what kudos move between them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::{Engine, Step, membership::about_new};
use crate::domain::{
    Error, Kudos, RequestId, Result, SharedKeyId, Timestamp, UserId,
    account::Identity,
    kudos::Posting,
    monthly::Monthly,
    record::Record,
    request::Kind,
    source::Source,
    user::{KeyHash, Role, User, UserStats},
};

/// The accounts, in memory.
pub(super) struct Accounts {
    users: HashMap<UserId, User>,
    by_key: HashMap<KeyHash, UserId>,
    /// Keys that are lent.
    lent: HashMap<KeyHash, (UserId, SharedKeyId)>,
    /// Services by the hashes of their passkeys.
    services: HashMap<KeyHash, UserId>,
    active: HashMap<UserId, BTreeSet<RequestId>>,
}

impl Default for Accounts {
    fn default() -> Self {
        let mut accounts = Self {
            users: HashMap::new(),
            by_key: HashMap::new(),
            lent: HashMap::new(),
            services: HashMap::new(),
            active: HashMap::new(),
        };
        accounts.insert(User::anonymous());
        accounts
    }
}

/// What an operator says of an account to be made.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// Alias, without an ID.
    pub alias: String,
    /// Hash of the key it will have.
    pub key: KeyHash,
    /// Opening balance.
    pub kudos: Kudos,
    /// Roles.
    pub roles: Vec<Role>,
    /// Jobs of one kind that may wait at a time.
    pub concurrency: usize,
    /// Workers allowed beyond the common limit.
    pub worker_invites: usize,
}

impl Accounts {
    pub fn get(&self, id: UserId) -> Option<&User> {
        self.users.get(&id)
    }

    /// All accounts, in no order.
    pub fn all(&self) -> impl Iterator<Item = &User> {
        self.users.values()
    }

    pub fn get_mut(&mut self, id: UserId) -> Option<&mut User> {
        self.users.get_mut(&id)
    }

    pub fn insert(&mut self, user: User) {
        if let Some(known) = self.users.get(&user.id) {
            if known.key != user.key {
                self.by_key.remove(&known.key);
            }
            if let Some(passkey) = &known.about.proxy_passkey {
                self.services.remove(&KeyHash::of(passkey));
            }
            for gone in known.shared_keys.iter().filter(|key| user.shared_key(key.id).is_none()) {
                self.lent.remove(&gone.hash());
            }
        }
        self.by_key.insert(user.key, user.id);
        if let Some(passkey) = &user.about.proxy_passkey {
            self.services.insert(KeyHash::of(passkey), user.id);
        }
        for key in &user.shared_keys {
            self.lent.insert(key.hash(), (user.id, key.id));
        }
        self.users.insert(user.id, user);
    }

    /// Forgets an account.
    fn remove(&mut self, id: UserId) {
        if let Some(user) = self.users.remove(&id) {
            self.by_key.remove(&user.key);
            if let Some(passkey) = &user.about.proxy_passkey {
                self.services.remove(&KeyHash::of(passkey));
            }
            for key in &user.shared_keys {
                self.lent.remove(&key.hash());
            }
        }
    }

    /// The account that lends a key, and the key.
    pub fn lender(&self, key: &KeyHash) -> Option<(UserId, SharedKeyId)> {
        self.lent.get(key).copied()
    }

    /// The account that has a passkey.
    pub fn by_passkey(&self, passkey: &KeyHash) -> Option<&User> {
        self.services.get(passkey).and_then(|id| self.get(*id))
    }

    /// Notes that a request of the account is open, or no longer.
    pub fn active(&mut self, owner: UserId, request: RequestId, is_open: bool) {
        let open = self.active.entry(owner).or_default();
        if is_open {
            open.insert(request);
        } else {
            open.remove(&request);
        }
        if open.is_empty() {
            self.active.remove(&owner);
        }
    }

    /// Requests of the account that are open.
    pub fn open(&self, owner: UserId) -> impl Iterator<Item = RequestId> {
        self.active.get(&owner).into_iter().flatten().copied()
    }

    /// Charges an account, and returns what it is charged.
    pub fn charge(
        &mut self,
        step: &mut Step<'_>,
        owner: UserId,
        amount: Kudos,
        posting: impl FnOnce(Kudos, Timestamp) -> Posting,
    ) -> Kudos {
        if amount <= Kudos::ZERO || !self.users.contains_key(&owner) {
            return Kudos::ZERO;
        }
        self.post(step, owner, -amount, Source::Accumulated, posting(amount, step.now));
        amount
    }

    /// Pays an account.
    pub fn pay(
        &mut self,
        step: &mut Step<'_>,
        owner: UserId,
        amount: Kudos,
        posting: impl FnOnce(Kudos, Timestamp) -> Posting,
    ) {
        if amount > Kudos::ZERO {
            self.post(step, owner, amount, Source::Accumulated, posting(amount, step.now));
        }
    }

    /// Moves kudos between the system and an account, which gains them or, below zero, loses them.
    pub fn post(&mut self, step: &mut Step<'_>, id: UserId, change: Kudos, source: Source, posting: Posting) {
        if change != Kudos::ZERO && self.users.contains_key(&id) {
            step.persist(Record::Posted(posting));
            self.settle(step, id, change, source);
        }
    }

    /// Counts what was posted to an account. What then lacks to its floor it is forgiven.
    pub fn settle(&mut self, step: &mut Step<'_>, id: UserId, change: Kudos, source: Source) {
        let Some(user) = self.users.get_mut(&id) else { return };
        user.balance += change;
        let mut counted = source.counts(change);
        let lift = user.shortfall();
        if lift > Kudos::ZERO {
            user.balance += lift;
            counted.moved.lifts = 1;
            let number = user.stats.moved.lifts + 1;
            step.persist(Record::Posted(Posting::lift(id, number, lift, step.now)));
        }
        self.tally(step, id, counted);
    }

    /// Adds to an account's figures.
    pub fn tally(&mut self, step: &mut Step<'_>, id: UserId, change: UserStats) {
        if let Some(user) = self.users.get_mut(&id) {
            user.stats.add(&change);
            step.persist(Record::UserCounted { user: id, change });
        }
    }
}

impl Engine {
    /// The account of a key.
    pub fn user_by_key(&self, key: &KeyHash) -> Option<&User> {
        self.accounts.by_key.get(key).and_then(|id| self.accounts.get(*id))
    }

    /// An account.
    pub fn user(&self, id: UserId) -> Option<&User> {
        self.accounts.get(id)
    }

    /// Sum of all balances and of what is put aside, which the system accounts mirror.
    pub fn total_balance(&self) -> Kudos {
        self.accounts.users.values().map(|user| user.balance + user.escrow).sum()
    }

    /// Requests of an account that are not done.
    pub fn active_requests(&self, owner: UserId, kind: Kind) -> Vec<RequestId> {
        let open = self.accounts.active.get(&owner).into_iter().flatten();
        open.filter(|id| self.requests.get(id).is_some_and(|request| request.kind() == kind))
            .copied()
            .collect()
    }

    /// Forgets an account that Records refused.
    pub fn forget_user(&mut self, id: UserId) {
        self.accounts.remove(id);
    }

    /// Grants what an account's balance lacks to an amount.
    pub fn top_up(&mut self, step: &mut Step<'_>, id: UserId, to: Kudos) {
        let name = step.dice.uuid().to_string();
        let Some(user) = self.accounts.users.get_mut(&id) else { return };
        let lacking = to - user.balance;
        if lacking > Kudos::ZERO {
            user.balance = to;
            step.persist(Record::Posted(Posting::grant(&name, id, lacking, step.now)));
            self.accounts.tally(step, id, UserStats { granted: lacking, ..UserStats::default() });
        }
    }

    /// Grants an account kudos, or takes some; its balance then, which does not fall below its floor.
    pub(super) fn grant(&mut self, step: &mut Step<'_>, id: UserId, amount: Kudos) -> Kudos {
        let name = step.dice.uuid().to_string();
        let posting = match amount < Kudos::ZERO {
            true => Posting::revocation(&name, id, -amount, step.now),
            false => Posting::grant(&name, id, amount, step.now),
        };
        self.accounts.post(step, id, amount, Source::Admin, posting);
        self.accounts.get(id).map_or(Kudos::ZERO, |user| user.balance)
    }

    /// Makes an account. IDs count up from 1.
    ///
    /// # Errors
    /// [`Error::KeyExists`] if another account has the key; [`Error::BadRequest`] for a bad alias.
    pub fn add_user(&mut self, step: &mut Step<'_>, new: NewUser) -> Result<User> {
        self.make_user(step, new, Identity::Known)
    }

    pub(super) fn make_user(
        &mut self,
        step: &mut Step<'_>,
        new: NewUser,
        identity: Identity,
    ) -> Result<User> {
        if new.alias.trim().is_empty() || new.alias.chars().count() > 100 || new.alias.contains(['\0', '#']) {
            return Err(Error::BadRequest(
                "an alias has 1 to 100 characters, none of them '#' or NUL".into(),
            ));
        }
        if self.accounts.by_key.contains_key(&new.key) {
            return Err(Error::KeyExists);
        }
        if new.kudos < Kudos::ZERO {
            return Err(Error::BadRequest("an account cannot begin with a debt".into()));
        }
        let id = UserId(self.accounts.users.keys().map(|id| id.0).max().unwrap_or(0) + 1);
        let mut user = User {
            id,
            alias: new.alias.trim().to_owned(),
            key: new.key,
            roles: new.roles,
            concurrency: new.concurrency,
            worker_invites: new.worker_invites,
            created_at: step.now,
            balance: Kudos::ZERO,
            escrow: Kudos::ZERO,
            stats: UserStats::default(),
            shared_keys: Vec::new(),
            monthly: Monthly::default(),
            about: about_new(identity, step.now),
        };
        step.persist(Record::UserMade(Arc::new(user.clone())));
        if new.kudos > Kudos::ZERO {
            step.persist(Record::Posted(Posting::opening(id, new.kudos, step.now)));
        }
        user.balance = new.kudos;
        self.accounts.insert(user);
        self.accounts.tally(step, id, UserStats { granted: new.kudos, ..UserStats::default() });
        self.accounts.get(id).cloned().ok_or(Error::UserNotFound)
    }
}
