//! Statements and schemas: what no compiler checks.

use std::collections::BTreeMap;

use gridbroker::backend::{distributed, embedded};
use sqlx::{Connection, Executor, SqlSafeStr, SqliteConnection};

use super::store::{Keeper, Store, TABLES};

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
