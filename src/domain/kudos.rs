//! Kudos: the unit of account, and the accounts it moves between.

use std::{
    fmt,
    iter::Sum,
    ops::{Add, AddAssign, Neg, Sub},
};

use serde::{Deserialize, Serialize};

use super::{AttemptId, RequestId, Timestamp, UserId};

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

    /// Whose account it is; `None`: the system's.
    pub fn user(self) -> Option<UserId> {
        (self.0 >= 0).then_some(UserId(self.0))
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

    /// What a delivered job costs its requester.
    pub fn charge(attempt: AttemptId, owner: UserId, amount: Kudos, at: Timestamp) -> Self {
        Self { key: format!("charge:{attempt}"), from: owner.into(), to: Account::BURN, amount, at }
    }

    /// What a delivered job earns the worker's owner.
    pub fn reward(attempt: AttemptId, owner: UserId, amount: Kudos, at: Timestamp) -> Self {
        Self { key: format!("reward:{attempt}"), from: Account::MINT, to: owner.into(), amount, at }
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
    fn floor_goes_down_for_debts_too() {
        assert_eq!(Kudos::from_f64(2.9).floor(), 2);
        assert_eq!(Kudos::from_f64(-0.5).floor(), -1);
    }
}
