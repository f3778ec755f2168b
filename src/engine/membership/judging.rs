//! What may be changed of an account, and by whom: the contract's table of fields, refusal by refusal.

use std::collections::BTreeMap;

use crate::domain::{
    Error, Kudos, Result, UserId,
    account::{AccountRule, LONGEST_ALIAS},
    user::{Role, User},
    words::{self, WordList},
};

/// What is to change of an account; `None`: it stays.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct UserUpdate {
    /// Whole kudos that are granted, or taken.
    pub kudos: Option<i64>,
    /// Whole kudos a month, more or less than now.
    pub monthly_kudos: Option<i64>,
    /// Scales what it used.
    pub usage_multiplier: Option<f64>,
    /// Jobs of one kind that may wait at a time.
    pub concurrency: Option<usize>,
    /// Workers allowed beyond the common limit.
    pub worker_invites: Option<usize>,
    /// Roles that it gets, and those that it loses.
    pub roles: BTreeMap<Role, bool>,
    /// Its suspicion, and that of its workers, is forgotten.
    pub resets_suspicion: bool,
    /// What moderators say of it.
    pub admin_comment: Option<String>,
    /// Everybody may see whose its workers are.
    pub public_workers: Option<bool>,
    /// Its name, as it was sent.
    pub alias: Option<String>,
    /// How it can be reached.
    pub contact: Option<String>,
    /// A new passkey, made by whoever carries the call.
    pub passkey: Option<String>,
    /// It is not to be deleted any more.
    pub undeletes: bool,
}

/// What has changed.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct UserUpdated {
    /// Its balance.
    pub kudos: Option<Kudos>,
    /// Whole kudos a month.
    pub monthly_kudos: Option<i64>,
    /// Scales what it used.
    pub usage_multiplier: Option<f64>,
    /// Jobs of one kind that may wait at a time.
    pub concurrency: Option<usize>,
    /// Workers allowed beyond the common limit.
    pub worker_invites: Option<usize>,
    /// Roles that were given or taken, and whether it has them now.
    pub roles: BTreeMap<Role, bool>,
    /// Reasons for suspicion that are left.
    pub suspicion: Option<i64>,
    /// What moderators say of it.
    pub admin_comment: Option<String>,
    /// Everybody may see whose its workers are.
    pub public_workers: Option<bool>,
    /// Its name, as it is kept, without its number.
    pub alias: Option<String>,
    /// How it can be reached.
    pub contact: Option<String>,
    /// Its new passkey.
    pub passkey: Option<String>,
    /// It is not to be deleted any more.
    pub undeleted: bool,
}

/// Who changes an account.
struct Changer<'a> {
    user: &'a User,
    owns: bool,
}

impl Changer<'_> {
    fn demand_admin(&self) -> Result<()> {
        if self.user.is(Role::Admin) { Ok(()) } else { Err(Error::NotAdmin) }
    }

    fn demand_moderator(&self) -> Result<()> {
        if self.user.keeps_order() { Ok(()) } else { Err(Error::NotModerator) }
    }

    fn demand_owner(&self) -> Result<()> {
        if self.owns || self.user.keeps_order() { Ok(()) } else { Err(Error::NotModerator) }
    }

    fn demand_somebody(&self) -> Result<()> {
        match self.user.id {
            UserId::ANONYMOUS => Err(AccountRule::AnonymousSaysNothing.into()),
            _ => Ok(()),
        }
    }
}

/// Whether an account may change another one so, field by field in the contract's order.
pub(super) fn judge(caller: &User, target: &User, update: &UserUpdate, profanity: &WordList) -> Result<()> {
    if *update == UserUpdate::default() {
        return Err(AccountRule::NothingSelected.into());
    }
    let changer = Changer { user: caller, owns: caller.id == target.id };
    let is_clean = |text: &str, rule: AccountRule| match profanity.is_in(text) {
        true => Err(Error::from(rule)),
        false => Ok(()),
    };
    let takes_admin = update.kudos.is_some()
        || update.monthly_kudos.is_some()
        || update.usage_multiplier.is_some()
        || update.roles.contains_key(&Role::Moderator);
    if takes_admin {
        changer.demand_admin()?;
    }
    let takes_moderator = update.concurrency.is_some()
        || update.worker_invites.is_some()
        || update.roles.keys().any(|role| *role != Role::Moderator)
        || update.resets_suspicion;
    if takes_moderator {
        changer.demand_moderator()?;
    }
    if let Some(comment) = &update.admin_comment {
        changer.demand_somebody()?;
        changer.demand_moderator()?;
        is_clean(comment, AccountRule::ProfaneComment)?;
    }
    if update.public_workers.is_some() {
        changer.demand_somebody()?;
        changer.demand_owner()?;
    }
    if let Some(alias) = &update.alias {
        changer.demand_somebody()?;
        changer.demand_owner()?;
        is_clean(alias, AccountRule::ProfaneName)?;
        if alias.trim().chars().count() > LONGEST_ALIAS {
            return Err(AccountRule::LongName.into());
        }
        safe_alias(alias)?;
    }
    if let Some(contact) = &update.contact {
        changer.demand_somebody()?;
        changer.demand_owner()?;
        is_clean(contact, AccountRule::ProfaneContact)?;
    }
    if update.passkey.is_some() {
        changer.demand_owner()?;
        if !caller.is(Role::Service) {
            return Err(AccountRule::NoService.into());
        }
    }
    if update.undeletes {
        changer.demand_owner()?;
        if !target.is(Role::Deleted) {
            return Err(AccountRule::NotDeleted.into());
        }
    }
    Ok(())
}

/// A name as it is kept: cut, and safe to show.
pub(super) fn safe_alias(sent: &str) -> Result<String> {
    let sent: String = sent.trim().chars().take(LONGEST_ALIAS).collect();
    let alias = words::safe_text(&sent, LONGEST_ALIAS);
    if alias.is_empty() || alias.contains('#') {
        return Err(Error::BadRequest(format!(
            "a name has 1 to {LONGEST_ALIAS} characters, none of them '#'"
        )));
    }
    Ok(alias)
}
