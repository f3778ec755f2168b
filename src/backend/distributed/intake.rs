//! A database that takes in what another server had.

use async_trait::async_trait;
use sqlx::{AssertSqlSafe, PgConnection};

use super::{
    connect::Server,
    copy::{ANSWER, Chunk, EXISTING, LED, PATIENTLY, REACH, all_tables, row_of, some_of},
    trouble::within,
};
use crate::{
    backend::{
        Failure,
        copy::{Cell, Column, TABLES, quoted_names},
        intake::{Keeper, Row},
    },
    config::SecretUrl,
};

/// The database.
pub struct PgIntake {
    server: Server,
    connection: PgConnection,
    is_rehearsal: bool,
}

impl PgIntake {
    /// Connects, and brings the schema up to date. A rehearsal changes nothing: `None` if there is no store.
    ///
    /// # Errors
    /// The server cannot be reached or is not fit, the database is somebody else's, or a broker runs over it.
    pub async fn open(url: &SecretUrl, is_rehearsal: bool) -> Result<Option<Self>, Failure> {
        let server = Server::of(url)?;
        server.reach(REACH).await?;
        let mut connection = server.connection().await?;
        let existing: Vec<String> =
            within(ANSWER, async { Ok(sqlx::query_scalar(EXISTING).fetch_all(&mut connection).await?) })
                .await?;
        let is_ours = existing.iter().any(|table| table == "_sqlx_migrations");
        if !existing.is_empty() && !is_ours {
            return Err(format!(
                "the database at {} holds tables that are not gridbroker's ({}): name an empty one, or the one \
                 of your brokers",
                server.place(),
                some_of(&existing)
            )
            .into());
        }
        within(ANSWER, async { Ok(sqlx::query(PATIENTLY).execute(&mut connection).await?) }).await?;
        let mut intake = Self { server, connection, is_rehearsal };
        if is_ours {
            intake.see_nobody().await?;
        } else if is_rehearsal {
            return Ok(None);
        }
        if !is_rehearsal {
            intake.server.migrate().await?;
        }
        Ok(Some(intake))
    }

    /// Sees that no broker runs over the database: one of them would lead.
    async fn see_nobody(&mut self) -> Result<(), Failure> {
        let is_led: bool =
            within(ANSWER, async { Ok(sqlx::query_scalar(LED).fetch_one(&mut self.connection).await?) })
                .await?;
        match is_led {
            true => Err(format!(
                "the database at {} is used by a broker, which would not hear of what is written: stop all \
                 brokers first",
                self.server.place()
            )
            .into()),
            false => Ok(()),
        }
    }

    async fn order(&mut self, statement: String) -> Result<(), Failure> {
        let done = within(ANSWER, async {
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut self.connection).await?;
            Ok(())
        });
        Ok(done.await?)
    }
}

#[async_trait]
impl Keeper for PgIntake {
    /// All tables are taken for this alone: a broker that begins waits, and starts from all that came over.
    async fn begin(&mut self) -> Result<(), Failure> {
        if self.is_rehearsal {
            return self.order("BEGIN READ ONLY".into()).await;
        }
        self.order("BEGIN".into()).await?;
        let lock = format!("LOCK TABLE {}, leadership IN ACCESS EXCLUSIVE MODE", all_tables().join(", "));
        if let Err(failure) = self.order(lock).await {
            let place = self.server.place();
            return Err(
                format!("the tables at {place} cannot be locked; does a broker use them? {failure}").into()
            );
        }
        self.see_nobody().await
    }

    async fn commit(&mut self) -> Result<(), Failure> {
        self.order("COMMIT".into()).await
    }

    async fn give_up(&mut self) -> Result<(), Failure> {
        self.order("ROLLBACK".into()).await
    }

    async fn read(
        &mut self,
        table: &'static str,
        columns: &[&'static str],
    ) -> Result<Vec<Vec<Cell>>, Failure> {
        let known = TABLES.iter().find(|known| known.name == table).ok_or("there is no such table")?;
        let find = |name: &&'static str| known.columns.iter().find(|column| column.name == *name).copied();
        let kinds: Vec<Column> =
            columns.iter().map(find).collect::<Option<_>>().ok_or("there is no such column")?;
        let select = AssertSqlSafe(format!("SELECT {} FROM {table}", quoted_names(columns)));
        let read = within(ANSWER, async {
            let rows = sqlx::query(select).fetch_all(&mut self.connection).await?;
            Ok(rows.into_iter().map(|row| row_of(row, &kinds)).collect::<Result<_, sqlx::Error>>()?)
        });
        Ok(read.await?)
    }

    async fn write(&mut self, table: &'static str, rows: Vec<Row>) -> Result<(), Failure> {
        let Some(first) = rows.first() else { return Ok(()) };
        let names: Vec<&str> = first.iter().map(|(name, _)| *name).collect();
        let statement = format!("COPY {table} ({}) FROM STDIN (FORMAT binary)", quoted_names(&names));
        let mut chunk = Chunk::default();
        rows.iter().for_each(|row| chunk.push(row.iter().map(|(_, cell)| cell)));
        let (bytes, count) = chunk.take();
        let written = within(ANSWER, async {
            let mut copy = self.connection.copy_in_raw(&statement).await?;
            copy.send(bytes).await?;
            Ok(copy.finish().await?)
        });
        let written = written.await.map_err(|trouble| format!("{table} could not be written: {trouble}"))?;
        match written == count as u64 {
            true => Ok(()),
            false => Err(format!("{table} took {written} of {count} rows").into()),
        }
    }

    async fn run(&mut self, statement: &'static str) -> Result<(), Failure> {
        self.order(statement.into()).await
    }
}
