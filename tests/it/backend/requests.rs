//! Promises of Records about requests, their attempts and results.

use std::{sync::Arc, time::Duration};

use gridbroker::domain::{
    AttemptId, Kudos, RequestId, Timestamp,
    lease::Closed,
    record::Record,
    request::{Accepted, Spec},
};
use uuid::Uuid;

use super::{
    making::{self, NOW},
    store::Store,
};

pub async fn an_attempt_ends_once(store: Store) {
    let request = making::request(3);
    let attempts: Vec<_> = (0..3).map(|job| making::attempt(job, 1)).collect();
    let mut batch = vec![making::accepted(&request)];
    batch.extend(attempts.iter().map(|attempt| making::opened(&request, attempt)));
    store.records.commit(&batch).await.unwrap();
    let settle = |job: usize| making::settled(&request, &attempts[job]);
    let close = |job: usize| making::closed(&request, &attempts[job], Closed::Faulted);
    store.records.commit(&[settle(0), close(1)]).await.unwrap();
    for again in [settle(0), close(0), settle(1), close(1)] {
        let other = making::request(1);
        let batch = [making::accepted(&other), again];
        assert!(store.records.commit(&batch).await.is_err(), "{:?}", batch[1]);
        assert!(store.records.request(other.id).await.unwrap().is_none(), "nothing of the batch is there");
    }
    assert!(store.records.commit(&[settle(2), close(2)]).await.is_err(), "nor twice in one batch");
    let state = async |job: usize| store.records.attempt(attempts[job].id).await.unwrap().unwrap();
    assert_eq!((state(0).await.how, state(0).await.reward), (Some(Closed::Settled), Kudos(12_345_678)));
    assert_eq!((state(1).await.how, state(1).await.reward), (Some(Closed::Faulted), Kudos::ZERO));
    assert_eq!((state(2).await.how, state(2).await.worker), (None, attempts[2].worker));
    assert!(store.records.attempt(AttemptId(Uuid::new_v4())).await.unwrap().is_none());
}

pub async fn a_job_has_one_open_attempt(store: Store) {
    let request = making::request(2);
    let [first, rival, next] = [1, 2, 3].map(|number| making::attempt(0, number));
    let batch = [making::accepted(&request), making::opened(&request, &first)];
    store.records.commit(&batch).await.unwrap();
    assert!(store.records.commit(&[making::opened(&request, &rival)]).await.is_err());
    store.records.commit(&[making::opened(&request, &making::attempt(1, 1))]).await.unwrap();
    // The order of a batch does not matter to this: what ends makes room.
    let batch = [making::closed(&request, &first, Closed::Returned), making::opened(&request, &next)];
    store.records.commit(&batch).await.unwrap();
    let stored = store.records.request(request.id).await.unwrap().unwrap();
    assert_eq!(stored.closed, [(0, 1, first.id, Closed::Returned)]);
    assert_eq!(stored.open.len(), 2);
}

pub async fn a_request_is_done_when_nothing_more_will_come(store: Store) {
    // Of two jobs: open, settled; cancelled, faulted; done.
    for (open, settled, cancelled, faulted, done) in [
        (0, 0, false, false, false),
        (1, 0, false, false, false),
        (1, 1, false, false, false),
        (0, 2, false, false, true),
        (0, 0, true, false, true),
        (0, 0, false, true, true),
        (1, 0, true, false, false),
        (1, 1, false, true, false),
        (0, 1, true, true, true),
        (0, 2, true, false, true),
    ] {
        let request = making::request(2);
        let mut batch = vec![making::accepted(&request), making::moved(&request, cancelled, faulted)];
        for job in 0..open + settled {
            let attempt = making::attempt(job, 1);
            batch.push(making::opened(&request, &attempt));
            if job < settled {
                batch.push(making::settled(&request, &attempt));
            }
        }
        store.records.commit(&batch).await.unwrap();
        let stored = store.records.request(request.id).await.unwrap().unwrap();
        let case = format!("{open} open, {settled} settled, cancelled {cancelled}, faulted {faulted}");
        assert_eq!((stored.done, stored.cancelled, stored.faulted), (done, cancelled, faulted), "{case}");
        assert_eq!((stored.open.len(), stored.outcomes.len()), (open, settled), "{case}");
        let loaded = store.records.load().await.unwrap().requests;
        assert_eq!(loaded.iter().any(|other| other.request.id == request.id), !done, "{case}");
    }
}

pub async fn what_was_committed_is_loaded(store: Store) {
    let request = making::request(4);
    let [open, settled, faulted] = [0, 1, 2].map(|job| making::attempt(job, 1));
    let mut batch = vec![making::accepted(&request)];
    batch.extend([&open, &settled, &faulted].map(|attempt| making::opened(&request, attempt)));
    store.records.commit(&batch).await.unwrap();
    let later = NOW.plus(Duration::from_secs(50));
    let moved = |expires_at: Timestamp| Record::RequestMoved {
        request: request.id,
        expires_at,
        cancelled: false,
        faulted: false,
        spent: Kudos(7),
    };
    let batch = [
        making::settled(&request, &settled),
        making::closed(&request, &faulted, Closed::Faulted),
        Record::LeaseMoved { attempt: open.id, expires_at: later },
        moved(later),
        moved(NOW),
    ];
    store.records.commit(&batch).await.unwrap();
    for stored in [
        store.records.load().await.unwrap().requests.remove(0),
        store.records.request(request.id).await.unwrap().unwrap(),
    ] {
        let there = &stored.request;
        assert_eq!(
            (there.id, there.owner, there.created_at),
            (request.id, request.owner, request.created_at)
        );
        assert_eq!((there.priority, &*there.spec), (request.priority, &*request.spec));
        assert_eq!(stored.expires_at, later, "the latest counts");
        assert_eq!(stored.consumed, Kudos(14));
        let mut open = open.clone();
        open.expires_at = later;
        assert_eq!(stored.open, [open]);
        assert_eq!(stored.closed, [(2, 1, faulted.id, Closed::Faulted)]);
        assert_eq!(*stored.outcomes[0], *making::outcome(&settled));
    }
    assert!(store.records.request(RequestId(Uuid::new_v4())).await.unwrap().is_none());
}

pub async fn a_whole_life_fits_into_one_batch(store: Store) {
    let (request, attempt) = (making::request(1), making::attempt(0, 1));
    let life = [
        making::accepted(&request),
        making::opened(&request, &attempt),
        making::settled(&request, &attempt),
        making::moved(&request, false, false),
    ];
    store.records.commit(&life).await.unwrap();
    assert!(store.records.request(request.id).await.unwrap().unwrap().done);
    let (request, attempt) = (making::request(1), making::attempt(0, 1));
    let dropped = [
        making::accepted(&request),
        making::opened(&request, &attempt),
        making::closed(&request, &attempt, Closed::Returned),
        making::moved(&request, true, false),
        making::dropped(&request, NOW),
    ];
    store.records.commit(&dropped).await.unwrap();
    assert!(store.records.request(request.id).await.unwrap().is_none());
    assert!(store.records.attempt(attempt.id).await.unwrap().is_none());
}

pub async fn texts_come_back_as_they_were(store: Store) {
    for prompt in
        ["", "\"\\/\u{8}\n", "\\u0000 {}[]'; --", "nul \0 in it", "🗼 é\u{301} \u{10ffff}\u{feff}", "$1 %s"]
    {
        let plain = making::request(1);
        let spec = Spec { prompt: prompt.into(), ..(*plain.spec).clone() };
        let request = Accepted { spec: Arc::new(spec), ..plain };
        let mut attempt = making::attempt(0, 1);
        attempt.model = prompt.replace('\0', "");
        store
            .records
            .commit(&[making::accepted(&request), making::opened(&request, &attempt)])
            .await
            .unwrap();
        let stored = store.records.request(request.id).await.unwrap().unwrap();
        assert_eq!((&*stored.request.spec, &stored.open[0].model), (&*request.spec, &attempt.model));
    }
}

pub async fn what_is_over_is_swept_with_its_attempts(store: Store) {
    let [over, empty, young, busy] = [(); 4].map(|()| making::request(1));
    let attempts = [making::attempt(0, 1), making::attempt(0, 2)];
    let later = NOW.plus(Duration::from_secs(60));
    let keep = |request: &Accepted, expires_at| Record::RequestMoved {
        request: request.id,
        expires_at,
        cancelled: true,
        faulted: false,
        spent: Kudos::ZERO,
    };
    let batch = [
        making::accepted(&over),
        making::opened(&over, &attempts[0]),
        making::closed(&over, &attempts[0], Closed::Returned),
        making::opened(&over, &attempts[1]),
        making::settled(&over, &attempts[1]),
        making::accepted(&empty),
        keep(&empty, NOW),
        making::accepted(&young),
        keep(&young, later),
        making::accepted(&busy),
        making::opened(&busy, &making::attempt(0, 1)),
    ];
    store.records.commit(&batch).await.unwrap();
    assert!(store.records.sweep(NOW).await.unwrap().is_empty(), "not before their time is over");
    let mut swept = store.records.sweep(later).await.unwrap();
    swept.iter_mut().for_each(|(_, attempts)| attempts.sort());
    swept.sort();
    let mut all: Vec<_> = attempts.iter().map(|attempt| attempt.id).collect();
    all.sort();
    let mut right = vec![(over.id, all), (empty.id, vec![])];
    right.sort();
    assert_eq!(swept, right);
    for (request, is_there) in [(&over, false), (&empty, false), (&young, true), (&busy, true)] {
        assert_eq!(store.records.request(request.id).await.unwrap().is_some(), is_there);
    }
    for attempt in attempts {
        assert!(store.records.attempt(attempt.id).await.unwrap().is_none());
    }
    assert!(store.records.sweep(later).await.unwrap().is_empty(), "once");
}
