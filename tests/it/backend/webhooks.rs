//! Promises of Records about webhooks that are due.

use std::{
    sync::atomic::{AtomicI64, Ordering::SeqCst},
    time::Duration,
};

use gridbroker::{
    backend::{Refusal, Verdict, WebhookAgain, WebhookEnd},
    domain::{AttemptId, Clock, Timestamp, clock::SystemClock, record::Record, webhook::Webhook},
};

use super::{
    making::{self, NOW},
    store::Store,
};
use crate::harness::eventually;

const LONG: Duration = Duration::from_secs(60);

fn now() -> Timestamp {
    SystemClock.now()
}

/// Each a little later than the one before, all in the past.
fn due(host: &str) -> Webhook {
    static TIME: AtomicI64 = AtomicI64::new(NOW.0);
    let made_at = Timestamp(TIME.fetch_add(1, SeqCst));
    let (request, attempt) = (making::request(1).id, making::attempt(0, 1).id);
    Webhook { attempt, request, host: host.into(), tries: 0, made_at }
}

async fn commit(store: &Store, due: &[&Webhook]) {
    for due in due {
        // One after the other: keepers may go by their own clocks.
        store.records.commit(&[Record::WebhookDue((*due).clone())]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn taken(store: &Store, hold: Duration, most: usize, except: &[&str]) -> Vec<AttemptId> {
    let except: Vec<_> = except.iter().map(|host| (*host).to_owned()).collect();
    let taken = store.records.take_webhooks(now(), hold, most, &except).await.unwrap();
    let mut ids: Vec<_> = taken.iter().map(|due| due.attempt).collect();
    ids.sort();
    ids
}

fn sorted(due: &[&Webhook]) -> Vec<AttemptId> {
    let mut ids: Vec<_> = due.iter().map(|due| due.attempt).collect();
    ids.sort();
    ids
}

pub async fn a_webhook_is_with_one_taker_at_a_time(store: Store) {
    let [one, two, three] = [(); 3].map(|()| due("example.org"));
    commit(&store, &[&one, &two, &three]).await;
    let first = store.records.take_webhooks(now(), LONG, 1, &[]).await.unwrap();
    assert_eq!(first, [Webhook { tries: 1, ..one.clone() }], "the oldest, as it was written");
    let (some, others) = tokio::join!(taken(&store, LONG, 1, &[]), taken(&store, LONG, 1, &[]));
    let mut both = [some, others].concat();
    both.sort();
    assert_eq!(both, sorted(&[&two, &three]));
    assert!(taken(&store, LONG, 9, &[]).await.is_empty(), "all are held");

    let short = due("example.org");
    commit(&store, &[&short]).await;
    assert_eq!(taken(&store, Duration::from_millis(100), 9, &[]).await, [short.attempt]);
    assert!(taken(&store, LONG, 9, &[]).await.is_empty(), "for a while");
    let mut again = Vec::new();
    eventually(async || {
        again = store.records.take_webhooks(now(), LONG, 9, &[]).await.unwrap();
        !again.is_empty()
    })
    .await;
    assert_eq!(again, [Webhook { tries: 2, ..short }], "and counts as another try");
}

pub async fn hosts_that_are_busy_are_passed_over(store: Store) {
    let [busy, idle] = ["busy.example", "idle.example"].map(due);
    commit(&store, &[&busy, &idle]).await;
    assert!(taken(&store, LONG, 9, &["busy.example", "idle.example"]).await.is_empty());
    assert_eq!(taken(&store, LONG, 9, &["busy.example"]).await, [idle.attempt]);
    assert_eq!(taken(&store, LONG, 9, &["other.example"]).await, [busy.attempt]);
}

pub async fn a_webhook_ends_or_is_due_again(store: Store) {
    let [done, again, stale, later] = [(); 4].map(|()| due("example.org"));
    commit(&store, &[&done, &again, &stale, &later]).await;
    assert_eq!(taken(&store, LONG, 9, &[]).await, sorted(&[&done, &again, &stale, &later]));
    let end = |due: &Webhook, tries, again| WebhookEnd { attempt: due.attempt, tries, again };
    let at_once = |tries| Some(WebhookAgain { wait: Duration::ZERO, tries });
    let ends = [
        end(&done, 1, None),
        end(&again, 1, at_once(7)),
        end(&stale, 3, at_once(3)),
        end(&later, 1, Some(WebhookAgain { wait: LONG, tries: 1 })),
    ];
    for _ in 0..2 {
        store.records.end_webhooks(now(), &ends).await.unwrap();
    }
    store.records.end_webhooks(now(), &[]).await.unwrap();
    let taken = store.records.take_webhooks(now(), LONG, 9, &[]).await.unwrap();
    assert_eq!(taken, [Webhook { tries: 8, ..again }], "what somebody else took since stays with them");
    assert_eq!(store.table("webhooks", &["attempt"]).await.len(), 3, "what is done is gone");
}

pub async fn the_oldest_webhooks_are_dropped_past_a_number(store: Store) {
    let all = [(); 5].map(|()| due("example.org"));
    commit(&store, &all.iter().rev().collect::<Vec<_>>()).await;
    assert_eq!(store.records.crop_webhooks(5).await.unwrap(), 0);
    assert_eq!(store.records.crop_webhooks(2).await.unwrap(), 3);
    assert_eq!(taken(&store, LONG, 9, &[]).await, sorted(&[&all[3], &all[4]]));
}

pub async fn a_request_is_kept_until_its_webhooks_are_through(store: Store) {
    let (request, attempt) = (making::request(1), making::attempt(0, 1));
    let due = Webhook { attempt: attempt.id, request: request.id, ..due("example.org") };
    let life = [
        making::accepted(&request),
        making::opened(&request, &attempt),
        making::settled(&request, &attempt),
        Record::WebhookDue(due.clone()),
        making::moved(&request, false, false),
    ];
    store.records.commit(&life).await.unwrap();
    let later = NOW.plus(LONG);
    assert!(store.records.sweep(later).await.unwrap().is_empty());
    assert!(
        store.records.request(request.id).await.unwrap().is_some_and(|stored| stored.outcomes.len() == 1)
    );
    let end = WebhookEnd { attempt: attempt.id, tries: 0, again: None };
    store.records.end_webhooks(now(), &[end]).await.unwrap();
    assert_eq!(store.records.sweep(later).await.unwrap(), [(request.id, vec![attempt.id])]);
}

pub async fn a_refused_result_tells_nobody(store: Store) {
    let (request, attempt) = (making::request(1), making::attempt(0, 1));
    store.records.commit(&[making::accepted(&request)]).await.unwrap();
    let due = Webhook { attempt: attempt.id, request: request.id, ..due("example.org") };
    // Its attempt is not open.
    let deed = vec![making::settled(&request, &attempt), Record::WebhookDue(due)];
    let verdicts = store.records.commit_each(&[deed]).await.unwrap();
    assert_eq!(verdicts, [Verdict::Refused(Refusal::Overtaken)]);
    assert!(store.table("webhooks", &["attempt"]).await.is_empty());
}
