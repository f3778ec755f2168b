//! An empty database that a store is copied to, in one transaction.

use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, PgConnection, Row, postgres::PgRow};

use super::{
    connect::Server,
    trouble::{Trouble, within},
};
use crate::{
    backend::{
        Failure,
        copy::{Cell, Column, Kind, OBJECTS, TABLES, Table, quoted},
    },
    config::SecretUrl,
};

/// How long a server that cannot be reached is waited for.
pub(super) const REACH: Duration = Duration::from_secs(10);
/// Longest wait for one answer: rows are written in chunks and read one by one, but a constraint may have
/// to be checked, or a large table be read, before the first comes.
pub(super) const ANSWER: Duration = Duration::from_secs(600);
/// Bytes after which a chunk is sent.
const CHUNK: usize = 1 << 20;
/// Rows after which it is.
const ROWS: usize = 10_000;

/// A server that waits for us, while we read files, must not think that we are gone.
pub(super) const PATIENTLY: &str = "SELECT set_config('statement_timeout', '0', false), \
     set_config('idle_in_transaction_session_timeout', '600s', false)";
pub(super) const EXISTING: &str = "SELECT table_name::TEXT FROM information_schema.tables \
     WHERE table_schema = current_schema() ORDER BY table_name";
pub(super) const LED: &str = "SELECT EXISTS (SELECT 1 FROM leadership \
     WHERE expires_at > (extract(epoch FROM clock_timestamp()) * 1000)::BIGINT)";
/// A broker that failed at its start may have left the anonymous account. Ours replaces it.
const NO_ANONYMOUS: &str = "DELETE FROM users WHERE id = 0";
const BLOBS: &str = "SELECT name, chunk, sha256(content) FROM blobs";
/// Accounts whose balance is not what was posted to them.
const UNBALANCED: &str = "SELECT count(*) FROM (SELECT account, sum(amount) AS amount FROM ( \
         SELECT debit AS account, -amount AS amount FROM postings \
         UNION ALL SELECT credit, amount FROM postings) AS moves \
         WHERE account >= 0 GROUP BY account) AS posted FULL JOIN balances USING (account) \
     WHERE coalesce(posted.amount, 0) <> coalesce(balances.amount, 0)";
/// What all accounts hold together, in millionths of a kudos.
const SUM: &str = "SELECT ((SELECT coalesce(sum(amount), 0) FROM balances) \
     + (SELECT coalesce(sum(amount), 0) FROM system_balances))::TEXT";

pub(super) const STATEMENTS: &[&str] = &[PATIENTLY, EXISTING, LED, NO_ANONYMOUS, BLOBS, UNBALANCED, SUM];

/// The database. Unless it is committed to, what was written is gone when this is dropped.
pub struct Target {
    server: Server,
    connection: PgConnection,
}

impl Target {
    /// Connects, sees that there is no data, makes the tables, and takes them for itself alone.
    ///
    /// # Errors
    /// The server cannot be reached or is not fit, the database is not empty, or a broker runs on it.
    pub async fn enter(url: &SecretUrl) -> Result<Self, Failure> {
        let server = Server::of(url).map_err(|_| {
            "the URL of the database cannot be read; write it as postgres://user:password@host:5432/database"
        })?;
        server.reach(REACH).await?;
        let mut connection = server.connection().await?;
        // Before anything is changed in a database that is somebody else's.
        let existing: Vec<String> =
            within(ANSWER, async { Ok(sqlx::query_scalar(EXISTING).fetch_all(&mut connection).await?) })
                .await?;
        let refused = |what: String| -> Failure {
            let place = server.place();
            format!("the database at {place} {what}: copy to an empty one, as `createdb NAME` makes it")
                .into()
        };
        if !existing.is_empty() && !existing.iter().any(|table| table == "_sqlx_migrations") {
            return Err(refused(format!("holds other tables ({})", some_of(&existing))));
        }
        let filled = filled(&mut connection, &existing).await?;
        if !filled.is_empty() {
            return Err(refused(format!("holds data already ({})", some_of(&filled))));
        }
        server.migrate().await?;
        let begun = within(ANSWER, async {
            sqlx::query(PATIENTLY).execute(&mut connection).await?;
            sqlx::raw_sql("BEGIN").execute(&mut connection).await?;
            let lock = format!("LOCK TABLE {}, leadership IN ACCESS EXCLUSIVE MODE", all_tables().join(", "));
            sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut connection).await?;
            let is_led: bool = sqlx::query_scalar(LED).fetch_one(&mut connection).await?;
            Ok(is_led)
        });
        let is_led = begun.await.map_err(|trouble| {
            format!("the tables at {} cannot be locked; does a broker use them? {trouble}", server.place())
        })?;
        let all: Vec<_> = all_tables().into_iter().map(str::to_owned).collect();
        if is_led || !self::filled(&mut connection, &all).await?.is_empty() {
            return Err(refused("is used by a broker".into()));
        }
        within(ANSWER, async { Ok(sqlx::query(NO_ANONYMOUS).execute(&mut connection).await?) }).await?;
        Ok(Self { server, connection })
    }

    /// The server and the database, without a password.
    pub fn place(&self) -> String {
        self.server.place()
    }

    /// Writes rows of a table, and empties the chunk.
    pub async fn write(&mut self, table: &Table, chunk: &mut Chunk) -> Result<(), Failure> {
        self.send(&format!("{} ({})", table.name, quoted(table.written())), chunk).await
    }

    /// Writes chunks of objects: name, number, content.
    pub async fn write_blobs(&mut self, chunk: &mut Chunk) -> Result<(), Failure> {
        self.send(&format!("{OBJECTS} (name, chunk, content)"), chunk).await
    }

    async fn send(&mut self, what: &str, chunk: &mut Chunk) -> Result<(), Failure> {
        let (bytes, rows) = chunk.take();
        if rows == 0 {
            return Ok(());
        }
        let written = within(ANSWER, async {
            let statement = format!("COPY {what} FROM STDIN (FORMAT binary)");
            let mut copy = self.connection.copy_in_raw(&statement).await?;
            copy.send(bytes).await?;
            Ok(copy.finish().await?)
        });
        let table = what.split(' ').next().unwrap_or(what);
        let written = written.await.map_err(|trouble| format!("{table} could not be written: {trouble}"))?;
        // A trigger may have kept some away.
        match written == rows as u64 {
            true => Ok(()),
            false => Err(format!("{table} took {written} of {rows} rows").into()),
        }
    }

    /// The rows of a table.
    pub fn rows(&mut self, table: &'static Table) -> Rows<'_> {
        let select = AssertSqlSafe(table.select(table.name));
        let rows = sqlx::query(select).fetch(&mut self.connection);
        read(rows, move |row| row_of(row, table.columns))
    }

    /// The chunks of all objects: name, number, [`Target::digest`] of the content.
    pub fn chunks(&mut self) -> Rows<'_> {
        let rows = sqlx::query(BLOBS).fetch(&mut self.connection);
        read(rows, |row| {
            Ok(vec![Cell::Text(row.try_get(0)?), Cell::Number(row.try_get(1)?), Cell::Bytes(row.try_get(2)?)])
        })
    }

    /// What PostgreSQL makes of a content.
    pub fn digest(&self, content: &[u8]) -> Vec<u8> {
        Sha256::digest(content).to_vec()
    }

    /// What is wrong with the books, if anything.
    pub async fn books(&mut self) -> Result<Option<String>, Failure> {
        let read = within(ANSWER, async {
            let unbalanced: i64 = sqlx::query_scalar(UNBALANCED).fetch_one(&mut self.connection).await?;
            let sum: String = sqlx::query_scalar(SUM).fetch_one(&mut self.connection).await?;
            Ok((unbalanced, sum))
        });
        let (unbalanced, sum) = read.await?;
        let mut wrong = Vec::new();
        if unbalanced > 0 {
            wrong.push(format!("accounts whose balance is not the sum of their postings: {unbalanced}"));
        }
        if sum != "0" {
            wrong.push(format!("all accounts together hold {sum} millionths of a kudos, not 0"));
        }
        Ok((!wrong.is_empty()).then(|| wrong.join("; ")))
    }

    /// Keeps what was written.
    pub async fn commit(mut self) -> Result<(), Failure> {
        let committed = within(ANSWER, async {
            sqlx::raw_sql("COMMIT").execute(&mut self.connection).await?;
            Ok(())
        });
        committed.await.map_err(|trouble| {
            format!(
                "the copy at {} may be there whole or not at all: run the command again, which copies, or \
                 says that the database holds data: then it is whole ({trouble})",
                self.place()
            )
        })?;
        // Plans are made by what is known of the tables. Were it to fail, the server finds out by itself.
        let known = async { Ok(sqlx::raw_sql("ANALYZE").execute(&mut self.connection).await?) };
        let _ = within(ANSWER, known).await;
        Ok(())
    }

    /// Gives up what was written.
    pub async fn leave(mut self) -> Result<(), Failure> {
        let left =
            within(ANSWER, async { Ok(sqlx::raw_sql("ROLLBACK").execute(&mut self.connection).await?) });
        left.await?;
        Ok(())
    }
}

/// Rows as they come.
pub type Rows<'c> = stream::BoxStream<'c, Result<Vec<Cell>, Failure>>;

fn read<'c>(
    rows: impl Stream<Item = Result<PgRow, sqlx::Error>> + Send + Unpin + 'c,
    row_of: impl Fn(PgRow) -> Result<Vec<Cell>, sqlx::Error> + Send + Sync + Copy + 'c,
) -> Rows<'c> {
    stream::try_unfold(rows, move |mut rows| async move {
        let row = within(ANSWER, async { Ok(rows.next().await.transpose()?.map(row_of).transpose()?) });
        Ok(row.await?.map(|row| (row, rows)))
    })
    .boxed()
}

pub(super) fn row_of(row: PgRow, columns: &[Column]) -> Result<Vec<Cell>, sqlx::Error> {
    let cell = |column: &Column| {
        let name = column.name;
        let cell = match column.kind {
            Kind::Text => row.try_get::<Option<_>, _>(name)?.map(Cell::Text),
            Kind::Number => row.try_get::<Option<_>, _>(name)?.map(Cell::Number),
            Kind::Decimal => row.try_get::<Option<_>, _>(name)?.map(Cell::Decimal),
            Kind::Flag => row.try_get::<Option<_>, _>(name)?.map(Cell::Flag),
            Kind::Id => row.try_get::<Option<_>, _>(name)?.map(Cell::Id),
        };
        Ok(cell.unwrap_or(Cell::Null))
    };
    columns.iter().map(cell).collect()
}

/// Every table that takes rows of a copy.
pub(super) fn all_tables() -> Vec<&'static str> {
    let tables = TABLES.iter().filter(|table| !table.is_view).map(|table| table.name);
    tables.chain([OBJECTS]).collect()
}

/// Those of our tables, among some that exist, that have rows. The anonymous account alone does not count.
async fn filled(connection: &mut PgConnection, existing: &[String]) -> Result<Vec<String>, Trouble> {
    let mut filled = Vec::new();
    for name in all_tables() {
        if !existing.iter().any(|table| table == name) {
            continue;
        }
        let some = if name == "users" { "users WHERE id <> 0" } else { name };
        let query = AssertSqlSafe(format!("SELECT EXISTS (SELECT 1 FROM {some})"));
        let has_rows = async { Ok(sqlx::query_scalar(query).fetch_one(&mut *connection).await?) };
        if within(ANSWER, has_rows).await? {
            filled.push(name.to_owned());
        }
    }
    Ok(filled)
}

pub(super) fn some_of(names: &[String]) -> String {
    const MOST: usize = 5;
    let shown = names[..names.len().min(MOST)].join(", ");
    if names.len() > MOST { format!("{shown}, …") } else { shown }
}

/// Rows in the binary form of COPY.
///
/// Source: <https://www.postgresql.org/docs/17/sql-copy.html#SQL-COPY-FILE-FORMATS>, "Binary Format".
#[derive(Default)]
pub struct Chunk {
    bytes: Vec<u8>,
    rows: usize,
}

impl Chunk {
    /// Signature, no flags, no extension.
    const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
    /// A row of -1 cells.
    const TRAILER: [u8; 2] = (-1i16).to_be_bytes();

    /// Adds a row, whose cells are of the types of their columns.
    pub fn push<'c>(&mut self, cells: impl Iterator<Item = &'c Cell>) {
        if self.bytes.is_empty() {
            self.bytes.extend_from_slice(Self::HEADER);
        }
        let count_at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        let mut count = 0i16;
        for cell in cells {
            self.cell(cell);
            count += 1;
        }
        self.bytes[count_at..count_at + 2].copy_from_slice(&count.to_be_bytes());
        self.rows += 1;
    }

    fn cell(&mut self, cell: &Cell) {
        let mut value = |value: &[u8]| {
            let length = i32::try_from(value.len()).unwrap_or(i32::MAX);
            self.bytes.extend_from_slice(&length.to_be_bytes());
            self.bytes.extend_from_slice(value);
        };
        match cell {
            Cell::Null => self.bytes.extend_from_slice(&(-1i32).to_be_bytes()),
            Cell::Text(text) => value(text.as_bytes()),
            Cell::Number(number) => value(&number.to_be_bytes()),
            Cell::Decimal(decimal) => value(&decimal.to_be_bytes()),
            Cell::Flag(flag) => value(&[u8::from(*flag)]),
            Cell::Id(id) => value(id.as_bytes()),
            Cell::Bytes(bytes) => value(bytes),
        }
    }

    /// Whether it is time to send it.
    pub fn is_full(&self) -> bool {
        self.bytes.len() >= CHUNK || self.rows >= ROWS
    }

    /// All of it, and how many rows; nothing is left.
    pub(super) fn take(&mut self) -> (Vec<u8>, usize) {
        let Self { mut bytes, rows } = std::mem::take(self);
        bytes.extend_from_slice(&Self::TRAILER);
        (bytes, rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_written_as_the_manual_says() {
        let mut chunk = Chunk::default();
        chunk.push([&Cell::Text("é".into()), &Cell::Null, &Cell::Flag(true)].into_iter());
        let (bytes, rows) = chunk.take();
        let mut expected = Chunk::HEADER.to_vec();
        expected.extend([0, 3, 0, 0, 0, 2, 0xc3, 0xa9, 255, 255, 255, 255, 0, 0, 0, 1, 1, 255, 255]);
        assert_eq!((bytes, rows), (expected, 1));
        assert_eq!(Chunk::HEADER.len(), 19);
        assert_eq!(chunk.take().1, 0, "nothing is left");
    }
}
