//! Takes an embedded store to an empty PostgreSQL database, while no broker runs on either.
//!
//! ```text
//!  SQLite, read-only ──row──► checksum ──► written ──► PostgreSQL, one transaction ──row──► checksum
//!  files ──────────────chunk─────┘                                                            │
//!                                     all equal, and the books balance: commit; or else: roll back
//! ```
//!
//! A row is in memory for as long as its chunk is being written. Whatever happens before the commit
//! (a difference, a broken connection, an end of this process) leaves the database without a row.

mod cell;
mod tables;

use std::path::Path;

use futures_util::TryStreamExt;

use super::{
    Failure,
    distributed::{Chunk, Target},
    embedded::Origin,
};
use crate::config::SecretUrl;

pub use cell::{Cell, Checksum};
pub use tables::{Column, Kind, LEFT_OUT, TABLES, Table};
pub(super) use tables::{quoted, quoted_names};

/// The table of PostgreSQL that objects go to, in chunks.
pub const OBJECTS: &str = "blobs";

/// How far a copy is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// What is being done.
    pub step: Step,
    /// To which table.
    pub table: &'static str,
    /// Rows that it is done with; while objects are read, objects.
    pub done: u64,
    /// The same in all.
    pub total: u64,
}

/// What a copy does, one after the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Rows are read and written.
    Copying,
    /// Rows are read back.
    Checking,
}

/// Who is told how far it is.
pub type Watcher<'w> = &'w (dyn Fn(Progress) + Send + Sync);

/// How a table came over.
#[derive(Clone, Debug)]
pub struct Line {
    /// The table.
    pub table: &'static str,
    /// What the embedded store has.
    pub here: Checksum,
    /// What PostgreSQL has.
    pub there: Checksum,
}

/// What became of a copy.
#[derive(Clone, Debug)]
pub struct Report {
    /// Table by table; objects last.
    pub lines: Vec<Line>,
    /// Objects, and their bytes.
    pub objects: (u64, u64),
    /// Texts with a NUL in them, which PostgreSQL cannot hold; there they have U+FFFD in its place.
    pub texts_with_nul: u64,
    /// What is wrong with the books, if anything.
    pub books: Option<String>,
    /// The server and the database, without a password.
    pub place: String,
}

impl Report {
    /// Whether all is equal and the books balance. If not, the database was left empty.
    pub fn is_good(&self) -> bool {
        self.books.is_none() && self.lines.iter().all(|line| line.here == line.there)
    }
}

/// Copies the store of a data directory to a database.
///
/// # Errors
/// The directory holds no store, or a broker has it; the database cannot be reached, or holds data
/// already; either failed on the way. The database then has no rows. The message never holds a password.
pub async fn copy(from: &Path, to: &SecretUrl, watcher: Watcher<'_>) -> Result<Report, Failure> {
    let mut origin = Origin::open(from).await?;
    let mut target = Target::enter(to).await?;
    let mut lines = Vec::new();
    let mut texts_with_nul = 0;
    for table in TABLES {
        let here = write(&mut origin, &mut target, table, &mut texts_with_nul, watcher).await?;
        lines.push(Line { table: table.name, here, there: Checksum::default() });
    }
    let (here, objects) = write_objects(&mut origin, &mut target, watcher).await?;
    lines.push(Line { table: OBJECTS, here, there: Checksum::default() });
    for line in &mut lines {
        let table = TABLES.iter().find(|table| table.name == line.table);
        let total = line.here.rows();
        let mut tell = teller(watcher, Step::Checking, line.table, total);
        let mut rows = match table {
            Some(table) => target.rows(table),
            None => target.chunks(),
        };
        while let Some(row) = rows.try_next().await? {
            line.there.add(&row);
            tell(line.there.rows());
        }
    }
    let books = target.books().await?;
    let place = target.place();
    let report = Report { lines, objects, texts_with_nul, books, place };
    match report.is_good() {
        true => target.commit().await?,
        false => target.leave().await?,
    }
    Ok(report)
}

/// Tells of a step at its beginning, and then of every so many rows.
fn teller(watcher: Watcher<'_>, step: Step, table: &'static str, total: u64) -> impl FnMut(u64) {
    const EVERY: u64 = 256;
    let tell = move |done| watcher(Progress { step, table, done, total });
    tell(0);
    move |done| {
        if done.is_multiple_of(EVERY) || done >= total {
            tell(done);
        }
    }
}

async fn write(
    origin: &mut Origin,
    target: &mut Target,
    table: &'static Table,
    texts_with_nul: &mut u64,
    watcher: Watcher<'_>,
) -> Result<Checksum, Failure> {
    let mut sum = Checksum::default();
    let mut tell = teller(watcher, Step::Copying, table.name, origin.count(table).await?);
    let mut chunk = Chunk::default();
    let mut rows = origin.rows(table);
    while let Some(mut row) = rows.try_next().await? {
        *texts_with_nul += row.iter_mut().map(without_nul).sum::<u64>();
        sum.add(&row);
        if !table.is_view {
            let written = row.iter().zip(table.columns).filter(|(_, column)| !column.is_computed);
            chunk.push(written.map(|(cell, _)| cell));
            if chunk.is_full() {
                target.write(table, &mut chunk).await?;
            }
        }
        tell(sum.rows());
    }
    target.write(table, &mut chunk).await?;
    Ok(sum)
}

/// Replaces what a text of PostgreSQL cannot hold; returns how many texts that changed, 0 or 1. JSON
/// writes NUL as an escape, and stays as it is.
fn without_nul(cell: &mut Cell) -> u64 {
    match cell {
        Cell::Text(text) if text.contains('\0') => {
            *text = text.replace('\0', "\u{fffd}");
            1
        }
        _ => 0,
    }
}

/// The checksum of objects is over name, number and SHA-256 of each chunk: PostgreSQL digests what it has
/// by itself, and no content travels back.
async fn write_objects(
    origin: &mut Origin,
    target: &mut Target,
    watcher: Watcher<'_>,
) -> Result<(Checksum, (u64, u64)), Failure> {
    let mut sum = Checksum::default();
    let mut objects = origin.objects();
    let mut tell = teller(watcher, Step::Copying, OBJECTS, objects.count().await?);
    let (mut count, mut bytes) = (0, 0);
    let mut chunk = Chunk::default();
    while let Some(mut object) = objects.next().await? {
        let name = Cell::Text(object.name().to_owned());
        let mut number = 0;
        while let Some(content) = object.next_chunk().await? {
            bytes += content.len() as u64;
            let digest = Cell::Bytes(target.digest(&content));
            sum.add(&[name.clone(), Cell::Number(number), digest]);
            chunk.push([&name, &Cell::Number(number), &Cell::Bytes(content)].into_iter());
            if chunk.is_full() {
                target.write_blobs(&mut chunk).await?;
            }
            number += 1;
        }
        count += 1;
        tell(count);
    }
    target.write_blobs(&mut chunk).await?;
    Ok((sum, (count, bytes)))
}
