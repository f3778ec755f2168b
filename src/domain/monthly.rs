//! What an account gets each month.
//!
//! Pure. Source: the monthly kudos of the v2 contract. A payment is for one calendar month, and the next
//! one is due exactly a month after the last, whenever that was paid.

use std::collections::BTreeMap;

use jiff::{Timestamp as Instant, ToSpan, tz::Offset};
use serde::{Deserialize, Serialize};

use super::{
    Kudos, Timestamp, UserId,
    user::{Role, User},
};

/// What moderators get besides.
const MODERATOR: Kudos = Kudos::whole(300_000);

/// What an account gets each month, and when it got it last.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Monthly {
    /// What administrators said that it gets, besides what its roles give it. Never below zero.
    pub amount: Kudos,
    /// The instant that its last payment is for; `None`: it had none.
    pub paid_at: Option<Timestamp>,
}

/// A payment that is due.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Payment {
    /// How many kudos.
    pub amount: Kudos,
    /// The instant that it is for.
    pub paid_at: Timestamp,
    /// Names its month, `2026-11`.
    pub month: String,
}

/// What accounts get each month because somebody pays for it elsewhere: the operator's own list.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Subscriptions(BTreeMap<UserId, Kudos>);

impl Subscriptions {
    /// Reads a JSON object of accounts (`alias#id`, or the ID alone) and whole kudos.
    ///
    /// # Errors
    /// It is something else; what.
    pub fn read(text: &str) -> Result<Self, String> {
        let listed: BTreeMap<String, u32> = serde_json::from_str(text).map_err(|why| why.to_string())?;
        let mut all = BTreeMap::new();
        for (name, kudos) in listed {
            let id = UserId::parse(&name)
                .filter(|id| *id != UserId::ANONYMOUS)
                .ok_or_else(|| format!("{name:?} is no account; write it as alias#id, or as the ID alone"))?;
            if all.insert(id, Kudos::whole(kudos.into())).is_some() {
                return Err(format!("account {id} stands there twice"));
            }
        }
        Ok(Self(all))
    }

    /// What an account gets.
    pub fn of(&self, user: UserId) -> Kudos {
        self.0.get(&user).copied().unwrap_or_default()
    }
}

/// What an account gets each month in all.
pub fn allowance(user: &User, subscriptions: &Subscriptions) -> Kudos {
    let role = if user.is(Role::Moderator) { MODERATOR } else { Kudos::ZERO };
    user.monthly.amount + role + subscriptions.of(user.id)
}

/// The payment that an account is due now.
pub fn due(user: &User, subscriptions: &Subscriptions, now: Timestamp) -> Option<Payment> {
    let amount = allowance(user, subscriptions);
    let paid_at = match user.monthly.paid_at {
        None => now,
        Some(last) => month_after(last).filter(|next| *next <= now)?,
    };
    (amount > Kudos::ZERO).then(|| Payment { amount, paid_at, month: month_of(paid_at) })
}

/// A calendar month later, in UTC; `None` at the end of all time.
fn month_after(at: Timestamp) -> Option<Timestamp> {
    let instant = Instant::from_millisecond(at.0).ok()?;
    let next = Offset::UTC.to_datetime(instant).checked_add(1.month()).ok()?;
    Some(Timestamp(Offset::UTC.to_timestamp(next).ok()?.as_millisecond()))
}

fn month_of(at: Timestamp) -> String {
    let date = Offset::UTC.to_datetime(Instant::from_millisecond(at.0).unwrap_or_default());
    format!("{:04}-{:02}", date.year(), date.month())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn due(user: &User, now: Timestamp) -> Option<Payment> {
        super::due(user, &Subscriptions::default(), now)
    }

    fn at(text: &str) -> Timestamp {
        Timestamp(text.parse::<Instant>().unwrap().as_millisecond())
    }

    fn user(amount: i64, paid_at: Option<&str>, roles: &[Role]) -> User {
        let monthly = Monthly { amount: Kudos::whole(amount), paid_at: paid_at.map(at) };
        User { id: UserId(7), monthly, roles: roles.to_vec(), ..User::anonymous() }
    }

    #[test]
    fn a_payment_is_due_a_calendar_month_after_the_last() {
        const NOW: &str = "2026-03-15T12:00:00Z";
        for (user, due_for, amount, rule) in [
            (user(7, None, &[]), Some(NOW), 7, "the first at once"),
            (user(7, Some("2026-02-15T12:00:00Z"), &[]), Some(NOW), 7, "after a month, however short"),
            (user(7, Some("2026-02-15T12:00:01Z"), &[]), None, 0, "not a second before"),
            (user(7, Some("2025-12-20T00:00:00Z"), &[]), Some("2026-01-20T00:00:00Z"), 7, "one by one"),
            (user(0, None, &[]), None, 0, "nobody who gets nothing"),
            (user(0, None, &[Role::Moderator]), Some(NOW), 300_000, "moderators by their role"),
            (user(7, None, &[Role::Moderator]), Some(NOW), 300_007, "and besides"),
            (user(0, None, &[Role::Admin]), None, 0, "administrators do not"),
        ] {
            let payment = due(&user, at(NOW));
            assert_eq!(payment.as_ref().map(|payment| payment.paid_at), due_for.map(at), "{rule}");
            assert_eq!(payment.map_or(Kudos::ZERO, |payment| payment.amount), Kudos::whole(amount), "{rule}");
        }
        let late = user(7, Some("2026-01-31T00:00:00Z"), &[]);
        assert_eq!(due(&late, at(NOW)).unwrap().paid_at, at("2026-02-28T00:00:00Z"), "months differ");
    }

    #[test]
    fn a_list_of_subscriptions_names_accounts_once() {
        let list = Subscriptions::read(r#"{"alice#7": 10000, "8": 5}"#).unwrap();
        assert_eq!((list.of(UserId(7)), list.of(UserId(9))), (Kudos::whole(10_000), Kudos::ZERO));
        let payment = super::due(&user(1, None, &[]), &list, at("2026-03-15T12:00:00Z")).unwrap();
        assert_eq!(payment.amount, Kudos::whole(10_001), "besides what administrators say");
        for (text, told) in [
            (r#"{"alice": 1}"#, "alias#id"),
            (r#"{"Anonymous#0": 1}"#, "no account"),
            (r#"{"alice#7": 1, "bob#7": 2}"#, "twice"),
            (r#"{"alice#7": -1}"#, "invalid value"),
            ("[]", "invalid type"),
        ] {
            let why = Subscriptions::read(text).unwrap_err();
            assert!(why.contains(told), "{text}: {why}");
        }
    }

    proptest! {
        #[test]
        fn no_two_payments_of_an_account_are_for_the_same_month(start in 0i64..4_000_000_000_000) {
            let mut user = user(7, None, &[]);
            let mut months = std::collections::HashSet::new();
            user.monthly.paid_at = Some(Timestamp(start));
            months.insert(month_of(Timestamp(start)));
            for _ in 0..30 {
                let payment = due(&user, Timestamp(i64::MAX / 2)).unwrap();
                prop_assert!(months.insert(payment.month.clone()), "{} comes twice", payment.month);
                prop_assert!(Some(payment.paid_at) > user.monthly.paid_at);
                user.monthly.paid_at = Some(payment.paid_at);
            }
        }
    }
}
