//! Promises of Records about keys that accounts lend.

use std::sync::Arc;

use gridbroker::{
    backend::{
        Refusal::Taken,
        Verdict::{Kept, Refused},
    },
    domain::{
        Kudos, SharedKeyId, Timestamp, UserId,
        record::Record,
        shared_key::SharedKey,
        user::{KeyHash, User},
    },
};
use uuid::Uuid;

use super::{making, store::Store};

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
    Record::SharedKeyMade(Arc::new(key.clone()))
}

fn used(key: &SharedKey, amount: i64) -> Record {
    Record::SharedKeyUsed { key: key.id, owner: key.owner, amount: Kudos(amount) }
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
