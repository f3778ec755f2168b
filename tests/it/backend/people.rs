//! What is said and thought of workers, and what holds for everybody.

use std::{sync::Arc, time::Duration};

use gridbroker::{
    backend::{
        Refusal::{Overtaken, Taken, TooMany},
        Verdict::{Kept, Refused},
    },
    domain::{
        MessageId, TeamId, UserId, WorkerId,
        board::{BoardChange, Mode, Modes, WorkerMessage},
        lease::Closed,
        record::Record,
        route::Routes,
        standing::{Ruling, Standing, Suspicion},
        worker::{AlchemySkills, Skills, Worker},
    },
};
use uuid::Uuid;

use super::{
    making::{self, NOW, accepted, attempt, closed, made, made_within, opened, user},
    store::Store,
};

fn ruled(worker: WorkerId, ruling: Ruling) -> Record {
    Record::WorkerRuled { worker, ruling: Box::new(ruling) }
}

async fn only_worker(store: &Store) -> Worker {
    store.records.load().await.unwrap().workers.remove(0)
}

pub async fn what_is_ruled_of_a_worker_stays_whatever_the_worker_says(store: Store) {
    let address = Some("2001:db8::7".parse().unwrap());
    let once = Suspicion { once: 2, repeated: 0 };
    let standing = Standing { address, suspicion: once, ..Standing::default() };
    let worker = Worker { standing, ..making::worker("first") };
    let team = TeamId(Uuid::new_v4());
    let all = Ruling {
        maintenance: Some(Some("back soon".into())),
        info: Some("my \"own\"".into()),
        is_paused: Some(true),
        name: Some("second".into()),
        team: Some(Some(team)),
        clears: false,
        suspicion: Suspicion { once: 1, repeated: 3 },
    };
    store.records.commit(&[made(&worker), ruled(worker.id, all)]).await.unwrap();
    let moved = Standing { address: Some("192.0.2.1".parse().unwrap()), ..Standing::default() };
    let said = Worker { standing: moved.clone(), ..worker.clone() };
    store.records.commit(&[Record::WorkerSaid(Arc::new(said))]).await.unwrap();
    let standing = Standing {
        info: Some("my \"own\"".into()),
        is_paused: true,
        suspicion: Suspicion { once: 3, repeated: 3 },
        team: Some(team),
        ..moved
    };
    let maintenance = Some("back soon".into());
    let expected =
        Worker { name: "second".into(), maintenance, standing: standing.clone(), ..worker.clone() };
    assert_eq!(only_worker(&store).await, expected);
    // Each part goes its own way.
    let back = Ruling { maintenance: Some(None), ..Ruling::default() };
    let alone = Ruling { team: Some(None), info: Some(String::new()), ..Ruling::default() };
    store.records.commit(&[ruled(worker.id, back), ruled(worker.id, alone)]).await.unwrap();
    let standing = Standing { info: None, team: None, ..standing };
    assert_eq!(only_worker(&store).await, Worker { maintenance: None, standing, ..expected });
    let nobody = vec![ruled(WorkerId(Uuid::new_v4()), Ruling { is_paused: Some(true), ..Ruling::default() })];
    assert_eq!(store.records.commit_each(&[nobody]).await.unwrap(), [Refused(Overtaken)]);
}

pub async fn suspicions_add_up_over_brokers_and_are_cleared(store: Store) {
    let worker = making::worker("suspect");
    store.records.commit(&[made(&worker)]).await.unwrap();
    let more = |once, repeated| {
        ruled(worker.id, Ruling { suspicion: Suspicion { once, repeated }, ..Ruling::default() })
    };
    store.records.commit(&[more(1, 1), more(4, 2)]).await.unwrap();
    store.records.commit(&[more(1, 1)]).await.unwrap();
    assert_eq!(only_worker(&store).await.standing.suspicion, Suspicion { once: 5, repeated: 4 });
    let clear = ruled(worker.id, Ruling { clears: true, ..Ruling::default() });
    store.records.commit(&[more(2, 1), clear, more(8, 1)]).await.unwrap();
    assert_eq!(only_worker(&store).await.standing.suspicion, Suspicion { once: 8, repeated: 1 });
}

pub async fn a_new_name_is_taken_once(store: Store) {
    let (first, second) = (making::worker("first"), making::worker("second"));
    store.records.commit(&[made(&first), made(&second)]).await.unwrap();
    let renamed = |worker: &Worker, name: &str| {
        vec![ruled(worker.id, Ruling { name: Some(name.into()), ..Ruling::default() })]
    };
    let taken = store.records.commit_each(&[renamed(&second, "first")]).await.unwrap();
    assert_eq!(taken, [Refused(Taken)]);
    // What one of them makes room for, another may take.
    let deeds = [renamed(&first, "third"), renamed(&second, "first")];
    assert_eq!(store.records.commit_each(&deeds).await.unwrap(), [Kept, Kept]);
    let holder = store.records.worker_by_name("first").await.unwrap().expect("it has the name");
    assert_eq!(holder.id, second.id);
    assert!(store.records.worker_by_name("second").await.unwrap().is_none());
}

pub async fn a_worker_goes_unless_it_holds_a_job(store: Store) {
    let request = making::request(1);
    let worker = making::worker("busy");
    let held = gridbroker::domain::lease::Attempt { worker: worker.id, ..attempt(0, 1) };
    let begun = [user(1), made(&worker), accepted(&request), opened(&request, &held)];
    store.records.commit(&begun).await.unwrap();
    let drop = vec![Record::WorkerDropped(worker.id)];
    let verdicts = store.records.commit_each(std::slice::from_ref(&drop)).await.unwrap();
    assert_eq!(verdicts, [Refused(Overtaken)], "it holds a job");
    store.records.commit(&[closed(&request, &held, Closed::Returned)]).await.unwrap();
    let deeds = [drop.clone(), drop, vec![made(&making::worker("busy"))]];
    let verdicts = store.records.commit_each(&deeds).await.unwrap();
    assert_eq!(verdicts, [Kept, Refused(Overtaken), Kept], "its name is free again");
    assert!(store.records.people(&[], &[worker.id]).await.unwrap().1.is_empty());
}

pub async fn alchemists_do_not_count_against_the_limit(store: Store) {
    let alchemist = |name: &str| {
        let worker = making::worker(name);
        let skills = Skills::Alchemy(AlchemySkills { max_tiles: 4 });
        let profile = gridbroker::domain::worker::Profile { skills, ..worker.profile.clone() };
        vec![made_within(&Worker { profile, ..worker }, 0)]
    };
    let writer = |name: &str| vec![made_within(&making::worker(name), 0)];
    store.records.commit(&[user(1)]).await.unwrap();
    let deeds = [alchemist("a"), alchemist("b"), writer("c"), alchemist("d"), writer("e")];
    let verdicts = store.records.commit_each(&deeds).await.unwrap();
    assert_eq!(verdicts, [Kept, Kept, Kept, Kept, Refused(TooMany { waiting: 1 })]);
}

pub async fn what_holds_for_everybody_comes_back(store: Store) {
    assert_eq!(store.records.board().await.unwrap(), Default::default());
    let message = |worker, lasts| {
        Arc::new(WorkerMessage {
            id: MessageId(Uuid::new_v4()),
            worker,
            author: UserId(7),
            message: "update, \"please\"".into(),
            origin: "mona#4".into(),
            created_at: NOW.plus(Duration::from_secs(lasts)),
            expires_at: NOW.plus(Duration::from_secs(10 * lasts)),
        })
    };
    let all = message(None, 2);
    let one = message(Some(WorkerId(Uuid::new_v4())), 1);
    let change = |change| Record::BoardChanged(change);
    let timeout = |network: &str, until| change(BoardChange::Timeout(network.into(), until));
    store
        .records
        .commit(&[
            change(BoardChange::Mode(Mode::Raid, true)),
            change(BoardChange::Mode(Mode::InviteOnly, true)),
            change(BoardChange::Mode(Mode::Raid, false)),
            change(BoardChange::Message(all.clone())),
            change(BoardChange::Message(one.clone())),
            timeout("192.0.2.0/24", Some(NOW)),
            timeout("2001:db8::/32", Some(NOW)),
            change(BoardChange::Route("/api/v2/teams".into(), true)),
            change(BoardChange::Route("/raid".into(), true)),
        ])
        .await
        .unwrap();
    let board = store.records.load().await.unwrap().board;
    assert_eq!(board.modes, Modes { invite_only: true, ..Modes::default() });
    assert_eq!(board.messages, [one.clone(), all]);
    assert_eq!(board.timeouts, [("192.0.2.0/24".into(), NOW), ("2001:db8::/32".into(), NOW)]);
    assert_eq!(board.routes, Routes::returned(&["/api/v2/teams".into(), "/raid".into()]));
    let later = NOW.plus(Duration::from_secs(9));
    store
        .records
        .commit(&[
            change(BoardChange::Mode(Mode::Maintenance, true)),
            change(BoardChange::NoMessage(one.id)),
            timeout("192.0.2.0/24", Some(later)),
            timeout("2001:db8::/32", None),
            change(BoardChange::Route("/raid".into(), false)),
        ])
        .await
        .unwrap();
    let board = store.records.board().await.unwrap();
    assert_eq!(board.modes, Modes { invite_only: true, maintenance: true, ..Modes::default() });
    assert_eq!(board.routes.all(), [("/api/v2/teams".into(), true), ("/raid".into(), false)]);
    assert_eq!((board.messages.len(), board.timeouts), (1, vec![("192.0.2.0/24".into(), later)]));
}
