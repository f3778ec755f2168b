//! What only a server on the other end of a connection can do: break off, restart, be somebody else's.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use gridbroker::{
    backend::{
        Records,
        Refusal::Taken,
        Verdict::{Kept, Refused},
        distributed,
    },
    config::SecretUrl,
    domain::{Kudos, UserId, kudos::Posting, record::Record, user::UserStats},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{
    making::{self, NOW},
    store::{Keeper, Store},
};
use crate::harness::{PostgresServer, postgres};

fn counted(user: i64) -> Record {
    let change = UserStats { granted: Kudos(1), ..UserStats::default() };
    Record::UserCounted { user: UserId(user), change }
}

async fn granted(records: &Arc<dyn Records>, user: i64) -> i64 {
    let users = records.load().await.unwrap().users;
    users.iter().find(|other| other.id == UserId(user)).map_or(0, |user| user.stats.granted.0)
}

const PASS: u8 = 0;
/// Let the next commit through, and break off before its answer.
const SWALLOW: u8 = 1;
/// The same, and break off all others from then on.
const SWALLOW_AND_REFUSE: u8 = 2;
const REFUSE: u8 = 3;
/// Let the next commit through, and do so with the one after it.
const SWALLOW_THE_SECOND_AND_REFUSE: u8 = 4;

/// Stands between a broker and its database.
struct Wire {
    port: u16,
    mode: Arc<AtomicU8>,
}

impl Wire {
    async fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, mode) = (listener.local_addr().unwrap().port(), Arc::new(AtomicU8::new(PASS)));
        let shared = mode.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, server, shared.clone()));
            }
        });
        Self { port, mode }
    }

    fn set(&self, mode: u8) {
        self.mode.store(mode, Ordering::SeqCst);
    }
}

async fn carry(mut client: TcpStream, server: u16, mode: Arc<AtomicU8>) {
    if mode.load(Ordering::SeqCst) == REFUSE {
        return;
    }
    let mut server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
    let (mut buffer, mut reply) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    loop {
        tokio::select! {
            read = client.read(&mut buffer) => {
                let Ok(count @ 1..) = read else { return };
                let now = mode.load(Ordering::SeqCst);
                if now == REFUSE {
                    return;
                }
                let is_commit = buffer[..count].windows(7).any(|bytes| bytes == b"COMMIT\0");
                server.write_all(&buffer[..count]).await.unwrap();
                if is_commit && now == SWALLOW_THE_SECOND_AND_REFUSE {
                    mode.store(SWALLOW_AND_REFUSE, Ordering::SeqCst);
                }
                if is_commit && matches!(now, SWALLOW | SWALLOW_AND_REFUSE) {
                    let _ = server.read(&mut reply).await;
                    mode.store(if now == SWALLOW { PASS } else { REFUSE }, Ordering::SeqCst);
                    return;
                }
            }
            read = server.read(&mut reply) => {
                let Ok(count @ 1..) = read else { return };
                if client.write_all(&reply[..count]).await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn over_a_wire() -> (Wire, Store) {
    let wire = Wire::to(postgres().port()).await;
    let database = postgres().database().await;
    let store = Store::over(postgres().url_by(wire.port, &database)).await;
    store.records.commit(&[making::user(1)]).await.unwrap();
    (wire, store)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_lost_is_written_once() {
    let (wire, store) = over_a_wire().await;
    wire.set(SWALLOW);
    store.records.commit(&[making::user(2), counted(1)]).await.unwrap();
    assert_eq!(wire.mode.load(Ordering::SeqCst), PASS, "the answer was swallowed");
    assert_eq!(granted(&store.records, 1).await, 1);
    store.records.commit(&[counted(1)]).await.unwrap();
    store.records.commit(&[counted(1)]).await.unwrap();
    assert_eq!(granted(&store.records, 1).await, 3, "a batch that only looks like another is another");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_comes_again_after_a_failure_is_written_once() {
    let (wire, store) = over_a_wire().await;
    let batch = [making::user(2), counted(1)];
    wire.set(SWALLOW_AND_REFUSE);
    let error = store.records.commit(&batch).await.unwrap_err().to_string();
    assert!(error.contains("does not answer"), "{error}");
    wire.set(PASS);
    store.records.commit(&batch).await.unwrap();
    assert_eq!(granted(&store.records, 1).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deeds_that_come_again_after_a_failure_on_the_way_are_written_once() {
    let cases = [SWALLOW, SWALLOW_AND_REFUSE, SWALLOW_THE_SECOND_AND_REFUSE];
    futures_util::future::join_all(cases.map(come_again_after)).await;
}

/// Two of six do not hold, so that the others are written in three transactions.
async fn come_again_after(mode: u8) {
    let (wire, store) = over_a_wire().await;
    let (plain, taken) = (vec![counted(1)], vec![making::user(1), counted(1)]);
    let deeds = [&plain, &taken, &plain, &taken, &plain, &plain].map(Clone::clone);
    let right = [Kept, Refused(Taken), Kept, Refused(Taken), Kept, Kept];
    wire.set(mode);
    let first = store.records.commit_each(&deeds).await;
    if mode == SWALLOW {
        assert_eq!(first.unwrap(), right);
    } else {
        assert!(first.is_err());
        assert_eq!(wire.mode.load(Ordering::SeqCst), REFUSE, "the answer was swallowed");
        wire.set(PASS);
        let written = granted(&store.records, 1).await;
        assert!((1..4).contains(&written), "it broke after some of them: {written}");
        assert_eq!(store.records.commit_each(&deeds).await.unwrap(), right);
    }
    assert_eq!(granted(&store.records, 1).await, 4, "each once");
    assert_eq!(store.records.commit_each(&deeds).await.unwrap(), right);
    assert_eq!(granted(&store.records, 1).await, 8, "others that only look like them are others");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_reported_as_stored_survives_crashes_of_the_server() {
    let server = PostgresServer::start();
    let database = server.database().await;
    let store = Store::over(server.url(&database)).await;
    store.records.commit(&[making::user(1)]).await.unwrap();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..4 {
        let (records, stopped) = (store.records.clone(), stopped.clone());
        clients.spawn(async move {
            let mut answers = Vec::new();
            for number in 0.. {
                let request = making::request(1);
                let (key, amount) = (format!("{client}/{number}"), Kudos(3));
                let (from, to) = (gridbroker::domain::kudos::Account::MINT, UserId(1).into());
                let posting = Posting { key, from, to, amount, at: NOW };
                let batch = [making::accepted(&request), Record::Posted(posting), counted(1)];
                answers.push((request.id, records.commit(&batch).await.is_ok()));
                if *stopped.borrow() {
                    break;
                }
            }
            answers
        });
    }
    for _ in 0..3 {
        let before = count(&server, &database).await;
        server.crash();
        // The load goes on against what came up again.
        while count(&server, &database).await < before + 20 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    stop.send(true).unwrap();
    let answers: Vec<_> = clients.join_all().await.into_iter().flatten().collect();
    let there = store.records.load().await.unwrap();
    let requests: std::collections::HashSet<_> =
        there.requests.iter().map(|stored| stored.request.id).collect();
    let stored = answers.iter().filter(|(_, is_stored)| *is_stored).count();
    assert!(stored > 60, "{stored} of {} were stored", answers.len());
    for (id, is_stored) in answers {
        assert!(!is_stored || requests.contains(&id), "{id} was reported as stored");
    }
    let (balances, count) = (store.balances().await, requests.len() as i64);
    assert_eq!(balances, [(-1, -3 * count), (1, 3 * count)], "batches are there whole");
    assert_eq!(balances, store.ledger().await);
    assert_eq!(granted(&store.records, 1).await, count, "each once");
}

async fn count(server: &PostgresServer, database: &str) -> i64 {
    loop {
        let mut connection = server.connection(database).await;
        let counted = sqlx::query_scalar("SELECT count(*) FROM requests").fetch_one(&mut connection).await;
        if let Ok(count) = counted {
            return count;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_in_a_deadlock_is_tried_again() {
    let store = Store::fresh(Keeper::Postgres).await;
    let users: Vec<_> = (1..=2).map(making::user).collect();
    store.records.commit(&users).await.unwrap();
    let mut rival = store.connection().await;
    sqlx::raw_sql(
        "SET deadlock_timeout = '1min'; BEGIN; UPDATE users SET granted = granted + 10 WHERE id = 2",
    )
    .execute(&mut rival)
    .await
    .unwrap();
    let records = store.records.clone();
    let batch = tokio::spawn(async move { records.commit(&[counted(1), counted(2)]).await.is_ok() });
    // The batch has the first account and waits for the second.
    let waits = "SELECT count(*)::TEXT FROM pg_locks JOIN pg_stat_activity USING (pid) \
                 WHERE NOT granted AND datname = current_database()";
    crate::harness::eventually(async || store.rows(waits).await == [[1]]).await;
    sqlx::raw_sql("UPDATE users SET granted = granted + 10 WHERE id = 1; COMMIT")
        .execute(&mut rival)
        .await
        .unwrap();
    assert!(batch.await.unwrap(), "the server ended its first try");
    assert_eq!((granted(&store.records, 1).await, granted(&store.records, 2).await), (11, 11));
    let deadlocks = "SELECT deadlocks::TEXT FROM pg_stat_database WHERE datname = current_database()";
    crate::harness::eventually(async || store.rows(deadlocks).await == [[1]]).await;
}

/// "gridbrok" in ASCII: the lock of a broker that must be alone.
const ALONE: i64 = 0x6772_6964_6272_6f6b;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_must_be_alone_is_waited_for_and_others_are_not() {
    let first = Store::fresh(Keeper::Postgres).await;
    let second = Store::over(first.url().clone()).await;
    second.records.commit(&[making::user(1)]).await.unwrap();
    assert_eq!(first.records.load().await.unwrap().users.len(), 2, "both are over the same records");
    let mut old = first.connection().await;
    sqlx::query("SELECT pg_advisory_lock($1)").bind(ALONE).execute(&mut old).await.unwrap();
    let patience = Duration::from_secs(20);
    let error = distributed::open_postgres(first.url(), patience).await.err().unwrap().to_string();
    assert!(error.contains("older version"), "{error}");
    drop(old);
    distributed::open_postgres(first.url(), patience).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_know_us_says_so_at_once_and_no_secret_is_told() {
    let database = postgres().database().await;
    let base = format!("127.0.0.1:{}", postgres().port());
    for (url, words) in [
        (format!("postgres://gridbroker:wr0ng-word@{base}/{database}"), "28P01"),
        (postgres().url("not_there").expose().to_owned(), "no such database"),
    ] {
        let begun = std::time::Instant::now();
        let url = SecretUrl::new(url);
        let error =
            distributed::open_postgres(&url, Duration::from_secs(60)).await.err().unwrap().to_string();
        assert!(begun.elapsed() < Duration::from_secs(20), "it is not worth a wait");
        assert!(error.contains(words) && error.contains(&base), "{error}");
        assert!(!error.contains("-word") && !error.contains("password@"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nul_in_a_text_of_a_worker_does_not_stop_the_broker() {
    let store = Store::fresh(Keeper::Postgres).await;
    let (request, mut attempt) = (making::request(1), making::attempt(0, 1));
    attempt.model = "a\0model".into();
    store.records.commit(&[making::accepted(&request), making::opened(&request, &attempt)]).await.unwrap();
    let stored = store.records.request(request.id).await.unwrap().unwrap();
    assert_eq!(stored.open[0].model, "a\u{fffd}model");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_is_told_without_values() {
    let store = Store::fresh(Keeper::Postgres).await;
    let request = making::request(1);
    store.records.commit(&[making::accepted(&request)]).await.unwrap();
    let error = store.records.commit(&[making::accepted(&request)]).await.unwrap_err();
    assert_eq!(
        format!("{error} {error:?}").matches("SQLSTATE 23505").count(),
        1,
        "operators can look it up: {error}"
    );
    assert!(
        !format!("{error:?}").contains(&request.id.to_string()) && !format!("{error:?}").contains("INSERT"),
        "{error:?}"
    );
}
