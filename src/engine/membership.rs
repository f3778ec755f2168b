//! What becomes of an account: how it is made by whoever wants one, what its owner and moderators change,
//! its key, and its end.
//!
//! ```text
//!  register ──► an account ──► update, another key
//!                   │ delete: marked ──► undelete: as before
//!                   └──────────────────► delete, 30 days later: wiped; its number and its kudos stay
//! ```
//!
//! A change is judged as a whole before any of it is done, and is one deed.
//! Source: the users of the v2 contract.

mod judging;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

pub use self::judging::{UserUpdate, UserUpdated};
use self::judging::{judge, safe_alias};
use super::{Engine, NewUser, Step};
use crate::domain::{
    Error, Kudos, Result, Timestamp, UserId, WorkerId,
    account::{About, AccountRule, Amendment, Identity, LONGEST_ALIAS, WIPED},
    record::Record,
    sign_in::Somebody,
    user::{KeyHash, Role, User, UserStats},
    words,
};

/// How long an account that is scheduled for deletion must have been idle before it is wiped.
const IDLE: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How exactly it is known when an account was active: each note of it is a row that changes.
const NOTED_EVERY: Duration = Duration::from_secs(60 * 60);
/// What becoming an education account lifts concurrency to.
const EDUCATION_JOBS: usize = 200;
/// Most characters that are kept of what is said of an account.
const LONGEST_TEXT: usize = 500;

/// Somebody wants an account.
#[derive(Clone, Debug)]
pub struct Registration {
    /// The name, as it was sent.
    pub alias: String,
    /// Hash of the key that the account gets.
    pub key: KeyHash,
    /// Where it comes from.
    pub address: Option<IpAddr>,
    /// Who it is; `None`: they do not sign in.
    pub somebody: Option<Somebody>,
}

impl Engine {
    /// Makes an account. One of somebody who is signed in is refused by Records if they have one.
    ///
    /// # Errors
    /// RegistrationClosed in raid mode for who is not signed in, TimeoutIP, ProfaneUserName, BadRequest for what is no name, KeyExists.
    pub fn register(&mut self, step: &mut Step<'_>, new: Registration) -> Result<User> {
        if self.modes().raid && new.somebody.is_none() {
            return Err(AccountRule::RegistrationClosed.into());
        }
        if let Some(address) = new.address {
            self.refuse_timed_out(address, step.now)?;
        }
        if self.rules.people.profanity.is_in(&new.alias) {
            return Err(AccountRule::ProfaneName.into());
        }
        let is_long = new.alias.trim().chars().count() > LONGEST_ALIAS;
        let alias = safe_alias(&new.alias)?;
        let identity = match new.somebody {
            Some(somebody) => Identity::External(somebody.to_string()),
            None => Identity::Pseudonym(step.dice.uuid()),
        };
        let new = NewUser {
            alias,
            key: new.key,
            kudos: Kudos::ZERO,
            roles: Vec::new(),
            concurrency: User::CONCURRENCY,
            worker_invites: 0,
        };
        let user = self.make_user(step, new, identity)?;
        if is_long {
            self.accounts.tally(step, user.id, UserStats { suspicion: 1, ..UserStats::default() });
        }
        Ok(user)
    }

    /// Gives the account of somebody who is signed in another key, and another name if they want one.
    ///
    /// # Errors
    /// UserNotFound if it is not theirs; ProfaneUserName, BadRequest for what is no name, KeyExists.
    pub fn reclaim(
        &mut self,
        step: &mut Step<'_>,
        id: UserId,
        somebody: &Somebody,
        (alias, key): (Option<String>, KeyHash),
    ) -> Result<User> {
        let identity = Identity::External(somebody.to_string());
        let user = self.member(id).filter(|user| user.about.identity == identity);
        let replaces = Some(user.ok_or(Error::UserNotFound)?.key);
        if alias.as_ref().is_some_and(|alias| self.rules.people.profanity.is_in(alias)) {
            return Err(AccountRule::ProfaneName.into());
        }
        if self.user_by_key(&key).is_some() {
            return Err(Error::KeyExists);
        }
        let is_long = alias.as_ref().is_some_and(|alias| alias.trim().chars().count() > LONGEST_ALIAS);
        let alias = alias.as_deref().map(safe_alias).transpose()?;
        self.amend(step, id, Amendment { alias, key: Some(key), replaces, ..Amendment::default() });
        if is_long {
            self.accounts.tally(step, id, UserStats { suspicion: 1, ..UserStats::default() });
        }
        self.user(id).cloned().ok_or(Error::UserNotFound)
    }

    /// Changes an account, all of it or nothing.
    ///
    /// # Errors
    /// UserNotFound, InvalidAPIKey; NoUserModSelected; NotAdmin, NotModerator, AnonForbiddenUserMod,
    /// NonServiceForbidden; ProfaneAdminComment, ProfaneUserName, TooLongUserName, ProfaneUserContact;
    /// UserNotDeleted; BadRequest for what is no name.
    pub fn update_user(
        &mut self,
        step: &mut Step<'_>,
        caller: UserId,
        id: UserId,
        update: UserUpdate,
    ) -> Result<UserUpdated> {
        let target = self.member(id).ok_or(Error::UserNotFound)?;
        let user = self.accounts.get(caller).ok_or(Error::InvalidApiKey)?;
        judge(user, target, &update, &self.rules.people.profanity)?;
        let mut concurrency = update.concurrency;
        if concurrency.is_none() {
            concurrency = match update.roles.get(&Role::Education).filter(|_| id != UserId::ANONYMOUS) {
                Some(true) if target.concurrency < EDUCATION_JOBS => Some(EDUCATION_JOBS),
                Some(false) if target.concurrency == EDUCATION_JOBS => Some(User::CONCURRENCY),
                _ => None,
            };
        }
        let mut roles = BTreeMap::new();
        if update.roles.get(&Role::Moderator) == Some(&true) {
            roles.insert(Role::Trusted, true);
        }
        roles.extend(update.roles.iter().map(|(role, has)| (*role, *has)));
        if update.undeletes {
            roles.insert(Role::Deleted, false);
        }
        let safe = |text: Option<String>| text.map(|text| words::safe_text(&text, LONGEST_TEXT));
        let amendment = Amendment {
            alias: update.alias.as_deref().map(safe_alias).transpose()?,
            contact: safe(update.contact),
            admin_comment: safe(update.admin_comment),
            public_workers: update.public_workers,
            usage_multiplier: update.usage_multiplier,
            proxy_passkey: update.passkey,
            concurrency,
            worker_invites: update.worker_invites,
            // The anonymous account never has one.
            roles: if id == UserId::ANONYMOUS { BTreeMap::new() } else { roles },
            clears_suspicion: update.resets_suspicion,
            ..Amendment::default()
        };
        let monthly_kudos = update
            .monthly_kudos
            .map(|delta| self.change_monthly(step, id, delta))
            .transpose()?
            .map(Kudos::floor);
        let mut done = UserUpdated {
            kudos: update.kudos.map(|kudos| self.grant(step, id, Kudos::whole(kudos))),
            monthly_kudos,
            usage_multiplier: amendment.usage_multiplier,
            concurrency,
            worker_invites: amendment.worker_invites,
            admin_comment: amendment.admin_comment.clone(),
            public_workers: amendment.public_workers,
            alias: amendment.alias.clone(),
            contact: amendment.contact.clone(),
            passkey: amendment.proxy_passkey.clone(),
            undeleted: update.undeletes,
            ..UserUpdated::default()
        };
        let is_believed = amendment.roles.get(&Role::Trusted) == Some(&true);
        let forgets = is_believed || update.resets_suspicion;
        let changed = amendment.roles.clone();
        self.amend(step, id, amendment);
        if forgets {
            self.clear_suspicion(step, id);
        }
        if is_believed {
            self.judge_soon(step.now, id);
        }
        if !changed.is_empty() {
            self.standing_changed(step, id);
        }
        if let Some(user) = self.accounts.get(id) {
            done.suspicion = update.resets_suspicion.then_some(user.stats.suspicion);
            let has = |role: &Role| user.roles.contains(role);
            done.roles = update.roles.keys().map(|role| (*role, has(role))).collect();
        }
        Ok(done)
    }

    /// Schedules an account for deletion; one that is, and has been idle, is wiped.
    ///
    /// # Errors
    /// UserNotFound, InvalidAPIKey, AnonForbiddenUser, CannotDeleteMod, NotUserOrMod, CannotWipeActiveUser;
    /// Locked while one of its workers holds a job.
    pub fn delete_user(&mut self, step: &mut Step<'_>, caller: UserId, id: UserId) -> Result<()> {
        let target = self.member(id).ok_or(Error::UserNotFound)?;
        let user = self.accounts.get(caller).ok_or(Error::InvalidApiKey)?;
        if caller == UserId::ANONYMOUS {
            return Err(AccountRule::AnonymousDeletesNobody.into());
        }
        if target.keeps_order() {
            return Err(AccountRule::ModeratorStays.into());
        }
        if caller != id && !user.keeps_order() {
            return Err(AccountRule::NeitherSelfNorModerator.into());
        }
        // Roles of the anonymous account never change.
        if id == UserId::ANONYMOUS {
            return Ok(());
        }
        if !target.is(Role::Deleted) {
            let roles = [(Role::Deleted, true)].into();
            self.amend(step, id, Amendment { roles, ..Amendment::default() });
            self.standing_changed(step, id);
            return Ok(());
        }
        if step.now.since(target.about.active_at) < IDLE {
            return Err(AccountRule::StillActive.into());
        }
        self.wipe(step, id)
    }

    fn wipe(&mut self, step: &mut Step<'_>, id: UserId) -> Result<()> {
        let crew = self.workers_of(id);
        if crew.iter().any(|worker| self.is_at_work(*worker)) {
            return Err(Error::WorkerLocked);
        }
        for worker in crew {
            self.dismiss(step, worker);
            step.persist(Record::WorkerDropped(worker));
        }
        let amendment = Amendment {
            alias: Some(WIPED.into()),
            // The hash of what nobody knows.
            key: Some(KeyHash::of(&format!("{} {}", step.dice.uuid(), step.dice.uuid()))),
            identity: Some(Identity::Wiped),
            contact: Some(String::new()),
            admin_comment: Some(String::new()),
            proxy_passkey: Some(String::new()),
            public_workers: Some(false),
            drops_shared_keys: true,
            ..Amendment::default()
        };
        self.amend(step, id, amendment);
        Ok(())
    }

    /// Gives an account another key; the one before stops at once.
    ///
    /// # Errors
    /// UserNotFound; AnonForbidden for everybody's; KeyExists.
    pub fn rotate_key(&mut self, step: &mut Step<'_>, id: UserId, key: KeyHash) -> Result<User> {
        if id == UserId::ANONYMOUS {
            return Err(Error::AnonForbidden);
        }
        let replaces = Some(self.member(id).ok_or(Error::UserNotFound)?.key);
        if self.user_by_key(&key).is_some() {
            return Err(Error::KeyExists);
        }
        self.amend(step, id, Amendment { key: Some(key), replaces, ..Amendment::default() });
        self.user(id).cloned().ok_or(Error::UserNotFound)
    }

    /// Gives an account roles, or takes them, as its operator wants.
    ///
    /// # Errors
    /// UserNotFound; AnonForbidden for everybody's.
    pub fn set_roles(
        &mut self,
        step: &mut Step<'_>,
        id: UserId,
        roles: BTreeMap<Role, bool>,
    ) -> Result<User> {
        if id == UserId::ANONYMOUS {
            return Err(Error::AnonForbidden);
        }
        self.member(id).ok_or(Error::UserNotFound)?;
        self.amend(step, id, Amendment { roles, ..Amendment::default() });
        self.judge_soon(step.now, id);
        self.standing_changed(step, id);
        self.user(id).cloned().ok_or(Error::UserNotFound)
    }

    /// An account of which something is left.
    pub fn member(&self, id: UserId) -> Option<&User> {
        self.accounts.get(id).filter(|user| !user.is_wiped())
    }

    /// Workers of an account, oldest first.
    pub fn workers_of(&self, owner: UserId) -> Vec<WorkerId> {
        let crew = self.fleet.crew(owner).map(|crew| &crew.all);
        let mut workers: Vec<_> = crew.into_iter().flatten().filter_map(|id| self.fleet.get(*id)).collect();
        workers.sort_unstable_by_key(|worker| (worker.created_at, worker.id));
        workers.into_iter().map(|worker| worker.id).collect()
    }

    /// Whether a passkey is one of a service that may say for whom it calls.
    pub fn is_passkey(&self, passkey: &KeyHash) -> bool {
        let owner = self.accounts.by_passkey(passkey);
        owner.is_some_and(|owner| !owner.is(Role::Flagged) && !owner.is(Role::Deleted))
    }

    /// Notes that an account asks for something, or offers to work.
    pub(super) fn note_active(&mut self, step: &mut Step<'_>, id: UserId) {
        let Some(user) = self.accounts.get(id).filter(|_| id != UserId::ANONYMOUS) else { return };
        if step.now.since(user.about.active_at) >= NOTED_EVERY {
            self.amend(step, id, Amendment { active_at: Some(step.now), ..Amendment::default() });
        }
    }

    /// Changes what is said of an account, for good.
    fn amend(&mut self, step: &mut Step<'_>, id: UserId, amendment: Amendment) {
        if amendment == Amendment::default() {
            return;
        }
        let Some(mut user) = self.accounts.get(id).cloned() else { return };
        amendment.apply(&mut user);
        self.accounts.insert(user);
        step.persist(Record::UserAmended { user: id, amendment: Box::new(amendment) });
    }

    /// Takes over accounts and workers as Records have them, and lets workers go on, or not, by what their
    /// owners may do now.
    pub fn learn_changed(
        &mut self,
        step: &mut Step<'_>,
        users: Vec<User>,
        workers: Vec<crate::domain::worker::Worker>,
    ) {
        let may = |user: &User| {
            [Role::Trusted, Role::Flagged, Role::Deleted, Role::Vpn, Role::Special].map(|role| user.is(role))
        };
        let is_changed =
            |user: &&User| self.accounts.get(user.id).is_some_and(|known| may(known) != may(user));
        let changed: Vec<_> = users.iter().filter(is_changed).map(|user| user.id).collect();
        self.learn_people(step.now, users, workers);
        for id in changed {
            self.standing_changed(step, id);
        }
    }

    /// Workers of an account may be given more than before, or nothing any more.
    fn standing_changed(&mut self, step: &mut Step<'_>, id: UserId) {
        let Some(user) = self.accounts.get(id) else { return };
        let may_work = !user.is(Role::Flagged) && !user.is(Role::Deleted);
        let crew = self.workers_of(id);
        match may_work {
            true => self.refill(step, &crew),
            false => crew.into_iter().for_each(|worker| self.end_offers(step, worker)),
        }
    }
}

/// What is known of an account that is made now.
pub(super) fn about_new(identity: Identity, now: Timestamp) -> About {
    About { identity, active_at: now, ..About::default() }
}
