//! Promises of Records about who accounts are and what is said of them.

use std::sync::Arc;

use gridbroker::{
    backend::{
        Ranking,
        Refusal::{Overtaken, Taken},
        Verdict::{Kept, Refused},
    },
    domain::{
        Kudos, SharedKeyId, Timestamp, UserId,
        account::{About, Amendment, Identity},
        record::Record,
        shared_key::SharedKey,
        user::{KeyHash, Role, User, UserStats},
    },
};
use uuid::Uuid;

use super::{
    making::{self, posting},
    store::Store,
};

fn amended(user: i64, amendment: Amendment) -> Record {
    Record::UserAmended { user: UserId(user), amendment: Box::new(amendment) }
}

async fn account(store: &Store, id: i64) -> User {
    store.records.people(&[UserId(id)], &[]).await.unwrap().0.remove(0)
}

fn suspected(user: i64, suspicion: i64) -> Record {
    Record::UserCounted { user: UserId(user), change: UserStats { suspicion, ..UserStats::default() } }
}

pub async fn who_an_account_is_and_what_is_said_of_it_comes_back(store: Store) {
    let about = About {
        identity: Identity::Pseudonym(Uuid::from_u128(7)),
        contact: Some("\"me\" & mine".into()),
        admin_comment: Some("hm".into()),
        public_workers: true,
        usage_multiplier: 0.3,
        proxy_passkey: Some("a-passkey".into()),
        active_at: Timestamp(77),
    };
    let user = User { id: UserId(1), key: KeyHash::of("one"), about, ..User::anonymous() };
    store.records.commit(&[Record::UserMade(Arc::new(user.clone())), making::user(2)]).await.unwrap();
    assert_eq!(account(&store, 1).await, user);
    let loaded = store.records.load().await.unwrap().users;
    assert!(loaded.contains(&user), "read at the start, it is the same");
    let anonymous = loaded.iter().find(|user| user.id == UserId::ANONYMOUS);
    assert_eq!(anonymous.unwrap().about, User::anonymous().about);
}

pub async fn an_account_is_amended_part_by_part_by_whichever_broker(store: Store) {
    store.records.commit(&[making::user(1), making::user(2), suspected(1, 3)]).await.unwrap();
    let mut expected = account(&store, 1).await;
    let said = Amendment {
        alias: Some("another \"name\"".into()),
        key: Some(KeyHash::of("another key")),
        contact: Some("here".into()),
        admin_comment: Some("hm".into()),
        roles: [(Role::Trusted, true), (Role::Vpn, true)].into(),
        clears_suspicion: true,
        active_at: Some(Timestamp(50)),
        ..Amendment::default()
    };
    let counted = Amendment {
        public_workers: Some(true),
        usage_multiplier: Some(2.5),
        proxy_passkey: Some("a-passkey".into()),
        concurrency: Some(7),
        worker_invites: Some(3),
        identity: Some(Identity::External("g_1".into())),
        roles: [(Role::Vpn, false), (Role::Service, true), (Role::Flagged, false)].into(),
        active_at: Some(Timestamp(40)),
        ..Amendment::default()
    };
    let taken_back = Amendment {
        contact: Some(String::new()),
        proxy_passkey: Some(String::new()),
        roles: [(Role::Trusted, true)].into(),
        ..Amendment::default()
    };
    // Two in a batch are summed up, a third comes later.
    store.records.commit(&[amended(1, said.clone()), amended(1, counted.clone())]).await.unwrap();
    store.records.commit(&[amended(1, taken_back.clone())]).await.unwrap();
    for amendment in [said, counted, taken_back] {
        amendment.apply(&mut expected);
    }
    let mut found = account(&store, 1).await;
    expected.roles.sort_unstable();
    found.roles.sort_unstable();
    assert_eq!(found, expected);
    let holder = store.records.user_by_key(KeyHash::of("another key")).await.unwrap();
    assert_eq!(holder.map(|user| user.id), Some(UserId(1)));
    assert_eq!(
        store.records.user_by_key(KeyHash::of("key of 1")).await.unwrap(),
        None,
        "the old one is none"
    );
    let mut other = account(&store, 2).await;
    other.stats.suspicion = 0;
    assert_eq!(other.alias, "user 2", "nobody else changes");
}

pub async fn a_key_takes_the_place_of_the_one_that_it_was_made_for_or_of_none(store: Store) {
    store.records.commit(&[making::user(1), making::user(2)]).await.unwrap();
    let instead = |old: &str, new: &str| Amendment {
        alias: Some(new.into()),
        key: Some(KeyHash::of(new)),
        replaces: Some(KeyHash::of(old)),
        ..Amendment::default()
    };
    let other = Amendment { contact: Some("here".into()), ..Amendment::default() };
    let deeds = [
        vec![amended(1, instead("key of 1", "second"))],
        vec![amended(1, instead("key of 1", "of a thief"))],
        vec![amended(2, other.clone())],
        vec![amended(1, instead("second", "third"))],
    ];
    let verdicts = store.records.commit_each(&deeds).await.unwrap();
    assert_eq!(verdicts, [Kept, Refused(Overtaken), Kept, Kept]);
    let found = account(&store, 1).await;
    assert_eq!((found.alias.as_str(), found.key), ("third", KeyHash::of("third")));
    assert_eq!(account(&store, 2).await.about.contact.as_deref(), Some("here"));
}

pub async fn keys_identities_and_passkeys_are_one_accounts(store: Store) {
    store.records.commit(&[making::user(1), making::user(2)]).await.unwrap();
    let parts = [
        Amendment { key: Some(KeyHash::of("a key")), ..Amendment::default() },
        Amendment { identity: Some(Identity::External("g_1".into())), ..Amendment::default() },
        Amendment { proxy_passkey: Some("a-passkey".into()), ..Amendment::default() },
    ];
    for part in parts {
        let deeds = [vec![amended(1, part.clone())], vec![amended(2, part.clone())]];
        let verdicts = store.records.commit_each(&deeds).await.unwrap();
        assert_eq!(verdicts, [Kept, Refused(Taken)], "{part:?}");
    }
    // Any number of them may be wiped.
    let wiped = Amendment { identity: Some(Identity::Wiped), ..Amendment::default() };
    let deeds = [vec![amended(1, wiped.clone())], vec![amended(2, wiped)]];
    assert_eq!(store.records.commit_each(&deeds).await.unwrap(), [Kept, Kept]);
    assert!(account(&store, 2).await.is_wiped());
}

pub async fn who_signs_in_has_one_account_and_is_found(store: Store) {
    let made = |id: i64, identity: &str| {
        let about = About { identity: Identity::External(identity.into()), ..About::default() };
        let key = KeyHash::of(&format!("key of {id}"));
        vec![Record::UserMade(Arc::new(User { id: UserId(id), key, about, ..User::anonymous() }))]
    };
    let deeds = [made(1, "gh_7"), made(2, "gh_7"), made(3, "g_7")];
    let verdicts = store.records.commit_each(&deeds).await.unwrap();
    assert_eq!(verdicts, [Kept, Refused(Taken), Kept], "in one call");
    assert_eq!(store.records.commit_each(&[made(4, "gh_7")]).await.unwrap(), [Refused(Taken)], "and later");
    let found = async |identity: &str| store.records.user_of_identity(identity).await.unwrap();
    for (identity, id) in [("gh_7", Some(UserId(1))), ("g_7", Some(UserId(3))), ("d_7", None), ("", None)] {
        assert_eq!(found(identity).await, id, "{identity:?}");
    }
    let wiped = Amendment { identity: Some(Identity::Wiped), ..Amendment::default() };
    store.records.commit(&[amended(1, wiped)]).await.unwrap();
    assert_eq!(found("gh_7").await, None, "who was wiped begins anew");
    assert_eq!(store.records.commit_each(&[made(5, "gh_7")]).await.unwrap(), [Kept]);
}

pub async fn an_account_that_is_wiped_lends_no_key(store: Store) {
    let key = |owner| SharedKey {
        id: SharedKeyId(Uuid::new_v4()),
        owner: UserId(owner),
        name: None,
        budget: None,
        utilized: Kudos(0),
        expires_at: None,
        max_image_pixels: None,
        max_image_steps: None,
        max_text_tokens: None,
        created_at: Timestamp(1),
    };
    let (first, other) = (key(1), key(2));
    let lent = |key: &SharedKey| Record::SharedKeyMade { key: Arc::new(key.clone()), limit: None };
    store.records.commit(&[making::user(1), making::user(2), lent(&first), lent(&other)]).await.unwrap();
    let wiped = Amendment { drops_shared_keys: true, ..Amendment::default() };
    store.records.commit(&[amended(1, wiped)]).await.unwrap();
    assert_eq!(account(&store, 1).await.shared_keys, []);
    assert_eq!(store.records.user_by_key(first.hash()).await.unwrap(), None);
    assert_eq!(account(&store, 2).await.shared_keys, [other]);
}

pub async fn accounts_are_ranked_and_wiped_ones_left_out(store: Store) {
    let made = |id: i64, created_at| {
        let key = KeyHash::of(&format!("key of {id}"));
        Record::UserMade(Arc::new(User { id: UserId(id), key, created_at, ..User::anonymous() }))
    };
    let batch = [
        made(1, Timestamp(40)),
        made(2, Timestamp(10)),
        made(3, Timestamp(20)),
        made(4, Timestamp(20)),
        made(5, Timestamp(5)),
        posting("a", -3, 3, 50),
        posting("b", -3, 4, 50),
        posting("c", -3, 1, 70),
        posting("d", -3, 5, 99),
        // What is put aside is not a balance.
        posting("e", -1, gridbroker::domain::kudos::Account::escrow(UserId(2)).0, 1000),
        amended(5, Amendment { identity: Some(Identity::Wiped), ..Amendment::default() }),
    ];
    store.records.commit(&batch).await.unwrap();
    let ranked = async |by, skip, most| {
        let users = store.records.ranked_users(by, skip, most).await.unwrap();
        users.iter().map(|user| user.id.0).collect::<Vec<_>>()
    };
    assert_eq!(ranked(Ranking::Kudos, 0, 25).await, [1, 3, 4, 0, 2]);
    assert_eq!(ranked(Ranking::Kudos, 1, 2).await, [3, 4]);
    assert_eq!(ranked(Ranking::Kudos, 5, 2).await, [0; 0]);
    assert_eq!(ranked(Ranking::Age, 0, 25).await, [0, 2, 3, 4, 1]);
}
