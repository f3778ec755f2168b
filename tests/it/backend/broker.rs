//! A whole broker whose live queue and event logs are in Redis, while Redis comes and goes.

use std::{sync::Arc, time::Duration};

use gridbroker::{
    backend::{
        Backend,
        distributed::{Link, RedisClaims, RedisPeers, RedisSignals},
        embedded,
    },
    domain::{
        Error, Kudos, RequestId, UserId,
        clock::SystemClock,
        event::Event,
        lease::Attempt,
        price::ModelSizes,
        record::Record,
        result::{Delivery, Product, Verdict},
        user::KeyHash,
    },
    engine::{Adoption, NewUser, Push, Report, Rules, Submission},
    host::{self, Host, Parcel, Ticket, Watching},
};
use sqlx::{Connection, SqliteConnection};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::jobs;
use crate::harness::{PATIENCE, Redis, eventually};

struct NoSizes;

impl ModelSizes for NoSizes {
    fn baseline(&self, _: &str) -> &str {
        "stable diffusion 1"
    }

    fn billions(&self, _: &str) -> Option<f64> {
        None
    }
}

/// The broker, and somebody who asks and works.
struct Broker {
    host: Host,
    user: UserId,
    stopping: CancellationToken,
    task: tokio::task::JoinHandle<Result<(), gridbroker::backend::Failure>>,
    directory: TempDir,
}

impl Broker {
    async fn start(redis: &Redis) -> Self {
        Self::over(redis, tempfile::tempdir().unwrap()).await
    }

    async fn over(redis: &Redis, directory: TempDir) -> Self {
        let clock = Arc::new(SystemClock);
        // A broker before it lets go of the store once the last of its tasks has ended.
        let mut store = None;
        eventually(async || {
            store = embedded::open(directory.path()).await.ok();
            store.is_some()
        })
        .await;
        let store = store.expect("it could be opened");
        let link = Link::open(&redis.settings()).await.unwrap();
        let (records, leadership) = (store.records.clone(), store.leadership.clone());
        let claims = Arc::new(RedisClaims::new(link.clone(), records, leadership, clock.clone()));
        let peers = Arc::new(RedisPeers::new(link.clone(), claims.clone()));
        let signals = Arc::new(RedisSignals::new(link, clock.clone()));
        let backend = Backend { claims, signals, peers, ..store };
        let stopping = CancellationToken::new();
        let running = host::start(backend, Rules::default(), Arc::new(NoSizes), clock, stopping.clone());
        let running = running.await.unwrap();
        let new = NewUser {
            alias: "someone".into(),
            key: KeyHash::of("someone"),
            kudos: Kudos::ZERO,
            roles: vec![],
            concurrency: 1000,
            worker_invites: 0,
        };
        let made = running.host.act(move |engine, step, _| engine.add_user(step, new)).await;
        let user = match made {
            Ok(user) => user.id,
            Err(_) => running.host.user_of_key(KeyHash::of("someone")).await.unwrap().expect("made before"),
        };
        Self { host: running.host, user, stopping, task: running.task, directory }
    }

    /// Stops it in an orderly way, and starts another one over the same store.
    async fn restart(self, redis: &Redis) -> Self {
        self.stopping.cancel();
        let Self { host, task, directory, .. } = self;
        drop(host);
        task.await.unwrap().unwrap();
        Self::over(redis, directory).await
    }

    async fn submits(&self) -> RequestId {
        let (id, user) = (RequestId(Uuid::new_v4()), self.user);
        let spec = (*jobs::request(0, 1).spec).clone();
        self.host.act(move |engine, step, _| engine.submit(step, id, user, spec)).await.unwrap();
        id
    }

    async fn tries_to_pop(&self) -> Result<Ticket<oneshot::Receiver<Parcel>>, Error> {
        let (desks, user) = (self.host.clone(), self.user);
        let Record::WorkerMade { worker, .. } = jobs::said("writer") else {
            unreachable!("that is what it says")
        };
        let profile = worker.profile.clone();
        let ticket = self.host.act(move |engine, step, desk| {
            let pop = engine.pop(step, user, "writer", profile, step.now.plus(PATIENCE))?;
            Ok(desk.hold_pop(&desks, pop.offer))
        });
        ticket.await
    }

    async fn pops(&self) -> Attempt {
        let mut ticket = self.tries_to_pop().await.unwrap();
        let Push::Grant(grant) = (&mut ticket.inbox).await.unwrap().open() else { panic!("there is a job") };
        grant.attempts[0].clone()
    }

    async fn reports(&self, attempt: &Attempt, text: &str) {
        let (id, user, text) = (attempt.id, self.user, text.to_owned());
        let report = Report { text, ..Report::default() };
        self.host.bring(id, Adoption::GoesOn, Some(user)).await.unwrap();
        self.host.act(move |engine, step, _| engine.report(step, user, id, report)).await.unwrap();
    }

    async fn hands_in(&self, attempt: &Attempt, text: &str) {
        let (id, user) = (attempt.id, self.user);
        let product = Product::Text(text.into());
        let delivery =
            Delivery { product, seed: 1, verdict: Verdict::Ok, remarks: vec![], extras: Default::default() };
        let submission = Submission::Delivered(delivery);
        self.host.bring(id, Adoption::HandIn, Some(user)).await.unwrap();
        self.host.act(move |engine, step, _| engine.settle(step, user, id, submission)).await.unwrap();
    }
}

#[tokio::test]
async fn a_worker_that_is_one_too_many_in_records_is_told_and_forgotten() {
    let redis = Redis::start();
    let broker = Broker::start(&redis).await;
    let engine = |broker: &Broker| broker.host.glance(|engine, _| engine.workers().count());
    // Made through other brokers, of which no news has come.
    let path = broker.directory.path().join("gridbroker.sqlite");
    let limit = 3;
    let mut others = SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    for number in 0..=limit {
        let Record::WorkerMade { worker, .. } = jobs::said("other") else { unreachable!("it says so") };
        sqlx::query(
            "INSERT INTO workers (id, name, owner, created_at, seen_at, profile_json) VALUES ($1, $2, $3, 1, 1, $4)",
        )
        .bind(Uuid::new_v4().to_string())
        .bind(format!("other {number}"))
        .bind(broker.user.0)
        .bind(serde_json::to_string(&worker.profile).unwrap())
        .execute(&mut others)
        .await
        .unwrap();
    }
    for _ in 0..2 {
        let error = broker.tries_to_pop().await.err().expect("it is refused");
        let Error::TooManyWorkers { count, limit: told, trusted: false } = error else { panic!("{error}") };
        assert_eq!((count, told), (limit + 1, limit));
        assert_eq!(engine(&broker), 0, "and not known here any more");
    }
    sqlx::query("DELETE FROM workers WHERE name = 'other 0'").execute(&mut others).await.unwrap();
    broker.submits().await;
    broker.pops().await;
    assert_eq!(engine(&broker), 1);
}

/// Reads to the end: the text as a client has it then, and how often it was set back.
async fn reads_all(watching: &mut Watching) -> (String, usize) {
    let (mut text, mut resets) = (String::new(), 0);
    let reading = async {
        while let Some((_, event)) = watching.next().await.unwrap() {
            match &*event {
                Event::Token { text: more, .. } => text.push_str(more),
                Event::Reset { .. } => {
                    text.clear();
                    resets += 1;
                }
                Event::Result { outcome, .. } => assert_eq!(outcome.product, Product::Text(text.clone())),
                _ => {}
            }
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("it comes to its end");
    (text, resets)
}

#[tokio::test]
async fn a_job_goes_its_way_and_leaves_nothing_in_the_queue() {
    let redis = Redis::start();
    let broker = Broker::start(&redis).await;
    let id = broker.submits().await;
    let mut watching = broker.host.watch(id, None).await.unwrap().unwrap();
    let attempt = broker.pops().await;
    // The claim may be faster than the record that has the name.
    eventually(async || redis.says(&["XPENDING", "jobs:text", "workers"]).lines().nth(3) == Some("writer"))
        .await;
    broker.reports(&attempt, "once ").await;
    broker.reports(&attempt, "upon").await;
    broker.hands_in(&attempt, "once upon a time").await;
    assert_eq!(reads_all(&mut watching).await, ("once upon a time".into(), 0));
    eventually(async || redis.says(&["XLEN", "jobs:text"]) == "0").await;
}

#[tokio::test]
async fn a_flush_in_the_middle_of_everything_costs_seconds_and_no_job() {
    let redis = Redis::start();
    let broker = Broker::start(&redis).await;
    let (running, waiting) = (broker.submits().await, broker.submits().await);
    let mut watching = broker.host.watch(running, None).await.unwrap().unwrap();
    let attempt = broker.pops().await;
    broker.reports(&attempt, "once ").await;
    while !matches!(&*watching.next().await.unwrap().unwrap().1, Event::Token { .. }) {}
    redis.flush();
    let since = std::time::Instant::now();
    broker.reports(&attempt, "upon ").await;
    let next = broker.pops().await;
    assert!(since.elapsed() < Duration::from_secs(5), "it took {:?}", since.elapsed());
    broker.hands_in(&attempt, "once upon a time").await;
    assert_eq!(
        reads_all(&mut watching).await,
        ("once upon a time".into(), 1),
        "told again from the beginning"
    );
    broker.hands_in(&next, "the end").await;
    let mut late = broker.host.watch(waiting, None).await.unwrap().unwrap();
    assert_eq!(reads_all(&mut late).await.0, "the end");
}

#[tokio::test]
async fn while_redis_is_away_requests_are_accepted_and_then_served() {
    let mut redis = Redis::start();
    let broker = Broker::start(&redis).await;
    let before = broker.submits().await;
    redis.kill();
    let meanwhile = broker.submits().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    redis.start_again();
    let since = std::time::Instant::now();
    for _ in 0..2 {
        let attempt = broker.pops().await;
        broker.hands_in(&attempt, "done").await;
    }
    assert!(since.elapsed() < Duration::from_secs(5), "it took {:?}", since.elapsed());
    for id in [before, meanwhile] {
        let mut watching = broker.host.watch(id, None).await.unwrap().unwrap();
        assert_eq!(reads_all(&mut watching).await.0, "done");
    }
}

#[tokio::test]
async fn a_watcher_that_comes_back_after_a_restart_of_the_broker_reads_the_whole_text() {
    let redis = Redis::start();
    let broker = Broker::start(&redis).await;
    let (id, finished) = (broker.submits().await, broker.submits().await);
    let attempt = broker.pops().await;
    broker.reports(&attempt, "once ").await;
    let other = broker.pops().await;
    broker.hands_in(&other, "the end").await;
    let mut watching = broker.host.watch(finished, None).await.unwrap().unwrap();
    let mut cursor = None;
    while let Some((at, _)) = watching.next().await.unwrap() {
        cursor = Some(at);
    }
    drop(watching);
    let broker = broker.restart(&redis).await;
    assert!(broker.host.watch(finished, cursor).await.unwrap().is_none(), "that log is whole and has ended");
    let mut watching = broker.host.watch(id, cursor).await.unwrap().unwrap();
    broker.hands_in(&attempt, "once upon a time").await;
    assert_eq!(reads_all(&mut watching).await.0, "once upon a time");
}
