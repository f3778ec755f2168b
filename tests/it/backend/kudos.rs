//! Promises of Records about what is earned: put aside, given back, paid for time online.

use gridbroker::{
    backend::{
        Deed,
        Refusal::Overtaken,
        Verdict::{Kept, Refused},
    },
    domain::{
        Kudos, UserId,
        kudos::Account,
        record::Record,
        user::{KeyHash, Role, UserStats},
        worker::{Worker, WorkerChange},
    },
};

use super::{
    making::{self, posting},
    store::Store,
};

/// The number of the account that kudos of a user are put aside on.
fn escrow(user: i64) -> i64 {
    Account::escrow(UserId(user)).0
}

fn given(user: i64, role: Role) -> Record {
    Record::RoleGiven { user: UserId(user), role }
}

pub async fn what_is_put_aside_is_an_account_of_its_own_and_given_back_once(store: Store) {
    let put_aside = |key, amount| posting(key, -1, escrow(1), amount);
    let batch =
        [making::user(1), making::user(2), put_aside("a", 30), posting("b", -1, 1, 5), put_aside("c", 12)];
    store.records.commit(&batch).await.unwrap();
    let (users, _) = store.records.people(&[UserId(1), UserId(2)], &[]).await.unwrap();
    let mut have: Vec<_> = users.iter().map(|user| (user.id.0, user.balance, user.escrow)).collect();
    have.sort();
    assert_eq!(have, [(1, Kudos(5), Kudos(42)), (2, Kudos(0), Kudos(0))]);
    let loaded = store.records.load().await.unwrap().users;
    assert!(users.iter().all(|user| loaded.contains(user)), "read at the start, it is the same");
    let back = |key, amount| vec![given(1, Role::Trusted), posting(key, escrow(1), 1, amount)];
    // Two brokers give back what each believes to be there.
    let deeds: [Deed; 2] = [back("first", 42), back("second", 42)];
    let verdicts = store.records.commit_each(&deeds).await.unwrap();
    assert_eq!(verdicts, [Kept, Refused(Overtaken)]);
    let again = store.records.commit_each(&[back("third", 1)]).await.unwrap();
    assert_eq!(again, [Refused(Overtaken)], "nothing is left");
    let user = store.records.user_by_key(KeyHash::of("key of 1")).await.unwrap().unwrap();
    assert_eq!((user.balance, user.escrow, user.roles), (Kudos(47), Kudos(0), vec![Role::Trusted]));
    assert_eq!(store.balances().await, store.ledger().await);
    assert_eq!(store.balances().await.iter().map(|(_, amount)| amount).sum::<i64>(), 0);
}

pub async fn a_role_is_given_beside_those_that_are_there(store: Store) {
    store.records.commit(&[making::user(1), making::user(2)]).await.unwrap();
    store.records.commit(&[given(1, Role::Vpn), given(2, Role::Flagged)]).await.unwrap();
    store.records.commit(&[given(1, Role::Trusted)]).await.unwrap();
    store.records.commit(&[given(1, Role::Vpn)]).await.unwrap();
    let (users, _) = store.records.people(&[UserId(1), UserId(2)], &[]).await.unwrap();
    let mut roles: Vec<_> = users.into_iter().map(|user| (user.id.0, user.roles)).collect();
    roles.sort_by_key(|(id, _)| *id);
    assert_eq!(roles, [(1, vec![Role::Vpn, Role::Trusted]), (2, vec![Role::Flagged])]);
}

/// A worker's time online is paid for, as the so many-th time.
fn paid(worker: &Worker, number: i64, key: &str) -> Deed {
    let change = WorkerChange { uptime_kudos: Kudos(7), unpaid_seconds: -601, ..WorkerChange::default() };
    vec![
        Record::UptimeRewarded { worker: worker.id, number },
        Record::WorkerCounted { worker: worker.id, change },
        posting(key, -1, 1, 7),
    ]
}

pub async fn time_online_is_paid_for_once(store: Store) {
    let worker = making::worker("steady");
    let change = WorkerChange { uptime_seconds: 1300, unpaid_seconds: 1300, ..WorkerChange::default() };
    let counted = Record::WorkerCounted { worker: worker.id, change };
    store.records.commit(&[making::user(1), making::made(&worker), counted]).await.unwrap();
    let deeds = [paid(&worker, 1, "a"), paid(&worker, 1, "b"), paid(&worker, 2, "c"), paid(&worker, 4, "d")];
    let verdicts = store.records.commit_each(&deeds).await.unwrap();
    assert_eq!(verdicts, [Kept, Refused(Overtaken), Kept, Refused(Overtaken)]);
    let stats = store.records.load().await.unwrap().workers.remove(0).stats;
    assert_eq!((stats.uptime_rewards, stats.uptime_kudos), (2, Kudos(14)));
    assert_eq!((stats.uptime_seconds, stats.unpaid_seconds), (1300, 98));
    assert_eq!(store.balances().await, [(-1, -14), (1, 14)]);
}

pub async fn reasons_for_suspicion_are_counted_and_taken_back(store: Store) {
    store.records.commit(&[making::user(1)]).await.unwrap();
    for suspicion in [1, 1, 3, -4] {
        let change = UserStats { suspicion, ..UserStats::default() };
        store.records.commit(&[Record::UserCounted { user: UserId(1), change }]).await.unwrap();
    }
    let (users, _) = store.records.people(&[UserId(1)], &[]).await.unwrap();
    assert_eq!(users[0].stats.suspicion, 1);
}
