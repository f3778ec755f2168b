//! Rows of styles and collections.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Value, json};
use uuid::Uuid;

use super::text;
use crate::{
    backend::Failure,
    domain::{
        CollectionId, StyleId, UserId,
        request::Kind,
        style::{Collection, Style, StyleChange, Use},
    },
};

/// Rows about styles and collections, by kind of change.
#[derive(Default)]
pub struct StyleRows {
    /// `[id, kind, owner, name, info, prompt, params, public, nsfw, tags, models, examples, shared_key,
    /// created_at, updated_at, revision]`
    pub made: Vec<Value>,
    /// The same, of styles that have the revision before.
    pub changed: Vec<Value>,
    /// `[id]`
    pub dropped: Vec<Value>,
    /// `[id, kind, owner, name, info, public, members, created_at, updated_at, revision]`
    pub collections_made: Vec<Value>,
    /// The same, of collections that have the revision before.
    pub collections_changed: Vec<Value>,
    /// `[id]`
    pub collections_dropped: Vec<Value>,
    /// `[id, uses]`
    pub uses: Vec<Value>,
    /// `[id, uses]`
    pub collection_uses: Vec<Value>,
    /// `[author, uses of styles of images, of texts]`. These accounts have rows among the counts of users.
    pub thanks: Vec<Value>,
}

/// Changes while they are summed up.
#[derive(Default)]
pub(super) struct StyleSums {
    /// Styles and collections that are changed or dropped: the second change of one rests on the first.
    touched: HashSet<Uuid>,
    uses: BTreeMap<StyleId, i64>,
    collection_uses: BTreeMap<CollectionId, i64>,
    thanks: BTreeMap<UserId, [i64; 2]>,
}

impl StyleRows {
    /// Adds a change; whether it could be.
    pub(super) fn add(&mut self, change: &StyleChange, sums: &mut StyleSums) -> Result<bool, Failure> {
        let is_first = match change {
            StyleChange::Changed(style) => sums.touched.insert(style.id.0),
            StyleChange::Dropped(id) => sums.touched.insert(id.0),
            StyleChange::CollectionChanged(collection) => sums.touched.insert(collection.id.0),
            StyleChange::CollectionDropped(id) => sums.touched.insert(id.0),
            StyleChange::Made(_) | StyleChange::CollectionMade(_) | StyleChange::Used(_) => true,
        };
        if !is_first {
            return Ok(false);
        }
        match change {
            StyleChange::Made(style) => self.made.push(style_row(style)?),
            StyleChange::Changed(style) => self.changed.push(style_row(style)?),
            StyleChange::Dropped(id) => self.dropped.push(json!([id])),
            StyleChange::CollectionMade(made) => self.collections_made.push(collection_row(made)?),
            StyleChange::CollectionChanged(changed) => {
                self.collections_changed.push(collection_row(changed)?)
            }
            StyleChange::CollectionDropped(id) => self.collections_dropped.push(json!([id])),
            StyleChange::Used(used) => sums.count(used),
        }
        Ok(true)
    }

    pub(super) fn sum_up(&mut self, sums: StyleSums) {
        self.uses = sums.uses.iter().map(|(id, uses)| json!([id, uses])).collect();
        self.collection_uses = sums.collection_uses.iter().map(|(id, uses)| json!([id, uses])).collect();
        let thanks = sums.thanks.iter();
        self.thanks = thanks.map(|(author, [images, texts])| json!([author, images, texts])).collect();
    }
}

impl StyleSums {
    fn count(&mut self, used: &Use) {
        *self.uses.entry(used.style).or_default() += 1;
        if let Some(collection) = used.collection {
            *self.collection_uses.entry(collection).or_default() += 1;
        }
        if let Some(author) = used.thanked {
            self.thanks.entry(author).or_default()[usize::from(used.kind == Kind::Text)] += 1;
        }
    }
}

fn style_row(style: &Style) -> Result<Value, Failure> {
    Ok(json!([
        style.id,
        style.kind.word(),
        style.owner,
        style.name,
        style.info,
        style.prompt,
        text(&style.params)?,
        u8::from(style.is_public),
        u8::from(style.nsfw),
        text(&style.tags)?,
        text(&style.models)?,
        text(&style.examples)?,
        style.shared_key,
        style.created_at,
        style.updated_at,
        style.revision
    ]))
}

fn collection_row(collection: &Collection) -> Result<Value, Failure> {
    Ok(json!([
        collection.id,
        collection.kind.word(),
        collection.owner,
        collection.name,
        collection.info,
        u8::from(collection.is_public),
        text(&collection.members)?,
        collection.created_at,
        collection.updated_at,
        collection.revision
    ]))
}
