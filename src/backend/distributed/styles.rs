//! Styles and collections in PostgreSQL.

use async_trait::async_trait;
use sqlx::{
    Postgres,
    postgres::{PgArguments, PgRow},
    query::Query as Statement,
};
use uuid::Uuid;

use super::{
    connect::ANSWER,
    records::PgRecords,
    session::Session,
    trouble::{Trouble, again},
};
use crate::{
    backend::{Failure, StyleRecords, styles},
    domain::{
        CollectionId, SharedKeyId, StyleId, UserId,
        request::Kind,
        style::{Collection, PAGE, Query, Sort, Style, StyleName},
    },
};

const STYLES: &str = "SELECT * FROM styles WHERE id = ANY($1)";
const STYLE_NAMED: &str = "SELECT * FROM styles WHERE name = $1 AND ($2::BIGINT IS NULL OR owner = $2) \
     ORDER BY kind <> coalesce($3::TEXT, kind), created_at, id LIMIT 1";
macro_rules! list_styles {
    ($order:literal) => {
        concat!(
            "SELECT * FROM styles WHERE kind = $1 AND public \
             AND ($2::TEXT IS NULL OR tags_json::JSONB @> to_jsonb($2::TEXT)) \
             AND ($3::TEXT IS NULL OR models_json::JSONB @> to_jsonb($3::TEXT)) \
             ORDER BY ",
            $order,
            " LIMIT $4 OFFSET $5"
        )
    };
}
const POPULAR_STYLES: &str = list_styles!("use_count DESC, created_at, id");
const OLD_STYLES: &str = list_styles!("created_at, id");
const STYLES_OF: &str = "SELECT id, kind, name FROM styles WHERE owner = $1 AND (public OR $2::BOOLEAN) \
     ORDER BY created_at, id";
const FOR_STYLES: &str = "SELECT id FROM styles WHERE shared_key = $1 LIMIT 1";
const COLLECTION: &str = "SELECT * FROM style_collections WHERE id = $1";
const COLLECTION_NAMED: &str = "SELECT * FROM style_collections WHERE name = $1 AND ($2::BIGINT IS NULL OR owner = $2) \
     ORDER BY kind <> coalesce($3::TEXT, kind), created_at, id LIMIT 1";
const POPULAR_COLLECTIONS: &str = "SELECT * FROM style_collections WHERE public AND kind = coalesce($1::TEXT, kind) \
     ORDER BY use_count DESC, created_at, id LIMIT $2 OFFSET $3";
const OLD_COLLECTIONS: &str = "SELECT * FROM style_collections WHERE public AND kind = coalesce($1::TEXT, kind) \
     ORDER BY created_at, id LIMIT $2 OFFSET $3";
const OWNED: &str = "SELECT (SELECT count(*) FROM styles WHERE owner = $1) AS styles, \
     (SELECT count(*) FROM style_collections WHERE owner = $1) AS collections";

pub(super) const STATEMENTS: &[&str] = &[
    STYLES,
    STYLE_NAMED,
    POPULAR_STYLES,
    OLD_STYLES,
    STYLES_OF,
    FOR_STYLES,
    COLLECTION,
    COLLECTION_NAMED,
    POPULAR_COLLECTIONS,
    OLD_COLLECTIONS,
    OWNED,
];

type Asked = Statement<'static, Postgres, PgArguments>;

impl PgRecords {
    /// Rows, read as values.
    async fn all<T>(
        &self,
        ask: impl Fn() -> Asked + Send + Sync,
        read: impl Fn(&PgRow) -> Result<T, Failure> + Send + Sync,
    ) -> Result<Vec<T>, Failure> {
        let rows = again(ANSWER, || self.rows(ask())).await?;
        rows.iter().map(read).collect()
    }

    async fn rows(&self, asked: Asked) -> Result<Vec<PgRow>, Trouble> {
        let mut session = Session::of(&self.pool).await?;
        let rows = asked.fetch_all(&mut *session).await?;
        session.release();
        Ok(rows)
    }
}

/// A name, as it was stored.
fn stored(name: &str) -> String {
    name.replace('\0', "\u{fffd}")
}

#[async_trait]
impl StyleRecords for PgRecords {
    async fn styles(&self, ids: &[StyleId]) -> Result<Vec<Style>, Failure> {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
        self.all(|| sqlx::query(STYLES).bind(ids.clone()), styles::style).await
    }

    async fn style_named(
        &self,
        name: &str,
        owner: Option<UserId>,
        kind: Option<Kind>,
    ) -> Result<Option<Style>, Failure> {
        let (name, owner, kind) = (stored(name), owner.map(|owner| owner.0), kind.map(Kind::word));
        let ask = || sqlx::query(STYLE_NAMED).bind(name.clone()).bind(owner).bind(kind);
        Ok(self.all(ask, styles::style).await?.pop())
    }

    async fn list_styles(&self, query: &Query) -> Result<Vec<Style>, Failure> {
        let statement = if query.sort == Sort::Age { OLD_STYLES } else { POPULAR_STYLES };
        let ask = || {
            sqlx::query(statement)
                .bind(query.kind.map(Kind::word))
                .bind(query.tag.as_deref().map(stored))
                .bind(query.model.as_deref().map(stored))
                .bind(i64::from(PAGE))
                .bind(styles::offset(query))
        };
        self.all(ask, styles::style).await
    }

    async fn styles_of(&self, owner: UserId, with_private: bool) -> Result<Vec<StyleName>, Failure> {
        self.all(|| sqlx::query(STYLES_OF).bind(owner.0).bind(with_private), styles::style_name).await
    }

    async fn is_for_styles(&self, key: SharedKeyId) -> Result<bool, Failure> {
        Ok(!self.all(|| sqlx::query(FOR_STYLES).bind(key.to_string()), |_| Ok(())).await?.is_empty())
    }

    async fn collection(&self, id: CollectionId) -> Result<Option<Collection>, Failure> {
        Ok(self.all(|| sqlx::query(COLLECTION).bind(id.0), styles::collection).await?.pop())
    }

    async fn collection_named(
        &self,
        name: &str,
        owner: Option<UserId>,
        kind: Option<Kind>,
    ) -> Result<Option<Collection>, Failure> {
        let (name, owner, kind) = (stored(name), owner.map(|owner| owner.0), kind.map(Kind::word));
        let ask = || sqlx::query(COLLECTION_NAMED).bind(name.clone()).bind(owner).bind(kind);
        Ok(self.all(ask, styles::collection).await?.pop())
    }

    async fn list_collections(&self, query: &Query) -> Result<Vec<Collection>, Failure> {
        let statement = if query.sort == Sort::Age { OLD_COLLECTIONS } else { POPULAR_COLLECTIONS };
        let ask = || {
            sqlx::query(statement)
                .bind(query.kind.map(Kind::word))
                .bind(i64::from(PAGE))
                .bind(styles::offset(query))
        };
        self.all(ask, styles::collection).await
    }

    async fn styles_owned(&self, owner: UserId) -> Result<(usize, usize), Failure> {
        use crate::backend::cells::count;
        let read = |row: &PgRow| Ok((count(row, "styles")?, count(row, "collections")?));
        let owned = self.all(|| sqlx::query(OWNED).bind(owner.0), read).await?.pop();
        owned.ok_or_else(|| "counts always have a row".into())
    }
}
