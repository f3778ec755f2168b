//! Objects in PostgreSQL, in chunks: no value grows large, and none is held in memory twice.

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt;
use sqlx::{Connection, PgPool};

use super::{
    connect::ANSWER,
    session::Session,
    trouble::{Trouble, again},
};
use crate::backend::{Beginning, Blobs, Failure, check_object_name};

/// Bytes of a chunk.
pub const CHUNK: usize = 256 * 1024;
/// Chunks that one statement writes.
const AT_ONCE: usize = 8;
/// Largest object, in bytes.
const MOST: usize = 64 * 1024 * 1024;

/// Chunk by chunk in the order of their numbers, so that of two writers one waits at the first chunk
/// and then replaces them all.
const PUT: &str = "INSERT INTO blobs (name, chunk, content) \
     SELECT $1, $2 + place - 1, content FROM unnest($3::BYTEA[]) WITH ORDINALITY AS chunks(content, place) \
     ORDER BY place ON CONFLICT (name, chunk) DO UPDATE SET content = excluded.content";
const CUT: &str = "DELETE FROM blobs WHERE name = $1 AND chunk >= $2";
const GET: &str = "SELECT content FROM blobs WHERE name = $1 ORDER BY chunk";
const BEGINNING: &str = "SELECT substr(content, 1, $2), \
     (SELECT sum(length(content)) FROM blobs WHERE name = $1)::BIGINT FROM blobs WHERE name = $1 AND chunk = 0";
const EXISTS: &str = "SELECT EXISTS (SELECT 1 FROM blobs WHERE name = $1 AND chunk = 0)";
const DELETE: &str = "DELETE FROM blobs WHERE name = $1";
const NAMES: &str =
    "SELECT name FROM blobs WHERE chunk = 0 AND name > $1 AND name < $2 ORDER BY name LIMIT $3";

pub(super) const STATEMENTS: &[&str] = &[PUT, CUT, GET, BEGINNING, EXISTS, DELETE, NAMES];

/// Objects as rows.
pub struct PgBlobs {
    pool: PgPool,
}

impl PgBlobs {
    /// Objects over a database whose schema is up to date.
    pub(super) fn over(pool: PgPool) -> Self {
        Self { pool }
    }

    async fn put(&self, name: &str, content: &[u8]) -> Result<(), Trouble> {
        let mut session = Session::of(&self.pool).await?;
        let mut tx = session.begin().await?;
        // An empty object has one empty chunk.
        let chunks: Vec<&[u8]> =
            if content.is_empty() { vec![content] } else { content.chunks(CHUNK).collect() };
        let mut first = 0i64;
        for some in chunks.chunks(AT_ONCE) {
            sqlx::query(PUT).bind(name).bind(first).bind(some).execute(&mut *tx).await?;
            first += some.len() as i64;
        }
        sqlx::query(CUT).bind(name).bind(first).execute(&mut *tx).await?;
        tx.commit().await?;
        session.release();
        Ok(())
    }

    async fn get(&self, name: &str) -> Result<Option<Bytes>, Trouble> {
        let mut session = Session::of(&self.pool).await?;
        let mut content: Option<BytesMut> = None;
        {
            // One statement sees one version of the object.
            let mut chunks = sqlx::query_scalar::<_, Vec<u8>>(GET).bind(name).fetch(&mut *session);
            while let Some(chunk) = chunks.try_next().await? {
                content.get_or_insert_default().extend_from_slice(&chunk);
            }
        }
        session.release();
        Ok(content.map(BytesMut::freeze))
    }

    async fn beginning(&self, name: &str, most: i32) -> Result<Option<(Vec<u8>, i64)>, Trouble> {
        let mut session = Session::of(&self.pool).await?;
        let found = sqlx::query_as(BEGINNING).bind(name).bind(most).fetch_optional(&mut *session).await?;
        session.release();
        Ok(found)
    }

    async fn exists(&self, name: &str) -> Result<bool, Trouble> {
        let mut session = Session::of(&self.pool).await?;
        let exists = sqlx::query_scalar(EXISTS).bind(name).fetch_one(&mut *session).await?;
        session.release();
        Ok(exists)
    }

    async fn delete(&self, name: &str) -> Result<(), Trouble> {
        let mut session = Session::of(&self.pool).await?;
        sqlx::query(DELETE).bind(name).execute(&mut *session).await?;
        session.release();
        Ok(())
    }

    async fn names(&self, after: &str, before: &str, most: i64) -> Result<Vec<String>, Trouble> {
        let mut session = Session::of(&self.pool).await?;
        let names = sqlx::query_scalar(NAMES).bind(after).bind(before).bind(most);
        let names = names.fetch_all(&mut *session).await?;
        session.release();
        Ok(names)
    }
}

#[async_trait]
impl Blobs for PgBlobs {
    async fn put(&self, name: &str, content: Bytes) -> Result<(), Failure> {
        check_object_name(name)?;
        if content.len() > MOST {
            return Err(
                format!("an object of {} bytes is too large: {MOST} are allowed", content.len()).into()
            );
        }
        // Some 4 MB a second at least.
        Ok(again(ANSWER * 2, || self.put(name, &content)).await?)
    }

    async fn get(&self, name: &str) -> Result<Option<Bytes>, Failure> {
        check_object_name(name)?;
        Ok(again(ANSWER * 2, || self.get(name)).await?)
    }

    /// No more than a chunk of it.
    async fn beginning(&self, name: &str, most: usize) -> Result<Option<Beginning>, Failure> {
        check_object_name(name)?;
        let most = i32::try_from(most.min(CHUNK))?;
        let Some((content, size)) = again(ANSWER, || self.beginning(name, most)).await? else {
            return Ok(None);
        };
        let size_bytes = u64::try_from(size)?;
        Ok(Some(Beginning { content: content.into(), size_bytes, version: String::new() }))
    }

    async fn exists(&self, name: &str) -> Result<bool, Failure> {
        check_object_name(name)?;
        Ok(again(ANSWER, || self.exists(name)).await?)
    }

    async fn delete(&self, name: &str) -> Result<(), Failure> {
        check_object_name(name)?;
        Ok(again(ANSWER, || self.delete(name)).await?)
    }

    async fn names(&self, after: &str, before: &str, most: usize) -> Result<Vec<String>, Failure> {
        let most = i64::try_from(most)?;
        Ok(again(ANSWER, || self.names(after, before, most)).await?)
    }
}
