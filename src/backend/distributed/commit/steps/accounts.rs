//! Statements about accounts, and what is said of them.

pub(super) const USERS: &str = "INSERT INTO users (id, alias, key_hash, roles_json, concurrency, worker_invites, \
         created_at, identity, contact, admin_comment, public_workers, usage_multiplier, proxy_passkey, active_at) \
     SELECT (r ->> 0)::BIGINT, r ->> 1, r ->> 2, r ->> 3, (r ->> 4)::BIGINT, (r ->> 5)::BIGINT, (r ->> 6)::BIGINT, \
         r ->> 7, r ->> 8, r ->> 9, (r ->> 10)::BOOLEAN, (r ->> 11)::FLOAT8, r ->> 12, (r ->> 13)::BIGINT \
     FROM jsonb_array_elements($1::JSONB) AS rows(r) ORDER BY 1";
/// What is null stays. Of texts that may be taken back an empty one says so. The accounts are locked by
/// then.
pub(super) const AMENDMENTS: &str = "WITH change AS MATERIALIZED (SELECT (r ->> 0)::BIGINT AS who, r ->> 1 AS new_alias, \
         r ->> 2 AS new_key, r ->> 3 AS new_identity, r ->> 4 AS new_contact, r ->> 5 AS new_comment, \
         (r ->> 6)::BOOLEAN AS is_public, (r ->> 7)::FLOAT8 AS multiplier, r ->> 8 AS new_passkey, \
         (r ->> 9)::BIGINT AS jobs, (r ->> 10)::BIGINT AS invites, r -> 11 AS given, r -> 12 AS gone, \
         (r ->> 13)::BOOLEAN AS clears, (r ->> 14)::BIGINT AS active, \
         r ->> 15 AS old_key \
         FROM jsonb_array_elements($1::JSONB) AS rows(r)) \
     UPDATE users SET alias = coalesce(new_alias, alias), key_hash = coalesce(new_key, key_hash), \
         identity = coalesce(new_identity, identity), \
         contact = nullif(coalesce(new_contact, contact), ''), \
         admin_comment = nullif(coalesce(new_comment, admin_comment), ''), \
         public_workers = coalesce(is_public, public_workers), \
         usage_multiplier = coalesce(multiplier, usage_multiplier), \
         proxy_passkey = nullif(coalesce(new_passkey, proxy_passkey), ''), \
         concurrency = coalesce(jobs, concurrency), worker_invites = coalesce(invites, worker_invites), \
         roles_json = CASE WHEN given = '[]' AND gone = '[]' THEN roles_json ELSE (SELECT coalesce(jsonb_agg(role ORDER BY role), '[]')::TEXT FROM ( \
             SELECT role FROM jsonb_array_elements(roles_json::JSONB) AS held(role) WHERE NOT gone @> role \
             UNION SELECT role FROM jsonb_array_elements(given) AS got(role)) AS roles) END, \
         suspicion = CASE WHEN clears THEN 0 ELSE suspicion END, \
         active_at = greatest(active_at, active) \
     FROM change WHERE users.id = who AND (old_key IS NULL OR key_hash = old_key)";
pub(super) const DROP_LENT: &str = "DELETE FROM shared_keys WHERE owner IN \
     (SELECT (r ->> 0)::BIGINT FROM jsonb_array_elements($1::JSONB) AS rows(r))";
