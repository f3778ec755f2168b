//! Promises of Records about kudos that accounts give each other, and about what they get each month.

use std::sync::Arc;

use gridbroker::{
    backend::{
        Deed,
        Refusal::{Overtaken, Taken, Uncovered},
        Verdict::{self, Kept, Refused},
    },
    domain::{
        Kudos, RequestId, SharedKeyId, Timestamp, UserId,
        monthly::Monthly,
        record::Record,
        shared_key::SharedKey,
        source::{Moved, Source},
        transfer::{Past, Transfer},
        user::User,
    },
};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{
    making::{self, NOW, posting},
    store::Store,
};

const FLOOR: i64 = 10;

fn transfer(sender: i64, receiver: i64, amount: i64) -> Transfer {
    let (sender, receiver) = (UserId(sender), UserId(receiver));
    Transfer { id: Uuid::new_v4(), sender, receiver, shared_key: None, amount: Kudos(amount), at: NOW }
}

fn later(transfer: Transfer, seconds: i64) -> Transfer {
    Transfer { at: Timestamp(transfer.at.0 + seconds * 1000), ..transfer }
}

/// What is written of a transfer.
pub fn given(transfer: &Transfer) -> Deed {
    let Transfer { id, sender, receiver, amount, .. } = transfer;
    let counted = |user: &UserId, change| Record::UserCounted { user: *user, change };
    vec![
        posting(&format!("transfer:{id}"), sender.0, receiver.0, amount.0),
        Record::KudosTransferred { transfer: Arc::new(transfer.clone()), floor: Kudos(FLOOR) },
        counted(sender, Source::Gifted.counts(-*amount)),
        counted(receiver, Source::Received.counts(*amount)),
    ]
}

async fn verdict(store: &Store, deed: Deed) -> Verdict {
    store.records.commit_each(&[deed]).await.unwrap()[0]
}

async fn account(store: &Store, id: i64) -> User {
    store.records.people(&[UserId(id)], &[]).await.unwrap().0.remove(0)
}

/// Accounts 1 to 3, with so much each.
async fn accounts(store: &Store, balance: i64) {
    for id in 1..=3 {
        let opening = posting(&format!("opening:{id}"), -3, id, balance);
        let change = Source::Admin.counts(Kudos(balance));
        let counted = Record::UserCounted { user: UserId(id), change };
        store.records.commit(&[making::user(id), opening, counted]).await.unwrap();
    }
}

async fn balances(store: &Store) -> Vec<i64> {
    let mut users = store.records.load().await.unwrap().users;
    users.sort_by_key(|user| user.id);
    users[1..].iter().map(|user| user.balance.0).collect()
}

pub async fn a_transfer_is_done_once(store: Store) {
    accounts(&store, 100).await;
    let first = transfer(1, 2, 30);
    let other = Transfer { id: first.id, ..transfer(1, 3, 5) };
    assert_eq!(verdict(&store, given(&first)).await, Kept);
    assert_eq!(verdict(&store, given(&first)).await, Refused(Taken), "again");
    assert_eq!(verdict(&store, given(&other)).await, Refused(Taken), "another one with its ID");
    assert_eq!(balances(&store).await, [70, 130, 100]);
    let both = [given(&transfer(3, 1, 1)), given(&transfer(3, 2, 2))];
    assert_eq!(store.records.commit_each(&both).await.unwrap(), [Kept, Kept]);
    let past = store.records.past(first.id, UserId(1), UserId(2)).await.unwrap();
    assert_eq!(past, Past { earlier: Some(first.clone()), returned_at: None });
    let lent = Some(SharedKeyId(Uuid::new_v4()));
    let to_key = Transfer { shared_key: lent, ..later(transfer(1, 3, 4), 70) };
    assert_eq!(verdict(&store, given(&to_key)).await, Kept);
    let past = store.records.past(to_key.id, UserId(3), UserId(1)).await.unwrap();
    assert_eq!(past, Past { earlier: Some(to_key.clone()), returned_at: Some(to_key.at) });
    assert_eq!(store.records.past(Uuid::new_v4(), UserId(1), UserId(2)).await.unwrap(), Past::default());
}

pub async fn kudos_do_not_come_back_at_once(store: Store) {
    accounts(&store, 100).await;
    assert_eq!(verdict(&store, given(&transfer(1, 2, 30))).await, Kept);
    assert_eq!(verdict(&store, given(&later(transfer(2, 1, 1), 59))).await, Refused(Overtaken));
    assert_eq!(balances(&store).await, [70, 130, 100], "nothing of it is there");
    assert_eq!(verdict(&store, given(&later(transfer(2, 3, 1), 1))).await, Kept, "to others they may go");
    assert_eq!(verdict(&store, given(&later(transfer(1, 2, 1), 1))).await, Kept, "and more the same way");
    assert_eq!(verdict(&store, given(&later(transfer(2, 1, 1), 60))).await, Refused(Overtaken));
    assert_eq!(verdict(&store, given(&later(transfer(2, 1, 1), 61))).await, Kept, "a minute after the last");
}

pub async fn no_more_is_given_than_there_is_beside_what_is_set_aside(store: Store) {
    accounts(&store, 100).await;
    let mut request = making::request(1);
    let mut spec = (*request.spec).clone();
    spec.origin.upfront = Kudos(60);
    request.spec = Arc::new(spec);
    let (id, owner) = (request.id, request.owner);
    let held = Record::KudosHeld { request: id, owner, amount: Kudos(60), floor: Kudos(FLOOR) };
    store.records.commit(&[making::accepted(&request), held]).await.unwrap();
    assert_eq!(verdict(&store, given(&transfer(1, 2, 31))).await, Refused(Uncovered), "100 − 60 − 10");
    assert_eq!(verdict(&store, given(&transfer(1, 2, 30))).await, Kept);
    assert_eq!(verdict(&store, given(&transfer(1, 2, 1))).await, Refused(Uncovered));
    store.records.commit(&[making::moved(&request, true, false)]).await.unwrap();
    assert_eq!(
        verdict(&store, given(&transfer(1, 2, 60))).await,
        Kept,
        "it is free once the request is over"
    );
    assert_eq!(balances(&store).await, [10, 190, 100]);
    let deeds: Vec<_> = [50, 50, 30, 40].map(|amount| given(&transfer(3, 1, amount))).into();
    let verdicts = store.records.commit_each(&deeds).await.unwrap();
    assert_eq!(verdicts, [Kept, Refused(Uncovered), Kept, Refused(Uncovered)], "of one call as well");
}

pub async fn of_transfers_at_the_same_time_just_those_pass_that_are_covered(store: Store) {
    accounts(&store, 100).await;
    let mut brokers = JoinSet::new();
    for number in 0..40 {
        let (records, deed) = (store.records.clone(), given(&transfer(1, 2 + number % 2, 7)));
        brokers.spawn(async move { records.commit_each(&[deed]).await.unwrap()[0] });
    }
    let verdicts = brokers.join_all().await;
    let kept = verdicts.iter().filter(|verdict| **verdict == Kept).count();
    assert_eq!(kept, 12, "(100 − 10) / 7");
    assert!(verdicts.iter().all(|verdict| matches!(verdict, Kept | Refused(Uncovered))), "{verdicts:?}");
    let (user, all) = (account(&store, 1).await, balances(&store).await);
    assert_eq!((user.balance, user.stats.moved.gifted), (Kudos(16), Kudos(-84)));
    assert_eq!(all.iter().sum::<i64>(), 300);
    assert_eq!(store.balances().await, store.ledger().await);
}

pub async fn kudos_that_cross_do_not_both_arrive(store: Store) {
    accounts(&store, 1000).await;
    for round in 0..20 {
        let at = round * 100;
        let there = given(&later(transfer(1, 2, 1), at));
        let back = given(&later(transfer(2, 1, 1), at));
        let (one, other) = (store.records.clone(), store.records.clone());
        let (there, back) = ([there], [back]);
        let (there, back) = tokio::join!(one.commit_each(&there), other.commit_each(&back));
        let verdicts = [there.unwrap()[0], back.unwrap()[0]];
        let kept = verdicts.iter().filter(|verdict| **verdict == Kept).count();
        assert_eq!(kept, 1, "round {round}: {verdicts:?}");
    }
    let both = [given(&later(transfer(1, 3, 1), 5000)), given(&later(transfer(3, 1, 1), 5000))];
    assert_eq!(
        store.records.commit_each(&both).await.unwrap(),
        [Kept, Refused(Overtaken)],
        "nor of one call"
    );
}

fn key(number: i64, budget: Option<i64>) -> SharedKey {
    SharedKey {
        id: SharedKeyId(Uuid::new_v4()),
        owner: UserId(1),
        name: None,
        budget: budget.map(Kudos),
        utilized: Kudos(0),
        expires_at: None,
        max_image_pixels: None,
        max_image_steps: None,
        max_text_tokens: None,
        created_at: Timestamp(number),
    }
}

pub async fn a_lent_key_is_filled_if_it_is_bounded(store: Store) {
    let (bounded, open, empty) = (key(1, Some(50)), key(2, None), key(3, Some(0)));
    let lent = |key: &SharedKey| Record::SharedKeyMade { key: Arc::new(key.clone()), limit: None };
    let filled = |key: &SharedKey, amount| Record::SharedKeyFilled {
        key: key.id,
        owner: UserId(1),
        amount: Kudos(amount),
    };
    let used = |key: &SharedKey, amount| Record::SharedKeyUsed {
        key: key.id,
        request: RequestId(Uuid::new_v4()),
        owner: UserId(1),
        amount: Kudos(amount),
    };
    store.records.commit(&[making::user(1), lent(&bounded), lent(&open), lent(&empty)]).await.unwrap();
    store.records.commit(&[filled(&bounded, 7), filled(&open, 7), filled(&empty, 7)]).await.unwrap();
    let figures = async || {
        let keys = account(&store, 1).await.shared_keys;
        keys.iter().map(|key| (key.budget.map(|left| left.0), key.utilized.0)).collect::<Vec<_>>()
    };
    assert_eq!(figures().await, [(Some(57), 0), (None, 0), (Some(7), 0)]);
    // The order counts: what is spent beyond the budget is not taken from what comes after.
    let deeds = [vec![used(&empty, 100)], vec![filled(&empty, 5)], vec![used(&empty, 1)]];
    assert_eq!(store.records.commit_each(&deeds).await.unwrap(), [Kept; 3]);
    assert_eq!(figures().await[2], (Some(4), 101));
}

pub async fn what_moves_kudos_is_counted(store: Store) {
    accounts(&store, 100).await;
    let counted =
        |source: Source, change| Record::UserCounted { user: UserId(1), change: source.counts(change) };
    let batch = [
        counted(Source::Donated, Kudos(-1)),
        counted(Source::Recurring, Kudos(2)),
        counted(Source::Awarded, Kudos(-3)),
        counted(Source::Styled, Kudos(4)),
    ];
    store.records.commit(&batch).await.unwrap();
    let deeds = [given(&transfer(1, 2, 5)), given(&transfer(3, 1, 6)), given(&transfer(1, 2, 7))];
    assert_eq!(store.records.commit_each(&deeds).await.unwrap(), [Kept; 3]);
    let moved = Moved {
        gifted: Kudos(-12),
        donated: Kudos(-1),
        received: Kudos(6),
        recurring: Kudos(2),
        awarded: Kudos(-3),
        styled: Kudos(4),
        lifts: 0,
    };
    let stats = account(&store, 1).await.stats;
    assert_eq!((stats.moved, stats.granted), (moved, Kudos(100)));
    assert_eq!(account(&store, 2).await.stats.moved, Moved { received: Kudos(12), ..Moved::default() });
}

/// A month is paid, as one broker sees it.
fn paid(before: Option<i64>, at: i64, amount: i64) -> Deed {
    let (before, at) = (before.map(Timestamp), Timestamp(at));
    let key = format!("monthly:1:{}:{}", at.0, Uuid::new_v4());
    vec![Record::MonthlyPaid { user: UserId(1), before, at }, posting(&key, -3, 1, amount)]
}

pub async fn a_month_is_paid_once(store: Store) {
    store.records.commit(&[making::user(1)]).await.unwrap();
    // Two brokers believe that they run the upkeep.
    let deeds = [paid(None, 100, 7), paid(None, 101, 7)];
    assert_eq!(store.records.commit_each(&deeds).await.unwrap(), [Kept, Refused(Overtaken)]);
    let mut brokers = JoinSet::new();
    for _ in 0..8 {
        let records = store.records.clone();
        brokers.spawn(async move { records.commit_each(&[paid(Some(100), 200, 7)]).await.unwrap()[0] });
    }
    let verdicts = brokers.join_all().await;
    assert_eq!(verdicts.iter().filter(|verdict| **verdict == Kept).count(), 1, "{verdicts:?}");
    assert_eq!(verdict(&store, paid(Some(100), 300, 7)).await, Refused(Overtaken));
    assert_eq!(verdict(&store, paid(None, 300, 7)).await, Refused(Overtaken));
    let user = account(&store, 1).await;
    assert_eq!((user.balance, user.monthly.paid_at), (Kudos(14), Some(Timestamp(200))));
}

pub async fn monthly_kudos_never_fall_below_nothing_and_begin_their_months_once(store: Store) {
    store.records.commit(&[making::user(1)]).await.unwrap();
    let changed =
        |delta, at| vec![Record::MonthlyChanged { user: UserId(1), delta: Kudos(delta), at: Timestamp(at) }];
    // In this order, also in one call.
    let deeds = [changed(30, 5), changed(-50, 6), changed(7, 7)];
    assert_eq!(store.records.commit_each(&deeds).await.unwrap(), [Kept; 3]);
    let monthly = Monthly { amount: Kudos(7), paid_at: Some(Timestamp(5)) };
    assert_eq!(account(&store, 1).await.monthly, monthly);
    let loaded = store.records.load().await.unwrap().users;
    assert!(loaded.iter().any(|user| user.monthly == monthly), "read at the start, it is the same");
}
