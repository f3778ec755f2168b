//! Statements about keys that are lent.

use sqlx::SqliteConnection;

use crate::{
    backend::{Failure, Refusal, rows::Rows},
    domain::Kudos,
};

pub(super) const SHARED_KEYS: &str = "INSERT INTO shared_keys (id, key_hash, owner, name, budget, expires_at, max_image_pixels, \
     max_image_steps, max_text_tokens, created_at) SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, \
     value ->> 4, value ->> 5, value ->> 6, value ->> 7, value ->> 8, value ->> 9 FROM json_each($1)";
pub(super) const KEY_USES: &str = "UPDATE shared_keys SET budget = max(budget - (value ->> 1), 0), \
     utilized = utilized + (value ->> 1) FROM json_each($1) \
     WHERE shared_keys.id = value ->> 0 AND (budget IS NULL OR budget > 0)";
/// What is null stays, but for what says so before.
pub(super) const KEY_CHANGES: &str = "UPDATE shared_keys SET name = coalesce(value ->> 1, name), \
     budget = CASE WHEN value ->> 2 THEN value ->> 3 ELSE budget END, \
     expires_at = CASE WHEN value ->> 4 THEN value ->> 5 ELSE expires_at END, \
     max_image_pixels = CASE WHEN value ->> 6 THEN value ->> 7 ELSE max_image_pixels END, \
     max_image_steps = CASE WHEN value ->> 8 THEN value ->> 9 ELSE max_image_steps END, \
     max_text_tokens = CASE WHEN value ->> 10 THEN value ->> 11 ELSE max_text_tokens END \
     FROM json_each($1) WHERE shared_keys.id = value ->> 0";
pub(super) const DROP_KEYS: &str =
    "DELETE FROM shared_keys WHERE id IN (SELECT value ->> 0 FROM json_each($1))";

/// Each of these fails the transaction if what it says is so.
pub(super) const ALL_LENT: &str = "INSERT INTO impossible SELECT 'a key changes that is not lent' \
     WHERE changes() <> json_array_length($1)";
pub(super) const ALL_FEW: &str = "INSERT INTO impossible SELECT 'an account lends too many keys' FROM json_each($1) \
     WHERE (SELECT count(*) FROM shared_keys WHERE owner = value ->> 0) > value ->> 1";

/// What is kept of keys for requests.
pub(super) const KEY_HOLDS: &str = "INSERT INTO key_holds (request, shared_key, amount) \
     SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each($1)";
pub(super) const KEY_SPENDINGS: &str = "UPDATE key_holds SET amount = max(amount - (value ->> 1), 0) \
     FROM json_each($1) WHERE key_holds.request = value ->> 0";
/// Nothing is kept for a request that is done.
pub(super) const ALL_RESERVED: &str = "INSERT INTO impossible SELECT 'more is kept of a key than it has' \
     FROM json_each($1) JOIN shared_keys ON shared_keys.id = value ->> 0 WHERE \
     (SELECT coalesce(sum(amount), 0) FROM key_holds JOIN requests ON requests.id = request \
         WHERE shared_key = shared_keys.id AND done = 0) > budget";
/// What a key has beside all that is kept of it.
const FREE_OF_KEY: &str = "SELECT budget - (SELECT coalesce(sum(amount), 0) FROM key_holds \
         JOIN requests ON requests.id = request WHERE shared_key = shared_keys.id AND done = 0) \
     FROM shared_keys WHERE id = $1 AND budget IS NOT NULL";

pub(super) const STATEMENTS: &[&str] = &[
    SHARED_KEYS,
    KEY_USES,
    KEY_CHANGES,
    DROP_KEYS,
    ALL_LENT,
    ALL_FEW,
    KEY_HOLDS,
    KEY_SPENDINGS,
    ALL_RESERVED,
    FREE_OF_KEY,
];

/// What the first key that has too little has beside what is kept of it for others.
pub(super) async fn short(writer: &mut SqliteConnection, rows: &Rows) -> Result<Refusal, Failure> {
    for (key, own) in &rows.reserved {
        let query = sqlx::query_scalar(FREE_OF_KEY).bind(key.to_string());
        let free: Option<i64> = query.fetch_optional(&mut *writer).await?;
        if let Some(free) = free.filter(|free| *free < 0) {
            return Ok(Refusal::Overdrawn { left: Kudos(free) + *own });
        }
    }
    Err("more is kept of a key than it has, and not too much".into())
}
