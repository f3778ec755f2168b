//! Promises of Records about keys that accounts lend.

use std::sync::Arc;

use gridbroker::{
    backend::{
        Deed,
        Refusal::{Overdrawn, Overtaken, Taken, TooMany},
        Verdict::{self, Kept, Refused},
    },
    domain::{
        Kudos, RequestId, SharedKeyId, Timestamp, UserId,
        record::Record,
        request::{Accepted, Kind},
        shared_key::{KeyChange, SharedKey},
        user::{KeyHash, User},
    },
};
use uuid::Uuid;

use super::{
    making::{self, NOW, accepted, dropped, moved},
    store::Store,
};

fn key(owner: i64, budget: Option<i64>, created_at: i64) -> SharedKey {
    SharedKey {
        id: SharedKeyId(Uuid::new_v4()),
        owner: UserId(owner),
        name: Some("for \"friends\"".into()),
        budget: budget.map(Kudos),
        utilized: Kudos(0),
        expires_at: Some(Timestamp(77)),
        max_image_pixels: Some(262_144),
        max_image_steps: None,
        max_text_tokens: Some(80),
        created_at: Timestamp(created_at),
    }
}

fn lent(key: &SharedKey) -> Record {
    Record::SharedKeyMade { key: Arc::new(key.clone()), limit: None }
}

fn used(key: &SharedKey, amount: i64) -> Record {
    used_for(RequestId(Uuid::new_v4()), key, amount)
}

fn used_for(request: RequestId, key: &SharedKey, amount: i64) -> Record {
    Record::SharedKeyUsed { key: key.id, request, owner: key.owner, amount: Kudos(amount) }
}

async fn account(store: &Store, id: i64) -> User {
    store.records.people(&[UserId(id)], &[]).await.unwrap().0.remove(0)
}

pub async fn a_key_that_is_lent_comes_back_with_its_account(store: Store) {
    let (first, second) = (key(1, Some(50), 1), key(1, None, 2));
    let other = SharedKey {
        name: None,
        expires_at: None,
        max_image_pixels: None,
        max_text_tokens: None,
        ..key(2, None, 1)
    };
    let batch = [making::user(1), making::user(2), lent(&second), lent(&first), lent(&other)];
    store.records.commit(&batch).await.unwrap();
    let owner = account(&store, 1).await;
    assert_eq!(owner.shared_keys, [first.clone(), second], "oldest first");
    assert_eq!(account(&store, 2).await.shared_keys, [other]);
    let loaded = store.records.load().await.unwrap().users;
    assert!(loaded.contains(&owner), "read at the start, it is the same");
    for hash in [first.hash(), KeyHash::of("key of 1")] {
        assert_eq!(store.records.user_by_key(hash).await.unwrap(), Some(owner.clone()), "by either key");
    }
    assert_eq!(store.records.user_by_key(key(1, None, 1).hash()).await.unwrap(), None, "by no other");
    let verdicts = store.records.commit_each(&[vec![lent(&first)], vec![used(&first, 1)]]).await.unwrap();
    assert_eq!(verdicts, [Refused(Taken), Kept], "an ID is given once");
}

pub async fn what_is_spent_with_a_key_is_counted_down_to_nothing(store: Store) {
    let (bounded, open, empty) = (key(1, Some(50), 1), key(1, None, 2), key(1, Some(0), 3));
    let batch = [making::user(1), lent(&bounded), lent(&open), lent(&empty)];
    store.records.commit(&batch).await.unwrap();
    let figures = async || {
        let keys = account(&store, 1).await.shared_keys;
        keys.iter().map(|key| (key.budget.map(|left| left.0), key.utilized.0)).collect::<Vec<_>>()
    };
    // Two of a batch add up.
    let batch = [used(&bounded, 20), used(&open, 7), used(&empty, 5), used(&bounded, 10)];
    store.records.commit(&batch).await.unwrap();
    assert_eq!(figures().await, [(Some(20), 30), (None, 7), (Some(0), 0)]);
    store.records.commit(&[used(&bounded, 25)]).await.unwrap();
    store.records.commit(&[used(&bounded, 25), used(&open, 1)]).await.unwrap();
    assert_eq!(figures().await, [(Some(0), 55), (None, 8), (Some(0), 0)], "an empty one is not charged");
}

pub async fn an_account_lends_no_more_keys_than_its_limit(store: Store) {
    store.records.commit(&[making::user(1), making::user(2)]).await.unwrap();
    let within =
        |owner, limit| vec![Record::SharedKeyMade { key: Arc::new(key(owner, None, 1)), limit: Some(limit) }];
    let deeds = [within(1, 2), within(1, 2), within(1, 2), within(2, 1), within(1, 3)];
    let verdicts = store.records.commit_each(&deeds).await.unwrap();
    let full = Refused(TooMany { waiting: 0 });
    assert_eq!(verdicts, [Kept, Kept, full, Kept, Kept], "each within its own limit");
    store.records.commit(&[lent(&key(1, None, 2))]).await.unwrap();
    assert_eq!(account(&store, 1).await.shared_keys.len(), 4, "operators lend as many as they like");
    // At the same time, too.
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (records, deed) = (store.records.clone(), within(2, 3));
        tasks.spawn(async move { records.commit_each(&[deed]).await.unwrap()[0] });
    }
    let kept = tasks.join_all().await.into_iter().filter(|verdict| *verdict == Kept).count();
    assert_eq!((kept, account(&store, 2).await.shared_keys.len()), (2, 3));
}

pub async fn a_key_changes_part_by_part_until_it_goes(store: Store) {
    let lent_key = key(1, Some(50), 1);
    let (id, owner) = (lent_key.id, lent_key.owner);
    store.records.commit(&[making::user(1), lent(&lent_key)]).await.unwrap();
    let changed = |change: KeyChange| Record::SharedKeyChanged { key: id, owner, change: Box::new(change) };
    let first = KeyChange {
        name: Some("\"others\"".into()),
        budget: Some(Some(Kudos(70))),
        expires_at: Some(None),
        max_image_pixels: Some(None),
        max_text_tokens: Some(Some(16)),
        ..KeyChange::default()
    };
    let second = KeyChange { max_image_steps: Some(Some(30)), ..KeyChange::default() };
    store.records.commit(&[changed(first)]).await.unwrap();
    store.records.commit(&[changed(second)]).await.unwrap();
    let wanted = SharedKey {
        name: Some("\"others\"".into()),
        budget: Some(Kudos(70)),
        expires_at: None,
        max_image_pixels: None,
        max_image_steps: Some(30),
        max_text_tokens: Some(16),
        ..lent_key.clone()
    };
    assert_eq!(account(&store, 1).await.shared_keys, [wanted]);
    // What is spent of a budget, and what it is set to, have their order.
    let set = |kudos| vec![changed(KeyChange { budget: Some(kudos), ..KeyChange::default() })];
    let deeds = [vec![used(&lent_key, 30)], set(Some(Kudos(20))), vec![used(&lent_key, 5)]];
    assert_eq!(store.records.commit_each(&deeds).await.unwrap(), [Kept, Kept, Kept]);
    let left = account(&store, 1).await.shared_keys.remove(0);
    assert_eq!((left.budget, left.utilized), (Some(Kudos(15)), Kudos(35)));
    store.records.commit(&set(None)).await.unwrap();
    assert_eq!(account(&store, 1).await.shared_keys[0].budget, None);
    let drop = || vec![Record::SharedKeyDropped { key: id, owner }];
    let deeds = [drop(), drop(), set(None), vec![used(&lent_key, 1)]];
    let gone = Refused(Overtaken);
    assert_eq!(store.records.commit_each(&deeds).await.unwrap(), [Kept, gone, gone, Kept]);
    assert_eq!(account(&store, 1).await.shared_keys, []);
    assert_eq!(store.records.user_by_key(lent_key.hash()).await.unwrap(), None);
}

/// What is written when a request is accepted for which so much is kept of a key.
fn kept_for(request: &Accepted, key: &SharedKey, amount: i64) -> Deed {
    let held = Record::KeyHeld { request: request.id, key: key.id, owner: key.owner, amount: Kudos(amount) };
    vec![accepted(request), held]
}

async fn keeps(store: &Store, key: &SharedKey, amount: i64) -> (Accepted, Verdict) {
    let request = making::request_of(1, Kind::Text, 1);
    let deed = kept_for(&request, key, amount);
    let verdict = store.records.commit_each(&[deed]).await.unwrap()[0];
    (request, verdict)
}

fn short(left: i64) -> Verdict {
    Refused(Overdrawn { left: Kudos(left) })
}

pub async fn no_more_is_kept_of_a_key_than_it_has(store: Store) {
    let (bounded, other, open) = (key(1, Some(100), 1), key(1, Some(100), 2), key(1, None, 3));
    let batch = [making::user(1), lent(&bounded), lent(&other), lent(&open)];
    store.records.commit(&batch).await.unwrap();
    assert_eq!(keeps(&store, &bounded, 60).await.1, Kept);
    let (refused, verdict) = keeps(&store, &bounded, 41).await;
    assert_eq!(verdict, short(40), "101 are more than 100");
    assert!(store.records.request(refused.id).await.unwrap().is_none(), "nothing of it is there");
    assert_eq!(keeps(&store, &bounded, 40).await.1, Kept, "100 are not");
    assert_eq!(keeps(&store, &other, 100).await.1, Kept, "another key has its own");
    assert_eq!(keeps(&store, &open, 1_000_000).await.1, Kept, "and one without a budget has no end");
    let [first, second] = [60, 60].map(|amount| (making::request_of(1, Kind::Text, 1), amount));
    let third = key(1, Some(100), 4);
    store.records.commit(&[lent(&third)]).await.unwrap();
    let deeds = [first, second].map(|(request, amount)| kept_for(&request, &third, amount));
    let verdicts = store.records.commit_each(&deeds).await.unwrap();
    assert_eq!(verdicts, [Kept, short(40)], "of deeds in one call those hold that are covered");
}

pub async fn what_is_spent_with_a_key_is_taken_from_what_is_kept_of_it(store: Store) {
    let bounded = key(1, Some(100), 1);
    store.records.commit(&[making::user(1), lent(&bounded)]).await.unwrap();
    // As a submit writes it: the activation is paid at once.
    let request = making::request_of(1, Kind::Text, 1);
    let mut deed = kept_for(&request, &bounded, 60);
    deed.push(used_for(request.id, &bounded, 5));
    store.records.commit(&deed).await.unwrap();
    store.records.commit(&[used_for(request.id, &bounded, 20)]).await.unwrap();
    // 75 are left, of which 35 are kept.
    assert_eq!(keeps(&store, &bounded, 41).await.1, short(40));
    assert_eq!(keeps(&store, &bounded, 30).await.1, Kept);
    store.records.commit(&[used_for(request.id, &bounded, 50)]).await.unwrap();
    // What costs more than was kept is taken from the rest: 25 are left, and 30 kept.
    assert_eq!(keeps(&store, &bounded, 1).await.1, short(-5));
    // With all of it spent that request is free to end.
    store.records.commit(&[moved(&request, true, false)]).await.unwrap();
    assert_eq!(keeps(&store, &bounded, 1).await.1, short(-5));
}

pub async fn what_is_left_of_a_key_is_free_once_its_request_is_done(store: Store) {
    let bounded = key(1, Some(100), 1);
    store.records.commit(&[making::user(1), lent(&bounded)]).await.unwrap();
    for (rule, end) in [
        ("cancelled", (|request| vec![moved(request, true, false)]) as fn(&Accepted) -> Deed),
        ("failed", |request| vec![moved(request, false, true)]),
        ("dropped", |request| vec![dropped(request, NOW)]),
    ] {
        let (first, verdict) = keeps(&store, &bounded, 90).await;
        assert_eq!(verdict, Kept, "{rule}");
        assert_eq!(keeps(&store, &bounded, 80).await.1, short(10), "{rule}");
        store.records.commit(&end(&first)).await.unwrap();
    }
    let left = store.rows("SELECT CAST(count(*) AS TEXT) FROM key_holds").await;
    assert_eq!(left, [[2]], "what is kept goes with its request");
}

pub async fn who_keeps_kudos_of_a_key_at_the_same_time_see_each_other(store: Store) {
    let bounded = key(1, Some(100), 1);
    store.records.commit(&[making::user(1), lent(&bounded)]).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..24 {
        let (records, request) = (store.records.clone(), making::request_of(1, Kind::Text, 1));
        let deed = kept_for(&request, &bounded, 15);
        tasks.spawn(async move { records.commit_each(&[deed]).await.unwrap()[0] });
    }
    let kept = tasks.join_all().await.into_iter().filter(|verdict| *verdict == Kept).count();
    assert_eq!(kept, 6, "six times fifteen are ninety");
}
