//! The list that a copy of a store goes by, beside what both databases have.

use gridbroker::backend::copy::{Kind, LEFT_OUT, TABLES};

use super::store::{Keeper, Store};

/// Name, columns with their types, and whether each is computed, sorted by name.
type Schema = Vec<(String, Vec<(String, String, bool)>)>;

/// Rows of (table, column, type, whether it is computed), without the tables that are left out.
async fn schema(store: &Store, query: &str) -> Schema {
    let mut tables = std::collections::BTreeMap::<String, Vec<_>>::new();
    for row in store.rows(query).await {
        let [table, column, kind] = [0, 1, 2].map(|i| row[i].as_str().unwrap().to_owned());
        if LEFT_OUT.iter().all(|(name, _)| *name != table) {
            tables.entry(table).or_default().push((column, kind, row[3] == 1));
        }
    }
    tables.values_mut().for_each(|columns| columns.sort());
    tables.into_iter().collect()
}

/// What the list says a database has, in the database's words for types.
fn listed(word: impl Fn(Kind) -> &'static str, has_views: bool) -> Schema {
    let tables = TABLES.iter().filter(|table| has_views || !table.is_view);
    let mut schema: Schema = tables
        .map(|table| {
            let column = |column: &gridbroker::backend::copy::Column| {
                (column.name.to_owned(), word(column.kind).to_owned(), column.is_computed)
            };
            let mut columns: Vec<_> = table.columns.iter().map(column).collect();
            columns.sort();
            (table.name.to_owned(), columns)
        })
        .collect();
    schema.sort();
    schema
}

#[tokio::test]
async fn every_table_and_column_of_sqlite_is_taken_along() {
    let store = Store::fresh(Keeper::Sqlite).await;
    let there = schema(
        &store,
        "SELECT m.name, c.name, c.type, CAST(c.hidden IN (2, 3) AS TEXT) \
         FROM sqlite_schema AS m JOIN pragma_table_xinfo(m.name) AS c \
         WHERE m.type IN ('table', 'view') AND m.name NOT LIKE 'sqlite_%'",
    )
    .await;
    let word = |kind| match kind {
        Kind::Text | Kind::Id => "TEXT",
        Kind::Number | Kind::Flag => "INTEGER",
        Kind::Decimal => "REAL",
    };
    assert_eq!(there, listed(word, false), "see src/backend/copy/tables.rs");
}

#[tokio::test]
async fn every_table_and_column_of_postgresql_is_taken_along() {
    let store = Store::fresh(Keeper::Postgres).await;
    let there = schema(
        &store,
        "SELECT table_name::TEXT, column_name::TEXT, data_type::TEXT, (is_generated = 'ALWAYS')::TEXT \
         FROM information_schema.columns WHERE table_schema = current_schema()",
    )
    .await;
    let word = |kind| match kind {
        Kind::Text => "text",
        Kind::Number => "bigint",
        Kind::Decimal => "double precision",
        Kind::Flag => "boolean",
        Kind::Id => "uuid",
    };
    assert_eq!(there, listed(word, true), "see src/backend/copy/tables.rs");
}
