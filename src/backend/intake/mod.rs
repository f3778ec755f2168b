//! Takes in what another server had: accounts with their keys and kudos, workers, teams, styles. No broker runs
//! over the store meanwhile.
//!
//! ```text
//!  begin ──► accounts │ teams, workers │ styles, collections ──► end: all of it is on disk, or nothing
//! ```
//!
//! What is handed in is new, as [`Known`] tells; two things with one name fail the whole. A rehearsal reads
//! what is known and writes nothing.

mod known;
mod rows;

use std::path::Path;

use async_trait::async_trait;

use super::{Failure, copy::Cell, distributed::PgIntake, embedded::SqliteIntake};
use crate::{
    config::SecretUrl,
    domain::{
        Timestamp, UserId,
        style::{Collection, Style},
        team::{Team, TeamFigures},
        user::User,
        worker::Worker,
    },
};

pub use known::{Known, KnownUser};

/// The cells of a row, by their columns. All rows of a call have the same.
pub(super) type Row = Vec<(&'static str, Cell)>;

/// What a keeper does for it.
#[async_trait]
pub(super) trait Keeper: Send {
    /// Begins a transaction that nobody else sees or disturbs.
    async fn begin(&mut self) -> Result<(), Failure>;
    /// Puts what was written since on disk.
    async fn commit(&mut self) -> Result<(), Failure>;
    /// Gives up what was written since.
    async fn give_up(&mut self) -> Result<(), Failure>;
    /// Columns of all rows of a table.
    async fn read(
        &mut self,
        table: &'static str,
        columns: &[&'static str],
    ) -> Result<Vec<Vec<Cell>>, Failure>;
    /// Adds rows to a table.
    async fn write(&mut self, table: &'static str, rows: Vec<Row>) -> Result<(), Failure>;
    /// Runs a statement that both keepers understand.
    async fn run(&mut self, statement: &'static str) -> Result<(), Failure>;
}

/// The anonymous account is made with the store. As long as it never had kudos, another one takes its place.
const NO_ANONYMOUS: &str = "DELETE FROM users WHERE id = 0";

/// A store that takes in.
pub struct Intake {
    /// `None`: there is no store yet, and this is a rehearsal.
    keeper: Option<Box<dyn Keeper>>,
    is_rehearsal: bool,
}

impl Intake {
    /// Opens the store of a data directory, or that of a database; made if need be, unless it is a rehearsal.
    ///
    /// # Errors
    /// It cannot be opened or made, or a broker runs over it.
    pub async fn open(
        data: &Path,
        database: Option<&SecretUrl>,
        is_rehearsal: bool,
    ) -> Result<Self, Failure> {
        let keeper: Option<Box<dyn Keeper>> = match database {
            Some(url) => {
                PgIntake::open(url, is_rehearsal).await?.map(|keeper| Box::new(keeper) as Box<dyn Keeper>)
            }
            None => SqliteIntake::open(data, is_rehearsal)
                .await?
                .map(|keeper| Box::new(keeper) as Box<dyn Keeper>),
        };
        Ok(Self { keeper, is_rehearsal })
    }

    /// What there is already.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn known(&mut self) -> Result<Known, Failure> {
        let Some(keeper) = &mut self.keeper else { return Ok(Known::default()) };
        keeper.begin().await?;
        let known = Known::read(&mut **keeper).await?;
        keeper.give_up().await?;
        Ok(known)
    }

    /// Begins to take something in.
    ///
    /// # Errors
    /// A broker has begun to run over the store.
    pub async fn begin(&mut self) -> Result<(), Failure> {
        match &mut self.keeper {
            Some(keeper) => keeper.begin().await,
            None => Ok(()),
        }
    }

    /// Puts all that was taken in since on disk.
    ///
    /// # Errors
    /// It may be on disk or not.
    pub async fn end(&mut self) -> Result<(), Failure> {
        match &mut self.keeper {
            Some(keeper) if self.is_rehearsal => keeper.give_up().await,
            Some(keeper) => keeper.commit().await,
            None => Ok(()),
        }
    }

    /// Takes accounts in, with the keys that they lend, and what they have as postings of that instant.
    ///
    /// # Errors
    /// They cannot be written.
    pub async fn users(&mut self, users: &[User], now: Timestamp) -> Result<(), Failure> {
        if users.iter().any(|user| user.id == UserId::ANONYMOUS) && !self.is_rehearsal {
            self.run(NO_ANONYMOUS).await?;
        }
        let all = users.iter().map(rows::user).collect::<Result<_, _>>()?;
        self.write("users", all).await?;
        let keys = users.iter().flat_map(|user| user.shared_keys.iter().map(rows::shared_key)).collect();
        self.write("shared_keys", keys).await?;
        self.write("balances", users.iter().flat_map(rows::balances).collect()).await?;
        self.write("postings", users.iter().flat_map(|user| rows::postings(user, now)).collect()).await
    }

    /// Takes teams in.
    ///
    /// # Errors
    /// They cannot be written.
    pub async fn teams(&mut self, teams: &[(Team, TeamFigures)]) -> Result<(), Failure> {
        self.write("teams", teams.iter().map(|(team, figures)| rows::team(team, figures)).collect()).await
    }

    /// Takes workers in.
    ///
    /// # Errors
    /// They cannot be written.
    pub async fn workers(&mut self, workers: &[Worker]) -> Result<(), Failure> {
        let all = workers.iter().map(rows::worker).collect::<Result<_, _>>()?;
        self.write("workers", all).await
    }

    /// Takes styles in.
    ///
    /// # Errors
    /// They cannot be written.
    pub async fn styles(&mut self, styles: &[Style]) -> Result<(), Failure> {
        let all = styles.iter().map(rows::style).collect::<Result<_, _>>()?;
        self.write("styles", all).await
    }

    /// Takes collections in.
    ///
    /// # Errors
    /// They cannot be written.
    pub async fn collections(&mut self, collections: &[Collection]) -> Result<(), Failure> {
        let all = collections.iter().map(rows::collection).collect::<Result<_, _>>()?;
        self.write("style_collections", all).await
    }

    async fn write(&mut self, table: &'static str, rows: Vec<Row>) -> Result<(), Failure> {
        match &mut self.keeper {
            Some(keeper) if !self.is_rehearsal && !rows.is_empty() => keeper.write(table, rows).await,
            _ => Ok(()),
        }
    }

    async fn run(&mut self, statement: &'static str) -> Result<(), Failure> {
        match &mut self.keeper {
            Some(keeper) => keeper.run(statement).await,
            None => Ok(()),
        }
    }
}
