//! Statements and schemas: what no compiler checks.

use std::collections::BTreeMap;

use gridbroker::{
    backend::{Records, Refusal, Verdict, distributed, embedded},
    domain::{
        record::Record,
        request::{Accepted, Kind},
    },
};
use sqlx::{
    Connection, Executor, SqlSafeStr, SqliteConnection, migrate::Migrator, sqlite::SqliteConnectOptions,
};

use super::{
    making,
    store::{Keeper, Store, TABLES},
};
use crate::harness::postgres;

#[tokio::test]
async fn sqlite_can_prepare_every_statement() {
    let store = Store::fresh(Keeper::Sqlite).await;
    let mut connection = SqliteConnection::connect(&store.file_url()).await.unwrap();
    for statement in embedded::statements() {
        let prepared = connection.prepare(statement.into_sql_str()).await;
        assert!(prepared.is_ok(), "{statement}: {:?}", prepared.err());
    }
}

#[tokio::test]
async fn postgresql_can_prepare_every_statement() {
    let store = Store::fresh(Keeper::Postgres).await;
    let mut connection = store.connection().await;
    let mut count = 0;
    for statement in distributed::statements() {
        let prepared = connection.prepare(statement.into_sql_str()).await;
        assert!(prepared.is_ok(), "{statement}: {:?}", prepared.err());
        count += 1;
    }
    assert!(count > 30, "the lists are lists of all statements: {count}");
}

async fn columns(store: &Store, query: &str) -> BTreeMap<String, Vec<String>> {
    let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in store.rows(query).await {
        let [table, column] = [0, 1].map(|i| row[i].as_str().unwrap().to_owned());
        tables.entry(table).or_default().push(column);
    }
    tables.remove("_sqlx_migrations");
    tables.values_mut().for_each(|columns| columns.sort());
    tables
}

#[tokio::test]
async fn both_schemas_have_the_same_tables_and_columns() {
    let sqlite = Store::fresh(Keeper::Sqlite).await;
    let mut sqlite = columns(
        &sqlite,
        "SELECT m.name, c.name FROM sqlite_schema AS m JOIN pragma_table_xinfo(m.name) AS c \
         WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'",
    )
    .await;
    let postgres = Store::fresh(Keeper::Postgres).await;
    let mut postgres = columns(
        &postgres,
        "SELECT table_name::TEXT, column_name::TEXT FROM information_schema.columns \
         WHERE table_schema = current_schema() AND table_name <> 'system_balances'",
    )
    .await;
    assert!(sqlite.remove("impossible").is_some(), "how SQLite fails a transaction");
    for own in ["batches", "blobs", "leadership"] {
        assert!(postgres.remove(own).is_some(), "{own}");
    }
    assert_eq!(sqlite, postgres);
    for (table, columns) in TABLES {
        let mut columns: Vec<_> = columns.iter().map(|column| (*column).to_owned()).collect();
        columns.sort();
        assert_eq!(sqlite[*table], columns, "the comparison of {table} leaves nothing out");
    }
}

/// The migrations of a keeper before one of them.
async fn migrations_before(keeper: &str, number: u32) -> Migrator {
    let dir = tempfile::tempdir().unwrap();
    let all = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(keeper);
    for file in std::fs::read_dir(all).unwrap() {
        let (path, name) = file.map(|file| (file.path(), file.file_name())).unwrap();
        if *name < *format!("{number:04}") {
            std::fs::copy(path, dir.path().join(name)).unwrap();
        }
    }
    Migrator::new(dir.path()).await.unwrap()
}

/// What a broker of before migration 2 leaves behind: an image of three jobs, one of them given out, a
/// text of two that speaks of images, and one that was cancelled.
fn left_behind() -> (Vec<String>, Vec<Accepted>) {
    let requests = [Kind::Image, Kind::Text, Kind::Text].map(|kind| {
        let mut request = making::request_of(1, kind, if kind == Kind::Image { 3 } else { 2 });
        let mut spec = (*request.spec).clone();
        spec.prompt = r#"{"params":{"image":{}}}"#.into();
        request.spec = spec.into();
        request
    });
    let inserts = requests.iter().enumerate().map(|(i, request)| {
        let spec = serde_json::to_string(&*request.spec).unwrap().replace('\'', "''");
        format!(
            "INSERT INTO requests (id, owner, created_at, priority, spec_json, expires_at, jobs, open, cancelled) \
             VALUES ('{}', 1, 1, 1, '{spec}', 1, {}, {}, {})",
            request.id,
            request.spec.jobs,
            u8::from(i == 0),
            i == 2
        )
    });
    (inserts.collect(), requests.into())
}

async fn is_counted(records: &dyn Records, requests: &[Accepted]) {
    let there = records.load().await.unwrap().requests;
    assert_eq!(there.len(), 2, "the one that is over is not loaded");
    assert!(there.iter().all(|stored| *stored.request.spec
        == *requests.iter().find(|request| request.id == stored.request.id).unwrap().spec));
    let more = |kind| -> Vec<Record> { vec![making::accepted_within(&making::request_of(1, kind, 1), 2)] };
    let verdicts = records.commit_each(&[more(Kind::Image), more(Kind::Text)]).await.unwrap();
    assert_eq!(verdicts, [Verdict::Refused(Refusal::TooMany { waiting: 2 }); 2]);
}

#[tokio::test]
async fn requests_of_before_are_counted_by_their_kind() {
    let (inserts, requests) = left_behind();
    let dir = tempfile::tempdir().unwrap();
    let options =
        SqliteConnectOptions::new().filename(dir.path().join("gridbroker.sqlite")).create_if_missing(true);
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    migrations_before("sqlite", 2).await.run(&mut connection).await.unwrap();
    for insert in &inserts {
        connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(insert.clone()))).await.unwrap();
    }
    connection.close().await.unwrap();
    let store = embedded::open(dir.path()).await.unwrap();
    is_counted(&*store.records, &requests).await;

    let database = postgres().database().await;
    let mut connection = postgres().connection(&database).await;
    migrations_before("postgres", 2).await.run(&mut connection).await.unwrap();
    for insert in inserts {
        connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(insert))).await.unwrap();
    }
    let store = Store::over(postgres().url(&database)).await;
    is_counted(&*store.records, &requests).await;
    store.check_waiting().await;
}
