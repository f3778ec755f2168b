//! Styles and collections in SQLite.

use async_trait::async_trait;
use serde_json::Value;
use sqlx::sqlite::SqliteRow;

use super::{
    SqliteRecords,
    commit::{Meaning, Step},
    records::list,
};
use crate::{
    backend::{Failure, Refusal, StyleRecords, rows::StyleRows, styles},
    domain::{
        CollectionId, SharedKeyId, StyleId, UserId,
        request::Kind,
        style::{Collection, PAGE, Query, Sort, Style, StyleName},
    },
};

const MADE: &str = "INSERT INTO styles (id, kind, owner, name, info, prompt, params_json, public, nsfw, tags_json, \
     models_json, examples_json, shared_key, created_at, updated_at, revision) \
     SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7, \
     value ->> 8, value ->> 9, value ->> 10, value ->> 11, value ->> 12, value ->> 13, value ->> 14, value ->> 15 \
     FROM json_each($1)";
const CHANGED: &str = "UPDATE styles SET name = value ->> 3, info = value ->> 4, prompt = value ->> 5, \
     params_json = value ->> 6, public = value ->> 7, nsfw = value ->> 8, tags_json = value ->> 9, \
     models_json = value ->> 10, examples_json = value ->> 11, shared_key = value ->> 12, \
     updated_at = value ->> 14, revision = value ->> 15 \
     FROM json_each($1) WHERE styles.id = value ->> 0 AND revision = (value ->> 15) - 1";
const DROPPED: &str = "DELETE FROM styles WHERE id IN (SELECT value ->> 0 FROM json_each($1))";
const COLLECTIONS_MADE: &str = "INSERT INTO style_collections (id, kind, owner, name, info, public, members_json, \
     created_at, updated_at, revision) SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, \
     value ->> 5, value ->> 6, value ->> 7, value ->> 8, value ->> 9 FROM json_each($1)";
const COLLECTIONS_CHANGED: &str = "UPDATE style_collections SET name = value ->> 3, info = value ->> 4, \
     public = value ->> 5, members_json = value ->> 6, updated_at = value ->> 8, revision = value ->> 9 \
     FROM json_each($1) WHERE style_collections.id = value ->> 0 AND revision = (value ->> 9) - 1";
const COLLECTIONS_DROPPED: &str =
    "DELETE FROM style_collections WHERE id IN (SELECT value ->> 0 FROM json_each($1))";
const USES: &str = "UPDATE styles SET use_count = use_count + (value ->> 1) FROM json_each($1) \
     WHERE styles.id = value ->> 0";
const COLLECTION_USES: &str = "UPDATE style_collections SET use_count = use_count + (value ->> 1) \
     FROM json_each($1) WHERE style_collections.id = value ->> 0";
const THANKS: &str = "UPDATE users SET image_style_uses = image_style_uses + (value ->> 1), \
     text_style_uses = text_style_uses + (value ->> 2) FROM json_each($1) WHERE users.id = value ->> 0";
/// Fails the transaction if not all of the rows before were as they had to be.
const ALL_AS_THEY_WERE: &str = "INSERT INTO impossible SELECT 'a style or a collection is not as it was' \
     WHERE changes() <> json_array_length($1)";

const STYLES: &str = "SELECT * FROM styles WHERE id IN (SELECT value FROM json_each($1))";
const STYLE_NAMED: &str = "SELECT * FROM styles WHERE name = $1 AND ($2 IS NULL OR owner = $2) \
     ORDER BY kind <> coalesce($3, kind), created_at, id LIMIT 1";
macro_rules! list_styles {
    ($order:literal) => {
        concat!(
            "SELECT * FROM styles WHERE kind = $1 AND public = 1 \
             AND ($2 IS NULL OR EXISTS (SELECT 1 FROM json_each(tags_json) AS tag WHERE tag.value = $2)) \
             AND ($3 IS NULL OR EXISTS (SELECT 1 FROM json_each(models_json) AS model WHERE model.value = $3)) \
             ORDER BY ",
            $order,
            " LIMIT $4 OFFSET $5"
        )
    };
}
const POPULAR_STYLES: &str = list_styles!("use_count DESC, created_at, id");
const OLD_STYLES: &str = list_styles!("created_at, id");
const STYLES_OF: &str = "SELECT id, kind, name FROM styles WHERE owner = $1 AND (public = 1 OR $2) \
     ORDER BY created_at, id";
const IS_FOR_STYLES: &str = "SELECT EXISTS (SELECT 1 FROM styles WHERE shared_key = $1)";
const COLLECTION: &str = "SELECT * FROM style_collections WHERE id = $1";
const COLLECTION_NAMED: &str = "SELECT * FROM style_collections WHERE name = $1 AND ($2 IS NULL OR owner = $2) \
     ORDER BY kind <> coalesce($3, kind), created_at, id LIMIT 1";
const POPULAR_COLLECTIONS: &str = "SELECT * FROM style_collections WHERE public = 1 AND kind = coalesce($1, kind) \
     ORDER BY use_count DESC, created_at, id LIMIT $2 OFFSET $3";
const OLD_COLLECTIONS: &str = "SELECT * FROM style_collections WHERE public = 1 AND kind = coalesce($1, kind) \
     ORDER BY created_at, id LIMIT $2 OFFSET $3";
const OWNED: &str = "SELECT (SELECT count(*) FROM styles WHERE owner = $1), \
     (SELECT count(*) FROM style_collections WHERE owner = $1)";

pub(super) const STATEMENTS: &[&str] = &[
    MADE,
    CHANGED,
    DROPPED,
    COLLECTIONS_MADE,
    COLLECTIONS_CHANGED,
    COLLECTIONS_DROPPED,
    USES,
    COLLECTION_USES,
    THANKS,
    ALL_AS_THEY_WERE,
    STYLES,
    STYLE_NAMED,
    POPULAR_STYLES,
    OLD_STYLES,
    STYLES_OF,
    IS_FOR_STYLES,
    COLLECTION,
    COLLECTION_NAMED,
    POPULAR_COLLECTIONS,
    OLD_COLLECTIONS,
    OWNED,
];

/// Statements in their order.
pub(super) fn steps(rows: &StyleRows) -> [Step<'_>; 13] {
    const OVERTAKEN: Meaning = Meaning::Refused(Refusal::Overtaken);
    const TAKEN: Meaning = Meaning::Refused(Refusal::Taken);
    fn step<'a>(statement: &'static str, rows: &'a [Value], meaning: Meaning) -> Step<'a> {
        (statement, rows, meaning)
    }
    [
        step(MADE, &rows.made, TAKEN),
        step(CHANGED, &rows.changed, TAKEN),
        step(ALL_AS_THEY_WERE, &rows.changed, OVERTAKEN),
        step(DROPPED, &rows.dropped, Meaning::Wrong),
        step(ALL_AS_THEY_WERE, &rows.dropped, OVERTAKEN),
        step(COLLECTIONS_MADE, &rows.collections_made, TAKEN),
        step(COLLECTIONS_CHANGED, &rows.collections_changed, TAKEN),
        step(ALL_AS_THEY_WERE, &rows.collections_changed, OVERTAKEN),
        step(COLLECTIONS_DROPPED, &rows.collections_dropped, Meaning::Wrong),
        step(ALL_AS_THEY_WERE, &rows.collections_dropped, OVERTAKEN),
        step(USES, &rows.uses, Meaning::Wrong),
        step(COLLECTION_USES, &rows.collection_uses, Meaning::Wrong),
        step(THANKS, &rows.thanks, Meaning::Wrong),
    ]
}

fn all<T>(rows: &[SqliteRow], read: impl Fn(&SqliteRow) -> Result<T, Failure>) -> Result<Vec<T>, Failure> {
    rows.iter().map(read).collect()
}

#[async_trait]
impl StyleRecords for SqliteRecords {
    async fn styles(&self, ids: &[StyleId]) -> Result<Vec<Style>, Failure> {
        all(&sqlx::query(STYLES).bind(list(ids)?).fetch_all(&self.readers).await?, styles::style)
    }

    async fn style_named(
        &self,
        name: &str,
        owner: Option<UserId>,
        kind: Option<Kind>,
    ) -> Result<Option<Style>, Failure> {
        let query = sqlx::query(STYLE_NAMED).bind(name).bind(owner.map(|owner| owner.0));
        let row = query.bind(kind.map(Kind::word)).fetch_optional(&self.readers).await?;
        row.as_ref().map(styles::style).transpose()
    }

    async fn list_styles(&self, query: &Query) -> Result<Vec<Style>, Failure> {
        let statement = if query.sort == Sort::Age { OLD_STYLES } else { POPULAR_STYLES };
        let rows = sqlx::query(statement)
            .bind(query.kind.map(Kind::word))
            .bind(query.tag.as_deref())
            .bind(query.model.as_deref())
            .bind(i64::from(PAGE))
            .bind(styles::offset(query))
            .fetch_all(&self.readers);
        all(&rows.await?, styles::style)
    }

    async fn styles_of(&self, owner: UserId, with_private: bool) -> Result<Vec<StyleName>, Failure> {
        let query = sqlx::query(STYLES_OF).bind(owner.0).bind(with_private);
        all(&query.fetch_all(&self.readers).await?, styles::style_name)
    }

    async fn is_for_styles(&self, key: SharedKeyId) -> Result<bool, Failure> {
        Ok(sqlx::query_scalar(IS_FOR_STYLES).bind(key.to_string()).fetch_one(&self.readers).await?)
    }

    async fn collection(&self, id: CollectionId) -> Result<Option<Collection>, Failure> {
        let row = sqlx::query(COLLECTION).bind(id.to_string()).fetch_optional(&self.readers).await?;
        row.as_ref().map(styles::collection).transpose()
    }

    async fn collection_named(
        &self,
        name: &str,
        owner: Option<UserId>,
        kind: Option<Kind>,
    ) -> Result<Option<Collection>, Failure> {
        let query = sqlx::query(COLLECTION_NAMED).bind(name).bind(owner.map(|owner| owner.0));
        let row = query.bind(kind.map(Kind::word)).fetch_optional(&self.readers).await?;
        row.as_ref().map(styles::collection).transpose()
    }

    async fn list_collections(&self, query: &Query) -> Result<Vec<Collection>, Failure> {
        let statement = if query.sort == Sort::Age { OLD_COLLECTIONS } else { POPULAR_COLLECTIONS };
        let rows = sqlx::query(statement)
            .bind(query.kind.map(Kind::word))
            .bind(i64::from(PAGE))
            .bind(styles::offset(query))
            .fetch_all(&self.readers);
        all(&rows.await?, styles::collection)
    }

    async fn styles_owned(&self, owner: UserId) -> Result<(usize, usize), Failure> {
        let (styles, collections): (i64, i64) =
            sqlx::query_as(OWNED).bind(owner.0).fetch_one(&self.readers).await?;
        Ok((usize::try_from(styles)?, usize::try_from(collections)?))
    }
}
