//! Promises of Records about kudos that are set aside.

use std::{sync::Arc, time::Duration};

use gridbroker::{
    backend::{
        Deed,
        Refusal::Uncovered,
        Verdict::{self, Kept, Refused},
    },
    domain::{
        Kudos,
        record::Record,
        request::{Accepted, Kind, Spec},
    },
};

use super::{
    making::{self, NOW, accepted, dropped, extended, moved, opened, posting, settled},
    store::Store,
};

const FLOOR: i64 = 10;

/// A request for which so much is set aside.
fn backed(amount: i64) -> Accepted {
    let plain = making::request_of(1, Kind::Text, 1);
    let mut spec: Spec = (*plain.spec).clone();
    spec.origin.upfront = Kudos(amount);
    Accepted { spec: Arc::new(spec), ..plain }
}

/// What is written when it is accepted.
fn taken_in(request: &Accepted) -> Deed {
    let (request_id, owner, amount) = (request.id, request.owner, request.spec.origin.upfront);
    let held = Record::KudosHeld { request: request_id, owner, amount, floor: Kudos(FLOOR) };
    vec![accepted(request), held]
}

/// What is written when it costs something.
fn costs(request: &Accepted, key: &str, amount: i64) -> Deed {
    let (request, spent) = (request.id, Kudos(amount));
    let moved = Record::RequestMoved { request, expires_at: NOW, cancelled: false, faulted: false, spent };
    vec![posting(key, 1, -2, amount), moved]
}

async fn verdict(store: &Store, deed: Deed) -> Verdict {
    store.records.commit_each(&[deed]).await.unwrap()[0]
}

async fn account_of(store: &Store, balance: i64) {
    store.records.commit(&[making::user(1), posting("opening", -3, 1, balance)]).await.unwrap();
}

pub async fn no_more_kudos_are_set_aside_than_there_are(store: Store) {
    account_of(&store, 100).await;
    let [first, second, third, fourth] = [60, 31, 30, 1].map(backed);
    assert_eq!(verdict(&store, taken_in(&first)).await, Kept);
    assert_eq!(verdict(&store, taken_in(&second)).await, Refused(Uncovered), "91 are more than 100 − 10");
    assert!(store.records.request(second.id).await.unwrap().is_none(), "nothing of it is there");
    store.check_waiting().await;
    assert_eq!(verdict(&store, taken_in(&third)).await, Kept, "90 are not");
    assert_eq!(verdict(&store, taken_in(&fourth)).await, Refused(Uncovered));
    let there = store.rows("SELECT CAST(amount AS TEXT) FROM holds ORDER BY amount").await;
    assert_eq!(there.iter().map(|row| row[0].clone()).collect::<Vec<_>>(), [30, 60]);
    let stored = store.records.request(first.id).await.unwrap().unwrap();
    assert_eq!(
        stored.request.spec.origin.upfront,
        Kudos(60),
        "an engine that starts finds it in the request"
    );
}

pub async fn of_deeds_in_one_call_those_hold_that_are_covered(store: Store) {
    account_of(&store, 100).await;
    let requests: Vec<_> = [60, 60, 20, 20].map(backed).into();
    let deeds: Vec<_> = requests.iter().map(taken_in).collect();
    let verdicts = store.records.commit_each(&deeds).await.unwrap();
    assert_eq!(verdicts, [Kept, Refused(Uncovered), Kept, Refused(Uncovered)]);
}

pub async fn an_account_without_a_balance_sets_aside_what_it_may_owe(store: Store) {
    store.records.commit(&[making::user(1)]).await.unwrap();
    let held = |request: &Accepted| {
        let mut deed = taken_in(request);
        if let Some(Record::KudosHeld { floor, .. }) = deed.last_mut() {
            *floor = Kudos(-50);
        }
        deed
    };
    let [most, more] = [50, 1].map(backed);
    assert_eq!(verdict(&store, held(&most)).await, Kept);
    assert_eq!(verdict(&store, held(&more)).await, Refused(Uncovered));
}

pub async fn what_a_request_costs_is_taken_from_what_is_set_aside_for_it(store: Store) {
    account_of(&store, 100).await;
    let [first, second, third] = [60, 30, 1].map(backed);
    // As a submit writes it: the activation is paid at once.
    let mut deed = taken_in(&first);
    deed.extend(costs(&first, "activation", 5));
    assert_eq!(verdict(&store, deed).await, Kept);
    store.records.commit(&costs(&first, "job", 20)).await.unwrap();
    assert_eq!(verdict(&store, taken_in(&second)).await, Kept, "75 less 35 that are left less 10");
    assert_eq!(verdict(&store, taken_in(&third)).await, Refused(Uncovered));
    store.records.commit(&costs(&first, "dear", 65)).await.unwrap();
    assert_eq!(
        verdict(&store, taken_in(&third)).await,
        Refused(Uncovered),
        "what costs more than was set aside is taken from the rest"
    );
}

pub async fn what_is_left_is_free_once_the_request_is_done(store: Store) {
    account_of(&store, 100).await;
    let attempt = making::attempt(0, 1);
    for (rule, end) in [
        ("cancelled", (|request| vec![moved(request, true, false)]) as fn(&Accepted) -> Deed),
        ("expired", |request| vec![moved(request, false, true)]),
        ("dropped", |request| vec![dropped(request, NOW)]),
    ] {
        let [first, second] = [90, 80].map(backed);
        store.records.commit(&taken_in(&first)).await.unwrap();
        assert_eq!(verdict(&store, taken_in(&second)).await, Refused(Uncovered), "{rule}");
        store.records.commit(&end(&first)).await.unwrap();
        assert_eq!(verdict(&store, taken_in(&second)).await, Kept, "{rule}");
        store.records.commit(&[dropped(&second, NOW)]).await.unwrap();
    }
    let [first, second] = [90, 80].map(backed);
    let mut deed = taken_in(&first);
    deed.push(opened(&first, &attempt));
    store.records.commit(&deed).await.unwrap();
    store.records.commit(&[settled(&first, &attempt)]).await.unwrap();
    assert_eq!(verdict(&store, taken_in(&second)).await, Kept, "delivered");
}

pub async fn a_hold_goes_with_its_request(store: Store) {
    account_of(&store, 1000).await;
    let [dropped_one, swept, kept] = [10, 20, 30].map(backed);
    let later = NOW.plus(Duration::from_secs(60));
    for request in [&dropped_one, &swept, &kept] {
        store.records.commit(&taken_in(request)).await.unwrap();
    }
    store.records.commit(&[dropped(&dropped_one, NOW)]).await.unwrap();
    store.records.commit(&[moved(&swept, true, false), extended(&kept, later)]).await.unwrap();
    assert_eq!(store.records.sweep(later).await.unwrap().len(), 1);
    let there = store.rows("SELECT CAST(amount AS TEXT) FROM holds").await;
    assert_eq!(there, [[30]]);
}

pub async fn who_sets_aside_and_who_takes_at_the_same_time_see_each_other(store: Store) {
    const TRIES: i64 = 24;
    account_of(&store, 100).await;
    let spender = making::request_of(1, Kind::Text, 1);
    store.records.commit(&[accepted(&spender)]).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..TRIES {
        let records = store.records.clone();
        let deed = match number % 4 {
            // As a settlement writes it: with the account's figures.
            0 => {
                let mut deed = costs(&spender, &format!("job {number}"), 3);
                let change = Default::default();
                deed.push(Record::UserCounted { user: spender.owner, change });
                deed
            }
            _ => taken_in(&backed(15)),
        };
        tasks.spawn(async move { (number, records.commit_each(&[deed]).await.unwrap()[0]) });
    }
    let verdicts = tasks.join_all().await;
    let kept = verdicts.iter().filter(|(number, verdict)| number % 4 != 0 && *verdict == Kept).count() as i64;
    assert!(verdicts.iter().all(|(number, verdict)| number % 4 != 0 || *verdict == Kept));
    // Debits do not ask what is set aside; but each hold fitted in when it was written.
    let left = 100 - FLOOR - 3 * (TRIES / 4);
    assert!(kept * 15 <= 100 - FLOOR, "{kept} holds are more than there was at any time");
    assert!((kept + 1) * 15 > left, "{kept} holds are fewer than there was room for");
    let held = store.rows("SELECT CAST(count(*) AS TEXT) FROM holds").await;
    assert_eq!(held, [[kept]]);
}
