//! The promise of Records about styles and collections: they are read where they lie, so that what one
//! broker changes holds on all at once.

use async_trait::async_trait;

use super::{
    Failure,
    cells::{self, Cells},
};
use crate::domain::{
    CollectionId, SharedKeyId, StyleId, UserId,
    request::Kind,
    style::{Collection, Query, Style, StyleName},
};

/// Styles and collections, as Records have them. Those that hold none find none.
#[async_trait]
pub trait StyleRecords: Send + Sync {
    /// Those of these styles that there are, in no order.
    async fn styles(&self, _: &[StyleId]) -> Result<Vec<Style>, Failure> {
        Ok(Vec::new())
    }
    /// The oldest style of a name, of this account if one is given; one of this kind comes before others.
    async fn style_named(
        &self,
        _: &str,
        _: Option<UserId>,
        _: Option<Kind>,
    ) -> Result<Option<Style>, Failure> {
        Ok(None)
    }
    /// A page of the public styles.
    async fn list_styles(&self, _: &Query) -> Result<Vec<Style>, Failure> {
        Ok(Vec::new())
    }
    /// The styles of an account, oldest first, those that lists do not show among them if asked for.
    async fn styles_of(&self, _: UserId, _with_private: bool) -> Result<Vec<StyleName>, Failure> {
        Ok(Vec::new())
    }
    /// Whether a key that is lent pays for styles.
    async fn is_for_styles(&self, _: SharedKeyId) -> Result<bool, Failure> {
        Ok(false)
    }
    /// A collection.
    async fn collection(&self, _: CollectionId) -> Result<Option<Collection>, Failure> {
        Ok(None)
    }
    /// As [`StyleRecords::style_named`], of collections.
    async fn collection_named(
        &self,
        _: &str,
        _: Option<UserId>,
        _: Option<Kind>,
    ) -> Result<Option<Collection>, Failure> {
        Ok(None)
    }
    /// A page of the public collections.
    async fn list_collections(&self, _: &Query) -> Result<Vec<Collection>, Failure> {
        Ok(Vec::new())
    }
    /// How many styles and collections an account has.
    async fn styles_owned(&self, _: UserId) -> Result<(usize, usize), Failure> {
        Ok((0, 0))
    }
}

fn kind(row: &impl Cells) -> Result<Kind, Failure> {
    let word = cells::text(row, "kind")?;
    let known = Kind::ALL.into_iter().find(|kind| kind.word() == word);
    known.ok_or_else(|| format!("{word:?} is no kind of request").into())
}

/// A row of `styles`.
///
/// # Errors
/// It holds what no style can be.
pub(super) fn style(row: &impl Cells) -> Result<Style, Failure> {
    let shared_key = row.text("shared_key")?.map(|key| cells::uuid(Some(key))).transpose()?;
    Ok(Style {
        id: StyleId(row.id("id")?),
        kind: kind(row)?,
        owner: UserId(cells::number(row, "owner")?),
        name: cells::text(row, "name")?.to_owned(),
        info: row.text("info")?.map(str::to_owned),
        prompt: cells::text(row, "prompt")?.to_owned(),
        params: cells::json(row, "params_json")?,
        is_public: row.flag("public")?,
        nsfw: row.flag("nsfw")?,
        tags: cells::json(row, "tags_json")?,
        models: cells::json(row, "models_json")?,
        examples: cells::json(row, "examples_json")?,
        shared_key: shared_key.map(SharedKeyId),
        use_count: cells::number(row, "use_count")?,
        created_at: cells::at(row, "created_at")?,
        updated_at: cells::at(row, "updated_at")?,
        revision: cells::number(row, "revision")?,
    })
}

/// ID, kind and name of a row of `styles`.
///
/// # Errors
/// It holds what no style can be.
pub(super) fn style_name(row: &impl Cells) -> Result<StyleName, Failure> {
    let name = cells::text(row, "name")?.to_owned();
    Ok(StyleName { id: StyleId(row.id("id")?), kind: kind(row)?, name })
}

/// A row of `style_collections`.
///
/// # Errors
/// It holds what no collection can be.
pub(super) fn collection(row: &impl Cells) -> Result<Collection, Failure> {
    Ok(Collection {
        id: CollectionId(row.id("id")?),
        kind: kind(row)?,
        owner: UserId(cells::number(row, "owner")?),
        name: cells::text(row, "name")?.to_owned(),
        info: row.text("info")?.map(str::to_owned),
        is_public: row.flag("public")?,
        members: cells::json(row, "members_json")?,
        use_count: cells::number(row, "use_count")?,
        created_at: cells::at(row, "created_at")?,
        updated_at: cells::at(row, "updated_at")?,
        revision: cells::number(row, "revision")?,
    })
}

/// Rows passed over before a page.
pub(super) fn offset(query: &Query) -> i64 {
    i64::from(query.page) * i64::from(crate::domain::style::PAGE)
}
