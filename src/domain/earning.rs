//! What of a worker's earnings its owner gets at once, and when the rest.
//!
//! Pure. While an account is not trusted, part of what its workers earn is put aside; once enough has
//! gathered it is trusted, and gets all of it. Source: the account rules of the v2 contract.

use std::time::Duration;

use super::{
    Kudos, Timestamp, UserId,
    request::Kind,
    user::{Role, User},
};

/// When accounts are trusted by themselves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Promotion {
    /// More than this must have been put aside; `None`: nobody is trusted by itself.
    pub threshold: Option<Kudos>,
    /// The account must be this old.
    pub probation: Duration,
}

impl Default for Promotion {
    fn default() -> Self {
        Self { threshold: None, probation: Duration::from_secs(7 * 24 * 60 * 60) }
    }
}

/// Time online that must gather before it is paid for: more than this, in seconds.
pub const UNPAID_SECONDS: i64 = 600;

/// What is paid for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Merit {
    /// A job was delivered.
    Job,
    /// A worker of a kind was there.
    Uptime(Kind),
}

/// What of an amount is put aside.
pub fn set_aside(owner: &User, amount: Kudos, merit: Merit) -> Kudos {
    if owner.is(Role::Trusted) || owner.id == UserId::ANONYMOUS {
        return Kudos::ZERO;
    }
    match merit {
        // Half of it, in whole hundredths.
        Merit::Job => {
            Kudos(amount.0 / 20_000 * 10_000 + if amount.0 % 20_000 >= 10_000 { 10_000 } else { 0 })
        }
        Merit::Uptime(Kind::Alchemy) => Kudos::ZERO,
        Merit::Uptime(Kind::Image | Kind::Text | Kind::Video) => amount,
    }
}

/// Whether an account is to be trusted now.
pub fn deserves_trust(user: &User, promotion: &Promotion, now: Timestamp) -> bool {
    user.id != UserId::ANONYMOUS
        && !user.is(Role::Trusted)
        && !user.is(Role::Flagged)
        && !user.is(Role::Deleted)
        && !user.is_suspicious()
        && now.since(user.created_at) >= promotion.probation
        && promotion.threshold.is_some_and(|threshold| user.escrow > threshold)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::user::UserStats;

    fn user(id: i64, roles: &[Role]) -> User {
        User { id: UserId(id), roles: roles.to_vec(), ..User::anonymous() }
    }

    #[test]
    fn half_of_a_job_and_all_uptime_is_put_aside_while_the_owner_is_not_trusted() {
        let (new, trusted, anonymous) = (user(7, &[]), user(7, &[Role::Trusted]), user(0, &[]));
        let ten = Kudos::whole(10);
        for (owner, amount, merit, aside, rule) in [
            (&new, ten, Merit::Job, 5.0, "half"),
            (&new, Kudos::from_f64(8.6625), Merit::Job, 4.33, "of two decimals"),
            (&new, Kudos::from_f64(0.01), Merit::Job, 0.01, "the odd hundredth is put aside"),
            (&new, ten, Merit::Uptime(Kind::Image), 10.0, "all of an image worker's time"),
            (&new, ten, Merit::Uptime(Kind::Text), 10.0, "and of a text worker's"),
            (&new, ten, Merit::Uptime(Kind::Alchemy), 0.0, "but not of an alchemist's"),
            (&trusted, ten, Merit::Job, 0.0, "nothing of who is trusted"),
            (&trusted, ten, Merit::Uptime(Kind::Text), 0.0, "nor of the time"),
            (&anonymous, ten, Merit::Job, 0.0, "nor of nobody's"),
        ] {
            assert_eq!(set_aside(owner, amount, merit), Kudos::from_f64(aside), "{rule}");
        }
    }

    proptest! {
        #[test]
        fn what_is_put_aside_is_about_half_and_never_more_than_all(amount in 0i64..10_000_000_000) {
            let aside = set_aside(&user(7, &[]), Kudos(amount), Merit::Job);
            prop_assert!(aside >= Kudos::ZERO && aside.0 <= amount);
            prop_assert!((aside.0 * 2 - amount).abs() <= 20_000);
            prop_assert_eq!(aside.0 % 10_000, 0);
        }
    }

    #[test]
    fn trust_comes_with_enough_put_aside_time_and_no_suspicion() {
        let week = Timestamp(7 * 24 * 60 * 60 * 1000);
        let threshold = Some(Kudos::whole(100));
        let rich = |roles: &[Role]| User { escrow: Kudos(100_000_001), ..user(7, roles) };
        let suspicious = User { stats: UserStats { suspicion: 5, ..UserStats::default() }, ..rich(&[]) };
        for (user, threshold, now, right, rule) in [
            (rich(&[]), threshold, week, true, "more than the threshold, a week old"),
            (User { escrow: Kudos::whole(100), ..rich(&[]) }, threshold, week, false, "exactly is not more"),
            (rich(&[]), threshold, Timestamp(week.0 - 1), false, "too young"),
            (rich(&[]), None, week, false, "switched off"),
            (rich(&[Role::Trusted]), threshold, week, false, "trusted already"),
            (rich(&[Role::Flagged]), threshold, week, false, "under restraint"),
            (suspicious, threshold, week, false, "suspicious"),
            (User { id: UserId::ANONYMOUS, ..rich(&[]) }, threshold, week, false, "everybody's"),
        ] {
            let promotion = Promotion { threshold, ..Promotion::default() };
            assert_eq!(deserves_trust(&user, &promotion, now), right, "{rule}");
        }
    }
}
