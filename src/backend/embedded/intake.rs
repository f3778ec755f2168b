//! An embedded store that takes in what another server had.

use std::path::Path;

use async_trait::async_trait;
use sqlx::{
    AssertSqlSafe, Connection, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use super::{
    DirectoryLock, FILE, InUse, SqliteRecords,
    copy::{cell, check_version},
};
use crate::backend::{
    Failure,
    copy::{Cell, TABLES, quoted_names},
    intake::{Keeper, Row},
};

/// What the system's account holds that all is granted from which accounts begin with.
const GRANTED: &str = "INSERT INTO balances (account, amount) SELECT -3, \
     coalesce(sum(CASE WHEN credit = -3 THEN amount ELSE -amount END), 0) \
     FROM postings WHERE debit = -3 OR credit = -3 \
     ON CONFLICT (account) DO UPDATE SET amount = excluded.amount";

pub(super) const STATEMENTS: &[&str] = &[GRANTED];

/// The store. Its directory is locked for as long as this is there.
pub struct SqliteIntake {
    records: SqliteConnection,
    is_rehearsal: bool,
    _lock: DirectoryLock,
}

impl SqliteIntake {
    /// Opens the store of a data directory, and makes it if need be. A rehearsal makes nothing: `None` if there
    /// is no store.
    ///
    /// # Errors
    /// It cannot be opened or made; another process has it.
    pub async fn open(data: &Path, is_rehearsal: bool) -> Result<Option<Self>, Failure> {
        let file = data.join(FILE);
        if is_rehearsal && !tokio::fs::try_exists(&file).await.unwrap_or(false) {
            return Ok(None);
        }
        let place = data.display();
        if !is_rehearsal {
            // As when a broker makes it.
            let made = tokio::fs::DirBuilder::new().recursive(true).mode(0o700).create(data).await;
            made.map_err(|error| format!("{place} cannot be made: {error}"))?;
        }
        let lock = DirectoryLock::take(data).await.map_err(|failure| match failure.is::<InUse>() {
            true => Failure::from(format!("{failure}: stop it first")),
            false => failure,
        })?;
        let options = SqliteConnectOptions::new().filename(&file);
        let options = match is_rehearsal {
            true => options.read_only(true),
            false => {
                // Brings the schema up to date.
                drop(SqliteRecords::open(&file).await?);
                options
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Full)
                    .foreign_keys(true)
                    .busy_timeout(std::time::Duration::from_secs(10))
            }
        };
        let mut records = SqliteConnection::connect_with(&options)
            .await
            .map_err(|error| format!("the file {} cannot be opened: {error}", file.display()))?;
        check_version(&mut records).await.map_err(|problem| format!("the store in {place} {problem}"))?;
        Ok(Some(Self { records, is_rehearsal, _lock: lock }))
    }
}

#[async_trait]
impl Keeper for SqliteIntake {
    async fn begin(&mut self) -> Result<(), Failure> {
        let begin = if self.is_rehearsal { "BEGIN" } else { "BEGIN IMMEDIATE" };
        sqlx::raw_sql(begin).execute(&mut self.records).await?;
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), Failure> {
        self.run(GRANTED).await?;
        sqlx::raw_sql("COMMIT").execute(&mut self.records).await?;
        Ok(())
    }

    async fn give_up(&mut self) -> Result<(), Failure> {
        sqlx::raw_sql("ROLLBACK").execute(&mut self.records).await?;
        Ok(())
    }

    async fn read(
        &mut self,
        table: &'static str,
        columns: &[&'static str],
    ) -> Result<Vec<Vec<Cell>>, Failure> {
        let known = TABLES.iter().find(|known| known.name == table).ok_or("there is no such table")?;
        let kinds: Vec<_> = columns
            .iter()
            .map(|name| known.columns.iter().find(|column| column.name == *name))
            .collect::<Option<_>>()
            .ok_or("there is no such column")?;
        let select = AssertSqlSafe(format!("SELECT {} FROM {table}", quoted_names(columns)));
        let rows = sqlx::query(select).fetch_all(&mut self.records).await?;
        rows.iter()
            .map(|row| kinds.iter().map(|column| cell(row, column.name, column.kind)).collect())
            .collect()
    }

    async fn write(&mut self, table: &'static str, rows: Vec<Row>) -> Result<(), Failure> {
        let Some(first) = rows.first() else { return Ok(()) };
        let names: Vec<&str> = first.iter().map(|(name, _)| *name).collect();
        let places = vec!["?"; names.len()].join(", ");
        let insert = format!("INSERT INTO {table} ({}) VALUES ({places})", quoted_names(&names));
        for row in rows {
            let mut query = sqlx::query(AssertSqlSafe(insert.clone()));
            for (_, cell) in row {
                query = match cell {
                    Cell::Null => query.bind(None::<String>),
                    Cell::Text(text) => query.bind(text),
                    Cell::Number(number) => query.bind(number),
                    Cell::Decimal(decimal) => query.bind(decimal),
                    Cell::Flag(flag) => query.bind(i64::from(flag)),
                    Cell::Id(id) => query.bind(id.hyphenated().to_string()),
                    Cell::Bytes(bytes) => query.bind(bytes),
                };
            }
            query.execute(&mut self.records).await.map_err(|error| format!("{table}: {error}"))?;
        }
        Ok(())
    }

    async fn run(&mut self, statement: &'static str) -> Result<(), Failure> {
        sqlx::query(statement).execute(&mut self.records).await?;
        Ok(())
    }
}
