//! Statements about styles and collections.

use serde_json::Value;

use super::Condition;
use crate::backend::{Refusal, rows::StyleRows};

const MADE: &str = "INSERT INTO styles (id, kind, owner, name, info, prompt, params_json, public, nsfw, tags_json, \
         models_json, examples_json, shared_key, created_at, updated_at, revision) \
     SELECT (r ->> 0)::UUID, r ->> 1, (r ->> 2)::BIGINT, r ->> 3, r ->> 4, r ->> 5, r ->> 6, (r ->> 7)::BOOLEAN, \
         (r ->> 8)::BOOLEAN, r ->> 9, r ->> 10, r ->> 11, r ->> 12, (r ->> 13)::BIGINT, (r ->> 14)::BIGINT, \
         (r ->> 15)::BIGINT FROM jsonb_array_elements($1::JSONB) AS rows(r) ORDER BY 1";
/// Whoever waited for another change of the same style finds that the revision is no longer the one before.
const CHANGED: &str = "WITH change AS MATERIALIZED (SELECT (r ->> 0)::UUID AS id, r FROM jsonb_array_elements($1::JSONB) AS rows(r)), \
     held AS MATERIALIZED (SELECT change.* FROM styles JOIN change USING (id) \
         ORDER BY styles.id FOR NO KEY UPDATE OF styles) \
     UPDATE styles SET name = r ->> 3, info = r ->> 4, prompt = r ->> 5, params_json = r ->> 6, \
         public = (r ->> 7)::BOOLEAN, nsfw = (r ->> 8)::BOOLEAN, tags_json = r ->> 9, models_json = r ->> 10, \
         examples_json = r ->> 11, shared_key = r ->> 12, updated_at = (r ->> 14)::BIGINT, \
         revision = (r ->> 15)::BIGINT \
     FROM held WHERE styles.id = held.id AND revision = (r ->> 15)::BIGINT - 1";
const DROPPED: &str = "WITH held AS MATERIALIZED (SELECT id FROM styles WHERE id IN \
         (SELECT (r ->> 0)::UUID FROM jsonb_array_elements($1::JSONB) AS rows(r)) ORDER BY id FOR UPDATE) \
     DELETE FROM styles WHERE id IN (SELECT id FROM held)";
const COLLECTIONS_MADE: &str = "INSERT INTO style_collections (id, kind, owner, name, info, public, members_json, \
         created_at, updated_at, revision) \
     SELECT (r ->> 0)::UUID, r ->> 1, (r ->> 2)::BIGINT, r ->> 3, r ->> 4, (r ->> 5)::BOOLEAN, r ->> 6, \
         (r ->> 7)::BIGINT, (r ->> 8)::BIGINT, (r ->> 9)::BIGINT \
     FROM jsonb_array_elements($1::JSONB) AS rows(r) ORDER BY 1";
const COLLECTIONS_CHANGED: &str = "WITH change AS MATERIALIZED (SELECT (r ->> 0)::UUID AS id, r FROM jsonb_array_elements($1::JSONB) AS rows(r)), \
     held AS MATERIALIZED (SELECT change.* FROM style_collections JOIN change USING (id) \
         ORDER BY style_collections.id FOR NO KEY UPDATE OF style_collections) \
     UPDATE style_collections SET name = r ->> 3, info = r ->> 4, public = (r ->> 5)::BOOLEAN, \
         members_json = r ->> 6, updated_at = (r ->> 8)::BIGINT, revision = (r ->> 9)::BIGINT \
     FROM held WHERE style_collections.id = held.id AND revision = (r ->> 9)::BIGINT - 1";
const COLLECTIONS_DROPPED: &str = "WITH held AS MATERIALIZED (SELECT id FROM style_collections WHERE id IN \
         (SELECT (r ->> 0)::UUID FROM jsonb_array_elements($1::JSONB) AS rows(r)) ORDER BY id FOR UPDATE) \
     DELETE FROM style_collections WHERE id IN (SELECT id FROM held)";
const USES: &str = "WITH change AS (SELECT (r ->> 0)::UUID AS id, (r ->> 1)::BIGINT AS uses \
         FROM jsonb_array_elements($1::JSONB) AS rows(r)), \
     held AS MATERIALIZED (SELECT change.* FROM styles JOIN change USING (id) \
         ORDER BY styles.id FOR NO KEY UPDATE OF styles) \
     UPDATE styles SET use_count = use_count + uses FROM held WHERE styles.id = held.id";
const COLLECTION_USES: &str = "WITH change AS (SELECT (r ->> 0)::UUID AS id, (r ->> 1)::BIGINT AS uses \
         FROM jsonb_array_elements($1::JSONB) AS rows(r)), \
     held AS MATERIALIZED (SELECT change.* FROM style_collections JOIN change USING (id) \
         ORDER BY style_collections.id FOR NO KEY UPDATE OF style_collections) \
     UPDATE style_collections SET use_count = use_count + uses FROM held WHERE style_collections.id = held.id";
/// The accounts are locked by then.
const THANKS: &str = "WITH change AS (SELECT (r ->> 0)::BIGINT AS id, (r ->> 1)::BIGINT AS images, \
         (r ->> 2)::BIGINT AS texts FROM jsonb_array_elements($1::JSONB) AS rows(r)) \
     UPDATE users SET image_style_uses = image_style_uses + images, text_style_uses = text_style_uses + texts \
     FROM change WHERE users.id = change.id";

/// In the order in which they are run.
pub(in crate::backend::distributed::commit) const STATEMENTS: &[&str] = &[
    THANKS,
    MADE,
    CHANGED,
    DROPPED,
    COLLECTIONS_MADE,
    COLLECTIONS_CHANGED,
    COLLECTIONS_DROPPED,
    USES,
    COLLECTION_USES,
];

/// Statements with their rows, and what must be so.
pub(super) fn tables(rows: &StyleRows) -> [(&'static str, &Vec<Value>, Condition); 9] {
    const NEW: Condition = Condition::New(Refusal::Taken);
    let all = |rows: &Vec<Value>| Condition::All(rows.len() as u64);
    let all_new = |rows: &Vec<Value>| Condition::AllNew(rows.len() as u64, Refusal::Taken);
    [
        (THANKS, &rows.thanks, Condition::None),
        (MADE, &rows.made, NEW),
        (CHANGED, &rows.changed, all_new(&rows.changed)),
        (DROPPED, &rows.dropped, all(&rows.dropped)),
        (COLLECTIONS_MADE, &rows.collections_made, NEW),
        (COLLECTIONS_CHANGED, &rows.collections_changed, all_new(&rows.collections_changed)),
        (COLLECTIONS_DROPPED, &rows.collections_dropped, all(&rows.collections_dropped)),
        (USES, &rows.uses, Condition::None),
        (COLLECTION_USES, &rows.collection_uses, Condition::None),
    ]
}
