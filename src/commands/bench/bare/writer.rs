//! Group commit of the bare servers: one task, one text of statements for each batch, and the
//! settings of the broker's own store.

use std::path::Path;

use serde_json::Value;
use sqlx::{
    AssertSqlSafe, Connection, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use tokio::sync::mpsc;

const TABLES: [&str; 3] = [
    "CREATE TABLE accepted (id TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT",
    "CREATE TABLE granted (id TEXT PRIMARY KEY, request TEXT NOT NULL) STRICT",
    "CREATE TABLE results (attempt TEXT PRIMARY KEY, request TEXT NOT NULL, body TEXT NOT NULL) STRICT",
];
const ACCEPT: &str = "INSERT INTO accepted SELECT value ->> 0, value ->> 1 FROM json_each($1)";
const GRANT: &str = "INSERT INTO granted SELECT value ->> 0, value ->> 1 FROM json_each($1)";
const RESULT: &str = "INSERT INTO results SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each($1)";

/// Entries that are written in one batch, at most.
const BATCH: usize = 4096;

/// Rows to be written, and what waits for them.
#[derive(Default)]
pub struct Entry {
    /// Requests.
    pub accepted: Vec<Value>,
    /// Attempts.
    pub granted: Vec<Value>,
    /// Results.
    pub results: Vec<Value>,
    /// Done in this order once the rows are on disk.
    pub then: Vec<Box<dyn FnOnce() + Send>>,
}

/// Makes an empty store with the settings of the broker's own.
pub async fn open(path: &Path) -> anyhow::Result<SqliteConnection> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("cache_size", "-65536")
        .pragma("wal_autocheckpoint", "16000");
    let mut connection = SqliteConnection::connect_with(&options).await?;
    for table in TABLES {
        sqlx::query(table).execute(&mut connection).await?;
    }
    Ok(connection)
}

/// Writes what comes; while one batch is being written the next one gathers.
///
/// # Errors
/// The store fails.
pub async fn run(
    mut connection: SqliteConnection,
    mut entries: mpsc::UnboundedReceiver<Entry>,
) -> Result<(), sqlx::Error> {
    let mut gathered = Vec::new();
    while entries.recv_many(&mut gathered, BATCH).await > 0 {
        let mut batch = Entry::default();
        for entry in gathered.drain(..) {
            batch.accepted.extend(entry.accepted);
            batch.granted.extend(entry.granted);
            batch.results.extend(entry.results);
            batch.then.extend(entry.then);
        }
        let (mut sql, mut arguments) = (String::from("BEGIN IMMEDIATE"), Vec::new());
        for (statement, rows) in [(ACCEPT, batch.accepted), (GRANT, batch.granted), (RESULT, batch.results)] {
            if !rows.is_empty() {
                arguments.push(Value::Array(rows).to_string());
                sql.push_str("; ");
                sql.push_str(&statement.replace("$1", &format!("${}", arguments.len())));
            }
        }
        sql.push_str("; COMMIT");
        // The text is put together from the constants above, and from nothing else.
        let query = sqlx::query(AssertSqlSafe(sql));
        let query = arguments.into_iter().fold(query, |query, rows| query.bind(rows));
        query.execute(&mut connection).await?;
        for then in batch.then {
            then();
        }
    }
    Ok(())
}
