//! Promises of Records about deeds: which of them hold, and that the others leave nothing behind.

use std::{sync::Arc, time::Duration};

use gridbroker::{
    backend::{
        Deed,
        Refusal::{Overtaken, Taken, TooMany},
        Verdict::{self, Kept, Refused},
    },
    domain::{
        AttemptId, Kudos, RequestId, UserId, WorkerId,
        lease::Closed::{Faulted, Returned},
        record::Record,
        request::{Accepted, Kind},
        user::{KeyHash, User},
        worker::Worker,
    },
};
use uuid::Uuid;

use super::{
    making::{
        self, NOW, accepted, accepted_within, closed, dropped, made, made_within, moved, opened, posting,
        settled,
    },
    store::Store,
};
use crate::simulation::dice::Chance;

async fn verdicts(store: &Store, deeds: &[Deed]) -> Vec<Verdict> {
    let verdicts = store.records.commit_each(deeds).await.unwrap();
    assert_eq!(verdicts.len(), deeds.len(), "each has one");
    store.check_waiting().await;
    verdicts
}

async fn verdict(store: &Store, deed: &[Record]) -> Verdict {
    verdicts(store, &[deed.to_vec()]).await[0]
}

pub async fn a_refused_deed_leaves_nothing_and_the_others_hold(store: Store) {
    store.records.commit(&[making::user(1)]).await.unwrap();
    let request = making::request(9);
    let attempts: Vec<_> = (0..9).map(|job| making::attempt(job, 1)).collect();
    let mut batch = vec![accepted(&request)];
    batch.extend(attempts.iter().map(|attempt| opened(&request, attempt)));
    store.records.commit(&batch).await.unwrap();
    let gone: Vec<_> = [0, 4, 5, 8].map(|job| closed(&request, &attempts[job], Faulted)).into();
    store.records.commit(&gone).await.unwrap();
    let mut deeds: Vec<Deed> = attempts
        .iter()
        .map(|attempt| {
            let key = format!("for {}", attempt.job);
            vec![posting(&key, -3, 1, 10), settled(&request, attempt), moved(&request, false, false)]
        })
        .collect();
    // What it says of a job does not matter, where it stands does.
    deeds.insert(0, vec![making::user(2), posting("first", -3, 2, 1)]);
    deeds.push(vec![]);
    let right = [Kept, Refused(Overtaken), Kept, Kept, Kept, Refused(Overtaken), Refused(Overtaken)];
    let mut right = right.to_vec();
    right.extend([Kept, Kept, Refused(Overtaken), Kept]);
    assert_eq!(verdicts(&store, &deeds).await, right);
    let stored = store.records.request(request.id).await.unwrap().unwrap();
    let mut jobs: Vec<_> = stored.outcomes.iter().map(|outcome| outcome.job).collect();
    jobs.sort_unstable();
    assert_eq!(jobs, [1, 2, 3, 6, 7]);
    assert_eq!(stored.consumed, Kudos(25), "of those that hold");
    assert_eq!(store.balances().await, [(-3, -51), (1, 50), (2, 1)]);
    assert_eq!(store.ledger().await, store.balances().await);
    assert_eq!(verdicts(&store, &[]).await, []);
}

pub async fn only_an_open_attempt_ends(store: Store) {
    let request = making::request(3);
    let attempts: Vec<_> = (0..3).map(|job| making::attempt(job, 1)).collect();
    let mut batch = vec![accepted(&request)];
    batch.extend(attempts.iter().map(|attempt| opened(&request, attempt)));
    store.records.commit(&batch).await.unwrap();
    let deeds = [
        vec![settled(&request, &attempts[0])],
        vec![closed(&request, &attempts[0], Faulted)],
        vec![closed(&request, &attempts[1], Returned)],
        vec![settled(&request, &attempts[1])],
        vec![settled(&request, &making::attempt(2, 2))],
        vec![settled(&request, &attempts[2])],
    ];
    let refused = Refused(Overtaken);
    assert_eq!(verdicts(&store, &deeds).await, [Kept, refused, Kept, refused, refused, Kept]);
    assert_eq!(verdicts(&store, &deeds).await, [refused; 6], "nor does one end again");
}

pub async fn a_job_is_given_out_once(store: Store) {
    let request = making::request(3);
    let [first, second, third] = [1, 2, 3].map(|number| making::attempt(0, number));
    let [other, rival] = [1, 2].map(|number| making::attempt(1, number));
    let deeds = [
        vec![accepted(&request)],
        vec![opened(&request, &first)],
        vec![opened(&request, &second)],
        vec![opened(&request, &other)],
    ];
    let refused = Refused(Overtaken);
    assert_eq!(verdicts(&store, &deeds).await, [Kept, Kept, refused, Kept]);
    let deeds = [
        vec![closed(&request, &first, Returned), opened(&request, &third)],
        vec![settled(&request, &other)],
        vec![opened(&request, &rival)],
    ];
    assert_eq!(verdicts(&store, &deeds).await, [Kept, Kept, refused], "nor once it has its result");
    assert_eq!(verdict(&store, &[opened(&request, &rival)]).await, refused);
    let stored = store.records.request(request.id).await.unwrap().unwrap();
    assert_eq!(stored.open.iter().map(|open| open.id).collect::<Vec<_>>(), [third.id]);
}

pub async fn nothing_is_given_out_of_a_request_that_is_over(store: Store) {
    let [gone, cancelled, faulted, done] = [(); 4].map(|()| making::request(2));
    let results = [0, 1].map(|job| making::attempt(job, 1));
    let still_held = making::attempt(1, 1);
    let batch = [
        accepted(&cancelled),
        opened(&cancelled, &still_held),
        moved(&cancelled, true, false),
        accepted(&faulted),
        moved(&faulted, false, true),
        accepted(&done),
        opened(&done, &results[0]),
        settled(&done, &results[0]),
        opened(&done, &results[1]),
        settled(&done, &results[1]),
    ];
    store.records.commit(&batch).await.unwrap();
    for (request, job, reason) in
        [(&gone, 0, "gone"), (&cancelled, 0, "cancelled"), (&faulted, 0, "faulted"), (&done, 2, "done")]
    {
        let deed = [opened(request, &making::attempt(job, 1)), posting(reason, -1, 1, 1)];
        assert_eq!(verdict(&store, &deed).await, Refused(Overtaken), "{reason}");
    }
    assert!(store.ledger().await.is_empty());
    let request = making::request(2);
    let deeds = [
        vec![accepted(&request)],
        vec![opened(&request, &making::attempt(0, 1))],
        vec![moved(&request, true, false)],
        vec![opened(&request, &making::attempt(1, 1))],
    ];
    assert_eq!(verdicts(&store, &deeds).await, [Kept, Kept, Kept, Refused(Overtaken)], "in their order");
}

pub async fn nobody_has_more_jobs_waiting_than_the_limit(store: Store) {
    let of = |owner: i64, jobs: usize| making::request_of(owner, Kind::Text, jobs);
    let within = |request: &Accepted| vec![accepted_within(request, 5)];
    let (first, too_large) = (of(1, 3), of(1, 3));
    assert_eq!(
        verdicts(&store, &[within(&first), within(&too_large)]).await,
        [Kept, Refused(TooMany { waiting: 3 })]
    );
    let others = [
        within(&of(2, 5)),
        within(&making::request_of(1, Kind::Image, 5)),
        within(&of(1, 2)),
        within(&of(1, 1)),
        within(&of(2, 1)),
    ];
    let full = Refused(TooMany { waiting: 5 });
    assert_eq!(verdicts(&store, &others).await, [Kept, Kept, Kept, full, full], "each has its own");
    // One that is given out makes room, one that has its result makes none, one that comes back takes it.
    let attempts = [0, 1, 2].map(|job| making::attempt(job, 1));
    let open: Deed = attempts.iter().map(|attempt| opened(&first, attempt)).collect();
    let small = of(1, 1);
    assert_eq!(verdicts(&store, &[open, within(&small)]).await, [Kept, Kept]);
    assert_eq!(verdict(&store, &[settled(&first, &attempts[0])]).await, Kept);
    assert_eq!(verdict(&store, &within(&too_large)).await, Refused(TooMany { waiting: 3 }));
    let back = vec![closed(&first, &attempts[1], Faulted), closed(&first, &attempts[2], Faulted)];
    let deeds = [back, within(&of(1, 1))];
    assert_eq!(verdicts(&store, &deeds).await, [Kept, full]);
    assert_eq!(verdict(&store, &[accepted_within(&of(1, 1), 6)]).await, Kept, "a limit may rise");
    assert_eq!(verdict(&store, &within(&of(1, 1))).await, Refused(TooMany { waiting: 6 }));
    // What is over waits no more.
    let deeds = [vec![moved(&first, true, false)], vec![moved(&small, false, true)], within(&of(1, 2))];
    assert_eq!(verdicts(&store, &deeds).await, [Kept, Kept, Kept]);
    assert_eq!(verdict(&store, &within(&of(1, 1))).await, full);
    assert_eq!(verdict(&store, &[accepted_within(&of(3, 1), 0)]).await, Refused(TooMany { waiting: 0 }));
}

pub async fn a_request_is_dropped_when_its_time_is_over_and_no_sooner(store: Store) {
    let [young, busy, over] = [(); 3].map(|()| making::request(1));
    let attempt = making::attempt(0, 1);
    let later = NOW.plus(Duration::from_secs(60));
    let batch = [
        accepted(&young),
        making::extended(&young, later),
        accepted(&busy),
        opened(&busy, &attempt),
        accepted(&over),
    ];
    store.records.commit(&batch).await.unwrap();
    let refused = Refused(Overtaken);
    let drop = |request: &Accepted| vec![dropped(request, NOW)];
    let gone = making::request(1);
    let deeds = [drop(&young), drop(&busy), drop(&over), drop(&over), drop(&gone)];
    assert_eq!(verdicts(&store, &deeds).await, [refused, refused, Kept, Kept, Kept]);
    let deeds = [vec![closed(&busy, &attempt, Returned)], drop(&busy), vec![dropped(&young, later)]];
    assert_eq!(verdicts(&store, &deeds).await, [Kept; 3]);
    assert!(store.records.load().await.unwrap().requests.is_empty());
    assert!(store.records.attempt(attempt.id).await.unwrap().is_none());
    // What went before it does not hold any more, what comes after it finds nothing.
    let (request, attempt) = (making::request(1), making::attempt(0, 1));
    let deeds = [
        vec![accepted(&request), opened(&request, &attempt)],
        drop(&request),
        vec![closed(&request, &attempt, Returned)],
        drop(&request),
        vec![opened(&request, &making::attempt(0, 2))],
        vec![moved(&request, false, false)],
    ];
    assert_eq!(verdicts(&store, &deeds).await, [Kept, refused, Kept, Kept, refused, Kept]);
}

pub async fn a_name_is_taken_once(store: Store) {
    let taken = Refused(Taken);
    let with_key = |id: i64, of: i64| {
        let key = KeyHash::of(&format!("key of {of}"));
        vec![Record::UserMade(Arc::new(User { id: UserId(id), key, ..User::anonymous() }))]
    };
    let deeds = [with_key(1, 1), with_key(1, 2), with_key(2, 1), with_key(2, 2), with_key(0, 3)];
    assert_eq!(verdicts(&store, &deeds).await, [Kept, taken, taken, Kept, taken]);
    let said = |worker: &Worker| vec![Record::WorkerSaid(Arc::new(worker.clone()))];
    let (first, namesake) = (making::worker("a worker"), making::worker("a worker"));
    let known = Worker { seen_at: NOW.plus(std::time::Duration::from_secs(9)), ..first.clone() };
    let made = |worker: &Worker| vec![made(worker)];
    let deeds = [made(&first), made(&namesake), said(&known), made(&making::worker("another"))];
    assert_eq!(verdicts(&store, &deeds).await, [Kept, taken, Kept, Kept]);
    assert_eq!(verdict(&store, &made(&namesake)).await, taken);
    assert_eq!(store.records.worker_by_name("a worker").await.unwrap(), Some(known.clone()));
    let none_left = [made_within(&namesake, 0)];
    assert_eq!(verdict(&store, &none_left).await, taken, "with no room either");
    // One that was refused is nobody, whatever it says.
    let deeds = [said(&namesake), said(&first)];
    assert_eq!(verdicts(&store, &deeds).await, [Refused(Overtaken), Kept]);
    assert_eq!(
        verdict(&store, &[made_within(&making::worker("third"), 2), said(&known).remove(0)]).await,
        Kept
    );
    assert_eq!(store.records.load().await.unwrap().workers.len(), 3);
}

pub async fn nobody_has_more_workers_than_the_limit_and_one(store: Store) {
    store.records.commit(&[making::user(1), making::user(2)]).await.unwrap();
    let of = |owner: i64, name: &str| Worker { owner: UserId(owner), ..making::worker(name) };
    let within = |limit: usize, owner: i64, name: &str| vec![made_within(&of(owner, name), limit)];
    let full = |waiting: usize| Refused(TooMany { waiting });
    let deeds = [
        within(2, 1, "a"),
        within(2, 1, "b"),
        within(0, 2, "c"),
        within(2, 1, "d"),
        within(2, 1, "e"),
        within(0, 2, "f"),
    ];
    assert_eq!(
        verdicts(&store, &deeds).await,
        [Kept, Kept, Kept, Kept, full(3), full(1)],
        "each has its own"
    );
    assert_eq!(verdict(&store, &within(2, 1, "e")).await, full(3));
    assert_eq!(verdict(&store, &within(3, 1, "e")).await, Kept, "a limit may rise");
    assert_eq!(verdict(&store, &within(2, 1, "g")).await, full(4), "and fall");
    // In one go, as one by one.
    let deeds = [within(6, 1, "g"), within(4, 1, "h"), within(6, 1, "i"), within(5, 1, "j")];
    assert_eq!(verdicts(&store, &deeds).await, [Kept, full(5), Kept, full(6)]);
    // What a refused worker did goes with it, and it is not made by what it says later.
    let refused = of(2, "k");
    let deeds = [
        vec![made_within(&refused, 0), posting("for k", -3, 2, 1)],
        vec![Record::WorkerSaid(Arc::new(refused.clone())), posting("for k again", -3, 2, 1)],
        vec![made(&of(3, "l")), making::user(3)],
    ];
    assert_eq!(verdicts(&store, &deeds).await, [full(1), Refused(Overtaken), Kept]);
    let names: Vec<_> = store.records.load().await.unwrap().workers.into_iter().map(|w| w.name).collect();
    assert_eq!(names.iter().collect::<std::collections::BTreeSet<_>>().len(), 8, "{names:?}");
    assert!(!names.contains(&refused.name));
    assert!(store.ledger().await.is_empty());
}

pub async fn a_figure_is_kept_of_the_jobs_that_wait(store: Store) {
    let mut chance = Chance::new(5);
    let mut requests: Vec<Accepted> = Vec::new();
    let mut held: Vec<(usize, gridbroker::domain::lease::Attempt)> = Vec::new();
    for _ in 0..40 {
        let mut deeds: Vec<Deed> = Vec::new();
        for _ in 0..chance.between(1, 8) {
            let deed = match chance.between(0, 9) {
                0..=3 => {
                    let kind = Kind::ALL[chance.between(0, 1) as usize];
                    let request =
                        making::request_of(chance.between(0, 2), kind, chance.between(1, 4) as usize);
                    requests.push(request.clone());
                    vec![accepted_within(&request, 30)]
                }
                4..=6 if !requests.is_empty() => {
                    let place = chance.between(0, requests.len() as i64 - 1) as usize;
                    let job = chance.between(0, requests[place].spec.jobs as i64 - 1) as usize;
                    held.push((place, making::attempt(job, 1)));
                    vec![opened(&requests[place], &held[held.len() - 1].1)]
                }
                7 | 8 if !held.is_empty() => {
                    let (place, attempt) =
                        held.swap_remove(chance.between(0, held.len() as i64 - 1) as usize);
                    match chance.percent(50) {
                        true => vec![settled(&requests[place], &attempt)],
                        false => vec![closed(&requests[place], &attempt, Faulted)],
                    }
                }
                9 if !requests.is_empty() => {
                    let place = chance.between(0, requests.len() as i64 - 1) as usize;
                    match chance.percent(50) {
                        true => vec![moved(&requests[place], chance.percent(50), chance.percent(50))],
                        false => vec![dropped(&requests[place], NOW)],
                    }
                }
                _ => vec![],
            };
            deeds.push(deed);
        }
        verdicts(&store, &deeds).await;
    }
    let waiting = store.rows("SELECT CAST(count(*) AS TEXT) FROM waiting WHERE jobs > 0").await;
    assert!(waiting[0][0].as_i64().unwrap() > 3, "there was something to count: {waiting:?}");
}

pub async fn requests_and_people_are_found_by_their_ids(store: Store) {
    let requests: Vec<_> = (1..=3).map(making::request).collect();
    let attempts: Vec<_> = (0..3).map(|_| making::attempt(0, 1)).collect();
    let workers = [making::worker("one"), making::worker("two")];
    let mut batch = vec![making::user(1), making::user(2), posting("p", -3, 2, 8)];
    batch.extend(workers.iter().map(made));
    batch.extend(requests.iter().map(accepted));
    batch.extend(requests.iter().zip(&attempts).map(|(request, attempt)| opened(request, attempt)));
    batch.push(settled(&requests[0], &attempts[0]));
    store.records.commit(&batch).await.unwrap();
    let ids = [requests[2].id, RequestId(Uuid::new_v4()), requests[0].id];
    let mut found = store.records.requests(&ids).await.unwrap();
    found.sort_by_key(|stored| stored.request.spec.jobs);
    assert_eq!(found.iter().map(|stored| stored.request.id).collect::<Vec<_>>(), [ids[2], ids[0]]);
    assert_eq!((found[0].done, found[0].outcomes.len(), found[0].open.len()), (true, 1, 0));
    assert_eq!((found[1].done, found[1].outcomes.len()), (false, 0));
    assert_eq!(found[1].open, [attempts[2].clone()]);
    assert!(store.records.requests(&[]).await.unwrap().is_empty());
    let past = store.records.attempt(attempts[2].id).await.unwrap().unwrap();
    assert_eq!((past.request, past.how), (requests[2].id, None));
    assert!(store.records.attempt(AttemptId(Uuid::new_v4())).await.unwrap().is_none());

    let strangers = WorkerId(Uuid::new_v4());
    let (users, known) =
        store.records.people(&[UserId(2), UserId(9)], &[workers[1].id, strangers]).await.unwrap();
    assert_eq!(users.iter().map(|user| (user.id.0, user.balance)).collect::<Vec<_>>(), [(2, Kudos(8))]);
    assert_eq!(known, [workers[1].clone()]);
    let (users, known) = store.records.people(&[UserId(1), UserId(2)], &[]).await.unwrap();
    assert_eq!((users.len(), known.len()), (2, 0));
    assert_eq!(store.records.people(&[], &[]).await.unwrap(), (vec![], vec![]));
    assert_eq!(store.records.worker_by_name("two").await.unwrap(), Some(workers[1].clone()));
    for name in ["Two", "tw", "", "%"] {
        assert_eq!(store.records.worker_by_name(name).await.unwrap(), None, "{name:?}");
    }
}

pub async fn a_sweep_leaves_what_was_made_to_last_longer(store: Store) {
    let requests: Vec<_> = (0..20).map(|_| making::request(1)).collect();
    let mut batch: Vec<_> = requests.iter().map(accepted).collect();
    batch.extend(requests.iter().map(|request| moved(request, true, false)));
    store.records.commit(&batch).await.unwrap();
    let (soon, later) = (NOW.plus(Duration::from_secs(1)), NOW.plus(Duration::from_secs(60)));
    let extend = async {
        for request in &requests {
            store.records.commit(&[making::extended(request, later)]).await.unwrap();
        }
    };
    let (swept, ()) = tokio::join!(store.records.sweep(soon), extend);
    let swept: Vec<_> = swept.unwrap().into_iter().map(|(request, _)| request).collect();
    for request in &requests {
        let is_there = store.records.request(request.id).await.unwrap().is_some();
        assert_eq!(is_there, !swept.contains(&request.id), "it is swept or there");
    }
}
