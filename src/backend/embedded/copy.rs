//! An embedded store that is only read, for a copy of it.

use std::path::{Path, PathBuf};

use futures_util::{Stream, StreamExt};
use sqlx::{
    AssertSqlSafe, Connection, Row, SqliteConnection, sqlite::SqliteConnectOptions, sqlite::SqliteRow,
};
use tokio::{
    fs::{File, ReadDir},
    io::AsyncReadExt,
};

use super::{DirectoryLock, FILE, OBJECTS, blobs::folder_of, records::MIGRATIONS};
use crate::backend::{
    Failure,
    cells::{self, Cells},
    check_object_name,
    copy::{Cell, Kind, Table},
    distributed::CHUNK,
};

const APPLIED: &str = "SELECT version, checksum FROM _sqlx_migrations WHERE success ORDER BY version";

/// The store. Its directory is locked for as long as this is there.
pub struct Origin {
    records: SqliteConnection,
    objects: PathBuf,
    _lock: DirectoryLock,
}

impl Origin {
    /// Opens the store of a data directory. Nothing is made or changed there but the lock.
    ///
    /// # Errors
    /// There is none, another process has it, or it was made by another version.
    pub async fn open(data: &Path) -> Result<Self, Failure> {
        let (place, file) = (data.display(), data.join(FILE));
        if !tokio::fs::try_exists(&file).await.unwrap_or(false) {
            return Err(format!("there is no store in {place}: it has no file {FILE}").into());
        }
        let lock = DirectoryLock::take(data).await.map_err(|failure| match failure.is::<super::InUse>() {
            true => Failure::from(format!("{failure}: stop it first")),
            false => failure,
        })?;
        let options = SqliteConnectOptions::new().filename(&file).read_only(true);
        let mut records = SqliteConnection::connect_with(&options)
            .await
            .map_err(|error| format!("the file {} cannot be opened: {error}", file.display()))?;
        check_version(&mut records).await.map_err(|problem| format!("the store in {place} {problem}"))?;
        Ok(Self { records, objects: data.join(OBJECTS), _lock: lock })
    }

    /// How many rows a table has.
    pub async fn count(&mut self, table: &Table) -> Result<u64, Failure> {
        let count = format!("SELECT count(*) FROM {}", table.origin);
        let count: i64 = sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(&mut self.records).await?;
        Ok(u64::try_from(count)?)
    }

    /// The rows of a table, one after the other.
    pub fn rows(&mut self, table: &'static Table) -> impl Stream<Item = Result<Vec<Cell>, Failure>> + Unpin {
        let select = AssertSqlSafe(table.select(table.origin));
        let rows = sqlx::query(select).fetch(&mut self.records);
        rows.map(|row| {
            let row = row?;
            let cells = table.columns.iter().map(|column| {
                cell(&row, column.name, column.kind)
                    .map_err(|error| format!("{} of {} cannot be read: {error}", column.name, table.name))
            });
            Ok(cells.collect::<Result<_, _>>()?)
        })
    }

    /// All objects.
    pub fn objects(&self) -> Folders {
        Folders { root: self.objects.clone(), next: 0, open: None }
    }
}

pub(super) fn cell(row: &SqliteRow, column: &str, kind: Kind) -> Result<Cell, Failure> {
    Ok(match kind {
        Kind::Text => row.text(column)?.map(|text| Cell::Text(text.to_owned())),
        Kind::Number => row.number(column)?.map(Cell::Number),
        Kind::Decimal => row.try_get::<Option<f64>, _>(column)?.map(Cell::Decimal),
        Kind::Flag => row.try_get::<Option<bool>, _>(column)?.map(Cell::Flag),
        Kind::Id => match row.text(column)? {
            None => None,
            text => Some(Cell::Id(cells::uuid(text)?)),
        },
    }
    .unwrap_or(Cell::Null))
}

/// What is read here has the schema of this version, no older and no newer one.
pub(super) async fn check_version(records: &mut SqliteConnection) -> Result<(), String> {
    let applied: Vec<(i64, Vec<u8>)> = sqlx::query_as(APPLIED)
        .fetch_all(records)
        .await
        .map_err(|error| format!("cannot be read: {error}"))?;
    let known: Vec<(i64, Vec<u8>)> =
        MIGRATIONS.iter().map(|migration| (migration.version, migration.checksum.to_vec())).collect();
    if applied == known {
        return Ok(());
    }
    Err(match known.starts_with(&applied) {
        true => "was made by an older version; run `gridbroker serve` on it once, stop it, and copy again",
        false => "was made by another version: use that one",
    }
    .to_owned())
}

/// The objects of a directory, folder by folder.
pub struct Folders {
    root: PathBuf,
    /// Number of the folder after the one that is open; 256 is past the last.
    next: usize,
    open: Option<ReadDir>,
}

impl Folders {
    /// How many objects there are.
    pub async fn count(&self) -> Result<u64, Failure> {
        let mut all = Self { root: self.root.clone(), next: 0, open: None };
        let mut count = 0;
        while all.next_path().await?.is_some() {
            count += 1;
        }
        Ok(count)
    }

    /// The next object; `None` after the last.
    pub async fn next(&mut self) -> Result<Option<Object>, Failure> {
        let Some((name, path)) = self.next_path().await? else { return Ok(None) };
        let file = File::open(&path).await.map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Some(Object { name, file, path, chunks: 0, is_over: false }))
    }

    /// Name and place of the next object. A file that does not lie where its name leads is none: nobody
    /// would find it.
    async fn next_path(&mut self) -> Result<Option<(String, PathBuf)>, Failure> {
        loop {
            let Some(folder) = &mut self.open else {
                if self.next > usize::from(u8::MAX) {
                    return Ok(None);
                }
                self.open = match tokio::fs::read_dir(self.folder(self.next)).await {
                    Ok(folder) => Some(folder),
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
                    Err(error) => return Err(format!("{}: {error}", self.root.display()).into()),
                };
                self.next += 1;
                continue;
            };
            let Some(entry) = folder.next_entry().await? else {
                self.open = None;
                continue;
            };
            let name = entry.file_name().to_string_lossy().into_owned();
            let folder = self.folder(self.next - 1);
            if check_object_name(&name).is_ok() && folder == self.root.join(folder_of(&name)) {
                return Ok(Some((name, entry.path())));
            }
        }
    }

    fn folder(&self, number: usize) -> PathBuf {
        self.root.join(format!("{number:02x}"))
    }
}

/// An object that is being read.
pub struct Object {
    name: String,
    file: File,
    path: PathBuf,
    chunks: u64,
    is_over: bool,
}

impl Object {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its next chunk; `None` after the last. An empty object has one empty chunk.
    pub async fn next_chunk(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        if self.is_over {
            return Ok(None);
        }
        let mut chunk = Vec::with_capacity(CHUNK);
        let mut rest = (&mut self.file).take(CHUNK as u64);
        rest.read_to_end(&mut chunk).await.map_err(|error| format!("{}: {error}", self.path.display()))?;
        self.is_over = chunk.len() < CHUNK;
        self.chunks += 1;
        Ok((!chunk.is_empty() || self.chunks == 1).then_some(chunk))
    }
}
