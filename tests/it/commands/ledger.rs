//! `gridbroker ledger verify`, with and without a broker on the data directory.

use sqlx::{Connection, Executor, SqliteConnection};

use super::{gridbroker, text};
use crate::harness::{ALICE, Broker, is_distributed, postgres};

#[tokio::test(flavor = "multi_thread")]
async fn books_that_add_up_exit_with_0_and_others_say_what_is_wrong_and_exit_with_1() {
    let dir = tempfile::tempdir().unwrap();
    let run = |args: &'static [&str]| {
        let dir = dir.path().to_owned();
        tokio::task::spawn_blocking(move || gridbroker(&dir, args))
    };
    assert!(run(&["user", "add", "alice", "--kudos", "70"]).await.unwrap().status.success());
    let good = run(&["ledger", "verify"]).await.unwrap();
    let said = text(&good.stdout);
    assert!(good.status.success(), "{said} {}", text(&good.stderr));
    assert!(said.contains("postings: 1\n") && said.ends_with("all adds up\n"), "{said}");
    let url = format!("sqlite://{}", dir.path().join("data/gridbroker.sqlite").display());
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    // The same posting once more, as a broker would that counts it twice.
    connection.execute("UPDATE balances SET amount = amount * 2").await.unwrap();
    connection.close().await.unwrap();
    let bad = run(&["ledger", "verify"]).await.unwrap();
    let said = text(&bad.stdout);
    assert_eq!(bad.status.code(), Some(1), "{said}");
    assert!(said.contains("account 1 has 140000000, its postings amount to 70000000"), "{said}");
    assert!(text(&bad.stderr).contains("the books do not add up"), "{}", text(&bad.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_broker_checks_its_books() {
    let broker = Broker::start().await;
    broker.json(ALICE).post("/generate/text/async", serde_json::json!({"prompt": "x"})).await.ok();
    let data = broker.data().to_owned();
    let out = tokio::task::spawn_blocking(move || gridbroker(&data, &["ledger", "verify", "--data", "."]));
    let out = out.await.unwrap();
    let said = text(&out.stdout);
    assert!(out.status.success(), "{said} {}", text(&out.stderr));
    assert!(said.contains("accounts: 9\npostings: 9\n"), "{said}; distributed: {}", is_distributed());
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_checks_the_books_of_a_database_does_not_try_to_lead() {
    let name = postgres().database().await;
    let url = postgres().url(&name);
    let out = tokio::task::spawn_blocking(move || {
        let dir = tempfile::tempdir().unwrap();
        let flags = ["--database-url", url.expose(), "--redis-url", "redis://127.0.0.1:1"];
        gridbroker(dir.path(), &[&["ledger", "verify"], &flags[..]].concat())
    });
    let out = out.await.unwrap();
    assert!(out.status.success(), "{}", text(&out.stderr));
    let mut connection = postgres().connection(&name).await;
    let terms: i64 =
        sqlx::query_scalar("SELECT count(*) FROM leadership").fetch_one(&mut connection).await.unwrap();
    assert_eq!(terms, 0, "brokers would wait for the end of its term");
}
