//! Statements about keys that are lent.

pub(super) const SHARED_KEYS: &str = "INSERT INTO shared_keys (id, key_hash, owner, name, budget, expires_at, max_image_pixels, \
         max_image_steps, max_text_tokens, created_at) \
     SELECT (r ->> 0)::UUID, r ->> 1, (r ->> 2)::BIGINT, r ->> 3, (r ->> 4)::BIGINT, (r ->> 5)::BIGINT, (r ->> 6)::BIGINT, \
         (r ->> 7)::BIGINT, (r ->> 8)::BIGINT, (r ->> 9)::BIGINT FROM jsonb_array_elements($1::JSONB) AS rows(r) ORDER BY 1";
pub(super) const KEY_USES: &str = "WITH change AS (SELECT (r ->> 0)::UUID AS id, (r ->> 1)::BIGINT AS amount \
         FROM jsonb_array_elements($1::JSONB) AS rows(r)), \
     held AS MATERIALIZED (SELECT change.* FROM shared_keys JOIN change USING (id) \
         ORDER BY shared_keys.id FOR NO KEY UPDATE OF shared_keys) \
     UPDATE shared_keys SET budget = greatest(budget - amount, CASE WHEN budget IS NULL THEN NULL ELSE 0 END), \
         utilized = utilized + amount \
     FROM held WHERE shared_keys.id = held.id AND (budget IS NULL OR budget > 0)";
/// What is null stays, but for what says so before.
pub(super) const KEY_CHANGES: &str = "WITH change AS (SELECT (r ->> 0)::UUID AS id, r ->> 1 AS name, \
         (r ->> 2)::INTEGER AS has_budget, (r ->> 3)::BIGINT AS budget, \
         (r ->> 4)::INTEGER AS has_end, (r ->> 5)::BIGINT AS expires_at, \
         (r ->> 6)::INTEGER AS has_pixels, (r ->> 7)::BIGINT AS pixels, \
         (r ->> 8)::INTEGER AS has_steps, (r ->> 9)::BIGINT AS steps, \
         (r ->> 10)::INTEGER AS has_tokens, (r ->> 11)::BIGINT AS tokens \
         FROM jsonb_array_elements($1::JSONB) AS rows(r)), \
     held AS MATERIALIZED (SELECT change.* FROM shared_keys JOIN change USING (id) \
         ORDER BY shared_keys.id FOR NO KEY UPDATE OF shared_keys) \
     UPDATE shared_keys SET name = coalesce(held.name, shared_keys.name), \
         budget = CASE WHEN has_budget = 1 THEN held.budget ELSE shared_keys.budget END, \
         expires_at = CASE WHEN has_end = 1 THEN held.expires_at ELSE shared_keys.expires_at END, \
         max_image_pixels = CASE WHEN has_pixels = 1 THEN pixels ELSE max_image_pixels END, \
         max_image_steps = CASE WHEN has_steps = 1 THEN steps ELSE max_image_steps END, \
         max_text_tokens = CASE WHEN has_tokens = 1 THEN tokens ELSE max_text_tokens END \
     FROM held WHERE shared_keys.id = held.id";
pub(super) const DROP_KEYS: &str = "DELETE FROM shared_keys WHERE id IN \
     (SELECT (r ->> 0)::UUID FROM jsonb_array_elements($1::JSONB) AS rows(r))";
/// Accounts that lend more keys than they may. They are locked by then, and so is whoever else lends one of
/// theirs.
pub(super) const TOO_MANY_KEYS: &str = "SELECT owner FROM (SELECT (r ->> 0)::BIGINT AS owner, \
         (r ->> 1)::BIGINT AS most FROM jsonb_array_elements($1::JSONB) AS rows(r)) AS whose \
     WHERE (SELECT count(*) FROM shared_keys WHERE shared_keys.owner = whose.owner) > most";
/// What is kept of keys for requests.
pub(super) const KEY_HOLDS: &str = "INSERT INTO key_holds (request, shared_key, amount) \
     SELECT (r ->> 0)::UUID, (r ->> 1)::UUID, (r ->> 2)::BIGINT FROM jsonb_array_elements($1::JSONB) AS rows(r) \
     ORDER BY 1";
pub(super) const KEY_SPENDINGS: &str = "WITH change AS (SELECT (r ->> 0)::UUID AS request, \
         (r ->> 1)::BIGINT AS spent FROM jsonb_array_elements($1::JSONB) AS rows(r)), \
     held AS MATERIALIZED (SELECT change.* FROM key_holds JOIN change USING (request) \
         ORDER BY key_holds.request FOR NO KEY UPDATE OF key_holds) \
     UPDATE key_holds SET amount = greatest(amount - spent, 0) FROM held WHERE key_holds.request = held.request";
/// Keys of which more is kept than they have, and what they have beside that. Those who lend them are locked
/// by then, and so is whoever keeps something of theirs. Nothing is kept for a request that is done.
pub(super) const OVERDRAWN: &str = "SELECT id, budget - kept FROM \
         (SELECT shared_keys.id, budget, (SELECT coalesce(sum(amount), 0)::BIGINT FROM key_holds \
             JOIN requests ON requests.id = request WHERE shared_key = shared_keys.id AND NOT done) AS kept \
          FROM shared_keys JOIN (SELECT (r ->> 0)::UUID AS id FROM jsonb_array_elements($1::JSONB) AS rows(r)) \
              AS whose USING (id)) AS budgets \
     WHERE kept > budget";
