//! The database of an AI Horde server, as of one instant, and only read.
//!
//! Databases of that kind were changed by hand over the years: columns may be missing, and numbers be of
//! several types. So every cell is asked for as text, cut to a length, and whoever converts it judges it.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use futures_util::{StreamExt, stream};
use sqlx::{AssertSqlSafe, PgConnection, Row, ValueRef};

use super::{
    connect::Server,
    copy::PATIENTLY,
    trouble::{Trouble, within},
};
use crate::{backend::Failure, config::SecretUrl};

/// Longest wait for one answer: the server may have to sort a large table before the first row comes.
const ANSWER: Duration = Duration::from_secs(600);
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
const COLUMNS: &str = "SELECT table_name::TEXT, column_name::TEXT FROM information_schema.columns \
     WHERE table_schema = current_schema()";

pub(super) const STATEMENTS: &[&str] = &[COLUMNS];

/// How a column is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Read {
    /// As text, of so many characters at most, and one more if there are more.
    Text(usize),
    /// A number, a flag or an ID as the server writes it.
    Plain,
    /// An instant as Unix milliseconds: the epoch for one before all time, nothing for one after it.
    Instant,
}

/// What is asked of a table.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    /// The table.
    pub table: &'static str,
    /// Its columns, and whether rows mean nothing without them.
    pub columns: &'static [(&'static str, Read, bool)],
    /// Which of its rows: WHERE, of columns that rows mean nothing without; or nothing.
    pub filter: &'static str,
    /// What they are ordered by, as far as it is there.
    pub order: &'static [&'static str],
}

/// A row: what was asked for, in that order.
pub type Values = Vec<Option<String>>;

/// The database.
pub struct Horde {
    server: Server,
    connection: PgConnection,
    tables: HashMap<String, HashSet<String>>,
}

impl Horde {
    /// Connects, and begins to read as of this instant.
    ///
    /// # Errors
    /// The server cannot be reached, or refuses us. The message names it and never the password.
    pub async fn open(url: &SecretUrl) -> Result<Self, Failure> {
        let server = Server::of(url).map_err(|_| {
            "the URL of the database to copy from cannot be read; write it as postgres://user:password@host:5432/database"
        })?;
        let told = |trouble: Trouble| format!("the database at {} cannot be read: {trouble}", server.place());
        let mut connection = server.connection().await.map_err(told)?;
        let begun = within(ANSWER, async {
            sqlx::query(PATIENTLY).execute(&mut connection).await?;
            sqlx::raw_sql(BEGIN).execute(&mut connection).await?;
            let columns: Vec<(String, String)> = sqlx::query_as(COLUMNS).fetch_all(&mut connection).await?;
            Ok(columns)
        });
        let mut tables: HashMap<String, HashSet<String>> = HashMap::new();
        for (table, column) in begun.await.map_err(told)? {
            tables.entry(table).or_default().insert(column);
        }
        Ok(Self { server, connection, tables })
    }

    /// The server and the database, without a password.
    pub fn place(&self) -> String {
        self.server.place()
    }

    /// Whether there is such a table.
    pub fn has(&self, table: &str) -> bool {
        self.tables.contains_key(table)
    }

    /// Columns that rows mean nothing without and that are not there.
    pub fn missing(&self, ask: &Ask) -> Vec<String> {
        let there = self.tables.get(ask.table);
        let is_there = |name: &str| there.is_some_and(|columns| columns.contains(name));
        let needed = ask.columns.iter().filter(|(name, _, is_needed)| *is_needed && !is_there(name));
        needed.map(|(name, ..)| format!("{}.{name}", ask.table)).collect()
    }

    /// How many rows that are asked for a table has; none, if there is no such table.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn count(&mut self, ask: &'static Ask) -> Result<u64, Failure> {
        let Ask { table, filter, .. } = ask;
        if !self.has(table) {
            return Ok(0);
        }
        let count = AssertSqlSafe(format!("SELECT count(*) FROM \"{table}\" {filter}"));
        let count: i64 =
            within(ANSWER, async { Ok(sqlx::query_scalar(count).fetch_one(&mut self.connection).await?) })
                .await
                .map_err(|trouble| format!("{table} cannot be read: {trouble}"))?;
        Ok(u64::try_from(count)?)
    }

    /// The rows of a table as they come, columns that are missing empty; none, if there is no such table.
    pub fn rows(&mut self, ask: &'static Ask) -> stream::BoxStream<'_, Result<Values, Failure>> {
        let Some(there) = self.tables.get(ask.table) else { return stream::empty().boxed() };
        let column = |(name, read, _): &(&str, Read, bool)| match (there.contains(*name), read) {
            (false, _) => "NULL::TEXT".to_owned(),
            (true, Read::Text(most)) => format!("left(\"{name}\"::TEXT, {})", most + 1),
            (true, Read::Plain) => format!("left(\"{name}\"::TEXT, 64)"),
            (true, Read::Instant) => format!(
                "CASE WHEN isfinite(\"{name}\") THEN floor(extract(epoch FROM \"{name}\") * 1000)::BIGINT::TEXT \
                 WHEN \"{name}\" = '-infinity' THEN '0' END"
            ),
        };
        let columns: Vec<_> = ask.columns.iter().map(column).collect();
        let order = ask.order.iter().filter(|name| there.contains(**name));
        let order: Vec<_> = order.map(|name| format!("\"{name}\"")).collect();
        let order = if order.is_empty() { String::new() } else { format!("ORDER BY {}", order.join(", ")) };
        let Ask { table, filter, .. } = ask;
        let select = format!("SELECT {} FROM \"{table}\" {filter} {order}", columns.join(", "));
        let rows = sqlx::query(AssertSqlSafe(select)).fetch(&mut self.connection);
        stream::try_unfold(rows, move |mut rows| async move {
            let row = within(ANSWER, async { Ok(rows.next().await.transpose()?) });
            let row = row.await.map_err(|trouble| format!("{table} cannot be read: {trouble}"))?;
            let Some(row) = row else { return Ok(None) };
            let values = (0..row.len()).map(|place| {
                let value = row.try_get_raw(place)?;
                // Of databases that do not know what their texts are written in.
                let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
                Ok(if value.is_null() { None } else { Some(text(value.as_bytes()?)) })
            });
            Ok(Some((values.collect::<Result<Values, Failure>>()?, rows)))
        })
        .boxed()
    }
}
