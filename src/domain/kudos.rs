//! Kudos: the unit of account, and the accounts it moves between.

use std::{
    fmt,
    iter::Sum,
    ops::{Add, AddAssign, Neg, Sub},
};

use serde::{Deserialize, Serialize};

use uuid::Uuid;

use super::{AttemptId, RequestId, Timestamp, UserId, WorkerId};

/// An amount of kudos, in millionths: sums are exact, prices have two decimals and factors two more.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Kudos(pub i64);

impl Kudos {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    const SCALE: f64 = 1_000_000.0;

    /// Whole kudos.
    pub const fn whole(kudos: i64) -> Self {
        Self(kudos.saturating_mul(1_000_000))
    }

    /// The nearest amount to a decimal number; out-of-range numbers are cut to the range.
    pub fn from_f64(kudos: f64) -> Self {
        Self((kudos * Self::SCALE).round() as i64)
    }

    /// As the legacy JSON prints it: a decimal number.
    pub fn as_f64(self) -> f64 {
        self.0 as f64 / Self::SCALE
    }

    /// Whether there are none.
    pub fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }

    /// Rounded down to whole kudos.
    pub fn floor(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// This amount times a factor, to the nearest millionth.
    pub fn times(self, factor: f64) -> Self {
        Self((self.0 as f64 * factor).round() as i64)
    }
}

impl Add for Kudos {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}
impl Sub for Kudos {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}
impl Neg for Kudos {
    type Output = Self;
    fn neg(self) -> Self {
        Self(-self.0)
    }
}
impl AddAssign for Kudos {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}
impl Sum for Kudos {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}
impl fmt::Display for Kudos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_f64())
    }
}

/// Where kudos lie: with a user, or with the system. Stored as a number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Account(pub i64);

impl Account {
    /// What workers are paid from.
    pub const MINT: Self = Self(-1);
    /// Where what requests cost goes to.
    pub const BURN: Self = Self(-2);
    /// What operators grant from.
    pub const GRANTS: Self = Self(-3);
    /// What lifts balances to their floors: what accounts could not pay and are forgiven. Statements of
    /// both keepers know the number.
    pub const FORGIVEN: Self = Self(-4);

    /// Where the accounts begin that kudos are put aside on; below lie the users' balances. Statements of
    /// both keepers know the number.
    pub const ESCROW: i64 = 1 << 40;

    /// Where what a user's workers earn is put aside until the user is trusted. Never below zero: Records
    /// refuse what would take more out of it than is there.
    pub const fn escrow(user: UserId) -> Self {
        Self(Self::ESCROW + user.0)
    }

    /// Whose it is, balance or escrow; `None`: the system's.
    pub fn holder(self) -> Option<UserId> {
        match self.0 {
            ..0 => None,
            0..Self::ESCROW => Some(UserId(self.0)),
            _ => Some(UserId(self.0 - Self::ESCROW)),
        }
    }
}

impl From<UserId> for Account {
    fn from(user: UserId) -> Self {
        Self(user.0)
    }
}

/// One movement of kudos. Double entry: what one account loses the other gains.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Posting {
    /// Makes a repeated posting count once.
    pub key: String,
    /// Loses `amount`.
    pub from: Account,
    /// Gains `amount`.
    pub to: Account,
    /// Never negative.
    pub amount: Kudos,
    /// When.
    pub at: Timestamp,
}

impl Posting {
    /// What a request costs at once, when it is accepted.
    pub fn activation(request: RequestId, owner: UserId, amount: Kudos, at: Timestamp) -> Self {
        Self { key: format!("activation:{request}"), from: owner.into(), to: Account::BURN, amount, at }
    }

    /// What an operator takes back.
    pub fn revocation(name: &str, from: UserId, amount: Kudos, at: Timestamp) -> Self {
        Self { key: format!("revocation:{name}"), from: from.into(), to: Account::GRANTS, amount, at }
    }

    /// What a delivered job costs its requester.
    pub fn charge(attempt: AttemptId, owner: UserId, amount: Kudos, at: Timestamp) -> Self {
        Self { key: format!("charge:{attempt}"), from: owner.into(), to: Account::BURN, amount, at }
    }

    /// What a delivered job earns the worker's owner.
    pub fn reward(attempt: AttemptId, owner: UserId, amount: Kudos, at: Timestamp) -> Self {
        Self { key: format!("reward:{attempt}"), from: Account::MINT, to: owner.into(), amount, at }
    }

    /// The part of what a delivered job earns that is put aside.
    pub fn set_aside(attempt: AttemptId, owner: UserId, amount: Kudos, at: Timestamp) -> Self {
        let to = Account::escrow(owner);
        Self { key: format!("escrow:{attempt}"), from: Account::MINT, to, amount, at }
    }

    /// What a worker's owner gets for its time online: the worker's so many-th reward, to the balance or
    /// to the escrow.
    pub fn uptime(worker: WorkerId, number: i64, to: Account, amount: Kudos, at: Timestamp) -> Self {
        Self { key: format!("uptime:{worker}:{number}"), from: Account::MINT, to, amount, at }
    }

    /// What was put aside, given to its owner; the name makes it count once.
    pub fn release(name: &str, owner: UserId, amount: Kudos, at: Timestamp) -> Self {
        let (from, to) = (Account::escrow(owner), owner.into());
        Self { key: format!("release:{name}"), from, to, amount, at }
    }

    /// What one account gives another; the transfer's ID makes it count once.
    pub fn transfer(id: Uuid, sender: UserId, receiver: UserId, amount: Kudos, at: Timestamp) -> Self {
        Self { key: format!("transfer:{id}"), from: sender.into(), to: receiver.into(), amount, at }
    }

    /// What an account is awarded; less than nothing is taken from it.
    pub fn award(id: Uuid, user: UserId, change: Kudos, at: Timestamp) -> Self {
        Self::granted(format!("award:{id}"), user, change, at)
    }

    /// What an account gets each month; the month makes it count once.
    pub fn monthly(month: &str, user: UserId, amount: Kudos, at: Timestamp) -> Self {
        Self::granted(format!("monthly:{user}:{month}"), user, amount, at)
    }

    /// What the owner of a style gets for a request that uses it.
    pub fn style(request: RequestId, owner: UserId, amount: Kudos, at: Timestamp) -> Self {
        Self { key: format!("style:{request}"), from: Account::MINT, to: owner.into(), amount, at }
    }

    /// What lifts a balance to its floor: the account's so many-th time, so that two brokers that see the
    /// same need lift it once.
    pub fn lift(user: UserId, number: i64, amount: Kudos, at: Timestamp) -> Self {
        Self { key: format!("floor:{user}:{number}"), from: Account::FORGIVEN, to: user.into(), amount, at }
    }

    fn granted(key: String, user: UserId, change: Kudos, at: Timestamp) -> Self {
        let (from, to) = match change < Kudos::ZERO {
            true => (user.into(), Account::GRANTS),
            false => (Account::GRANTS, user.into()),
        };
        Self { key, from, to, amount: Kudos(change.0.saturating_abs()), at }
    }

    /// What an operator gives an account later; the name makes it count once.
    pub fn grant(name: &str, user: UserId, amount: Kudos, at: Timestamp) -> Self {
        Self { key: format!("grant:{name}"), from: Account::GRANTS, to: user.into(), amount, at }
    }

    /// What an operator gives a new account.
    pub fn opening(user: UserId, amount: Kudos, at: Timestamp) -> Self {
        Self { key: format!("opening:{user}"), from: Account::GRANTS, to: user.into(), amount, at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_survive_the_round_trip() {
        for (decimal, millionths) in
            [(11.0, 11_000_000), (11.55, 11_550_000), (-0.01, -10_000), (8.6625, 8_662_500)]
        {
            assert_eq!(Kudos::from_f64(decimal), Kudos(millionths));
            assert_eq!(Kudos(millionths).as_f64(), decimal);
        }
    }

    #[test]
    fn a_user_holds_two_accounts_and_the_system_four() {
        for user in [UserId::ANONYMOUS, UserId(7), UserId(Account::ESCROW - 1)] {
            assert_eq!(Account::from(user).holder(), Some(user));
            assert_eq!(Account::escrow(user).holder(), Some(user));
            assert_ne!(Account::escrow(user), user.into());
        }
        for account in [Account::MINT, Account::BURN, Account::GRANTS, Account::FORGIVEN] {
            assert_eq!(account.holder(), None);
        }
    }

    #[test]
    fn floor_goes_down_for_debts_too() {
        assert_eq!(Kudos::from_f64(2.9).floor(), 2);
        assert_eq!(Kudos::from_f64(-0.5).floor(), -1);
    }
}
