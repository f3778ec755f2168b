//! Kudos that one account gives another: whether it may, in the contract's order of refusals.
//!
//! Pure: what happened before is handed in, as Records know it. Source: the transfers and awards of the
//! v2 contract.

use std::time::Duration;

use uuid::Uuid;

use super::{
    Kudos, SharedKeyId, Timestamp, UserId,
    shared_key::SharedKey,
    user::{Role, User},
};

/// So long nobody sends kudos back to who sent some.
pub const COOL_DOWN: Duration = Duration::from_secs(60);
/// Most kudos that are awarded or taken at a time.
pub const MOST_AWARDED: i64 = 1_000_000_000;

/// Kudos that were given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transfer {
    /// Its ID; see [`Transfer::id_of`].
    pub id: Uuid,
    /// Who gives.
    pub sender: UserId,
    /// Who gets them.
    pub receiver: UserId,
    /// The lent key that may be spent on as many more.
    pub shared_key: Option<SharedKeyId>,
    /// How many.
    pub amount: Kudos,
    /// When.
    pub at: Timestamp,
}

impl Transfer {
    /// The ID of the transfer that an account gave a name, so that it is done once.
    pub fn id_of(sender: UserId, name: &str) -> Uuid {
        Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("aihorde-kudos:transfer:{sender}:{name}").as_bytes())
    }

    /// Whether another one is the same, done again.
    fn is_same(&self, receiver: UserId, shared_key: Option<SharedKeyId>, amount: Kudos) -> bool {
        (self.receiver, self.shared_key, self.amount) == (receiver, shared_key, amount)
    }
}

/// What Records know of before.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Past {
    /// The transfer with the ID, if there is one.
    pub earlier: Option<Transfer>,
    /// When the receiver last sent kudos to the sender.
    pub returned_at: Option<Timestamp>,
}

/// Why kudos are not transferred or awarded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum KudosRule {
    /// Everybody's account gives nothing.
    #[error("the anonymous account cannot transfer kudos: register, and use a key of your own")]
    FromAnonymous,
    /// Neither an account nor a lent key.
    #[error("username is neither an account (alias#id, or the ID alone) nor a shared key")]
    UnknownTarget,
    /// The lent key's time is over.
    #[error("the time of this shared key is over: send the kudos to its owner")]
    TargetExpired,
    /// Everybody's account gets nothing.
    #[error("kudos cannot be transferred to the anonymous account")]
    ToAnonymous,
    /// Who gives would get.
    #[error("kudos cannot be transferred to yourself, nor to a shared key of your own")]
    ToSelf,
    /// The receiver sent some a moment ago.
    #[error("this user sent you kudos within the last minute; wait a minute before you send any back")]
    TooFast,
    /// Who gives is suspicious.
    #[error("this account cannot send kudos at the moment; ask a moderator")]
    SenderSuspicious,
    /// Who gives is under restraint.
    #[error("this account is flagged and cannot send kudos; ask a moderator")]
    SenderFlagged,
    /// Who gives is a school.
    #[error("accounts of schools cannot send kudos")]
    SenderIsSchool,
    /// Who gets is suspicious.
    #[error("the receiving account cannot receive kudos at the moment")]
    ReceiverSuspicious,
    /// Who gets is under restraint.
    #[error("the receiving account is flagged and cannot receive kudos")]
    ReceiverFlagged,
    /// Either is to be deleted.
    #[error("one of the two accounts is scheduled for deletion")]
    Deleted,
    /// Less than nothing.
    #[error("amount is below zero: give how many kudos to send")]
    Negative,
    /// Nothing.
    #[error("amount is zero: give how many kudos to send")]
    Nothing,
    /// The name was given to another transfer.
    #[error("this Idempotency-Key was used for another transfer: use a new one")]
    Conflict,
    /// More than the account can give.
    #[error("there are not enough kudos: {available} can be sent")]
    NotEnough {
        /// How many it can give.
        available: Kudos,
    },
    /// Records found less beside what is set aside.
    #[error("there are not enough kudos beside those that are set aside for open requests")]
    SetAside,
    /// Another account awards.
    #[error("this account does not award kudos")]
    MayNotAward,
    /// No such account.
    #[error("username is no account; write it as alias#id, or as the ID alone")]
    UnknownAwarded,
    /// Everybody's account is awarded nothing.
    #[error("the anonymous account cannot be awarded kudos")]
    AwardToAnonymous,
}

/// Who gets kudos.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The account.
    pub user: &'a User,
    /// Its lent key, if that was named.
    pub shared_key: Option<&'a SharedKey>,
}

/// Whether a transfer may be; false: it was done before, and is done.
///
/// # Errors
/// The first rule that it breaks.
pub fn judge(
    sender: &User,
    target: Option<Target<'_>>,
    amount: Kudos,
    past: &Past,
    available: Kudos,
    now: Timestamp,
) -> Result<bool, KudosRule> {
    let refuse = |breaks: bool, rule| if breaks { Err(rule) } else { Ok(()) };
    refuse(sender.id == UserId::ANONYMOUS, KudosRule::FromAnonymous)?;
    let Target { user: receiver, shared_key } = target.ok_or(KudosRule::UnknownTarget)?;
    refuse(shared_key.is_some_and(|key| key.is_expired(now)), KudosRule::TargetExpired)?;
    refuse(receiver.id == UserId::ANONYMOUS, KudosRule::ToAnonymous)?;
    refuse(receiver.id == sender.id, KudosRule::ToSelf)?;
    refuse(past.returned_at.is_some_and(|at| now.since(at) < COOL_DOWN), KudosRule::TooFast)?;
    refuse(sender.is_suspicious(), KudosRule::SenderSuspicious)?;
    refuse(sender.is(Role::Flagged), KudosRule::SenderFlagged)?;
    refuse(sender.is(Role::Education), KudosRule::SenderIsSchool)?;
    refuse(receiver.is_suspicious(), KudosRule::ReceiverSuspicious)?;
    refuse(receiver.is(Role::Flagged), KudosRule::ReceiverFlagged)?;
    refuse(receiver.is(Role::Deleted) || sender.is(Role::Deleted), KudosRule::Deleted)?;
    refuse(amount < Kudos::ZERO, KudosRule::Negative)?;
    refuse(amount == Kudos::ZERO, KudosRule::Nothing)?;
    if let Some(earlier) = &past.earlier {
        let is_same = earlier.is_same(receiver.id, shared_key.map(|key| key.id), amount);
        return refuse(!is_same, KudosRule::Conflict).map(|()| false);
    }
    refuse(amount > available, KudosRule::NotEnough { available: available.max(Kudos::ZERO) })?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::user::UserStats;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn user(id: i64, roles: &[Role], suspicion: i64) -> User {
        let stats = UserStats { suspicion, ..UserStats::default() };
        User { id: UserId(id), roles: roles.to_vec(), stats, ..User::anonymous() }
    }

    fn key(owner: i64, expires_at: Option<i64>) -> SharedKey {
        SharedKey {
            id: SharedKeyId(Uuid::from_u128(9)),
            owner: UserId(owner),
            name: None,
            budget: None,
            utilized: Kudos::ZERO,
            expires_at: expires_at.map(Timestamp),
            max_image_pixels: None,
            max_image_steps: None,
            max_text_tokens: None,
            created_at: Timestamp(0),
        }
    }

    /// One call, and what it breaks.
    struct Case {
        sender: User,
        receiver: Option<User>,
        key: Option<SharedKey>,
        amount: i64,
        past: Past,
        available: i64,
    }

    impl Case {
        fn verdict(&self) -> Result<bool, KudosRule> {
            let shared_key = self.key.as_ref();
            let target = self.receiver.as_ref().map(|user| Target { user, shared_key });
            let (amount, available) = (Kudos::whole(self.amount), Kudos::whole(self.available));
            judge(&self.sender, target, amount, &self.past, available, NOW)
        }
    }

    #[test]
    fn refusals_come_in_the_contracts_order() {
        // Each change breaks a rule before those that are broken already.
        let earlier = Transfer {
            id: Uuid::nil(),
            sender: UserId(7),
            receiver: UserId(8),
            shared_key: None,
            amount: Kudos::whole(4),
            at: NOW,
        };
        let mut case = Case {
            sender: user(7, &[], 0),
            receiver: Some(user(8, &[], 0)),
            key: None,
            amount: 5,
            past: Past { earlier: None, returned_at: Some(Timestamp(NOW.0 - 60_000)) },
            available: 5,
        };
        assert_eq!(case.verdict(), Ok(true), "all that there is, a minute later");
        case.available = 4;
        assert_eq!(case.verdict(), Err(KudosRule::NotEnough { available: Kudos::whole(4) }));
        case.past.earlier = Some(Transfer { amount: Kudos::whole(5), ..earlier.clone() });
        assert_eq!(case.verdict(), Ok(false), "done before: it moves nothing");
        case.past.earlier = Some(earlier);
        let mut expect = |change: &dyn Fn(&mut Case), rule: KudosRule| {
            change(&mut case);
            assert_eq!(case.verdict(), Err(rule));
        };
        expect(&|_| {}, KudosRule::Conflict);
        expect(&|case| case.amount = 0, KudosRule::Nothing);
        expect(&|case| case.amount = -1, KudosRule::Negative);
        expect(&|case| case.receiver = Some(user(8, &[Role::Deleted], 0)), KudosRule::Deleted);
        let flagged = [Role::Deleted, Role::Flagged];
        expect(&|case| case.receiver = Some(user(8, &flagged, 0)), KudosRule::ReceiverFlagged);
        expect(&|case| case.receiver = Some(user(8, &flagged, 5)), KudosRule::ReceiverSuspicious);
        expect(&|case| case.sender = user(7, &[Role::Education], 0), KudosRule::SenderIsSchool);
        let school = [Role::Education, Role::Flagged];
        expect(&|case| case.sender = user(7, &school, 0), KudosRule::SenderFlagged);
        expect(&|case| case.sender = user(7, &school, 5), KudosRule::SenderSuspicious);
        expect(&|case| case.past.returned_at = Some(Timestamp(NOW.0 - 59_999)), KudosRule::TooFast);
        expect(&|case| case.receiver = Some(user(7, &[], 0)), KudosRule::ToSelf);
        expect(&|case| case.receiver = Some(user(0, &[], 0)), KudosRule::ToAnonymous);
        expect(&|case| case.key = Some(key(0, Some(NOW.0))), KudosRule::TargetExpired);
        expect(&|case| case.receiver = None, KudosRule::UnknownTarget);
        expect(&|case| case.sender = user(0, &[], 0), KudosRule::FromAnonymous);
    }

    #[test]
    fn a_transfer_is_the_same_if_all_of_it_is() {
        let lent = key(8, None);
        let mut case = Case {
            sender: user(7, &[], 0),
            receiver: Some(user(8, &[], 0)),
            key: Some(lent.clone()),
            amount: 5,
            past: Past::default(),
            available: 0,
        };
        let earlier = |receiver, shared_key, amount| Transfer {
            id: Uuid::nil(),
            sender: UserId(7),
            receiver: UserId(receiver),
            shared_key,
            amount: Kudos::whole(amount),
            at: NOW,
        };
        for (before, verdict, rule) in [
            (earlier(8, Some(lent.id), 5), Ok(false), "the same"),
            (earlier(8, None, 5), Err(KudosRule::Conflict), "to the account itself"),
            (earlier(9, Some(lent.id), 5), Err(KudosRule::Conflict), "to another one"),
            (earlier(8, Some(lent.id), 6), Err(KudosRule::Conflict), "another amount"),
        ] {
            case.past.earlier = Some(before);
            assert_eq!(case.verdict(), verdict, "{rule}");
        }
    }

    #[test]
    fn a_name_belongs_to_its_sender() {
        let id = Transfer::id_of(UserId(7), "rent");
        assert_eq!(id, Transfer::id_of(UserId(7), "rent"));
        assert_ne!(id, Transfer::id_of(UserId(8), "rent"));
        assert_ne!(id, Transfer::id_of(UserId(7), "rent of May"));
        assert_eq!(id.get_version_num(), 5);
    }
}
