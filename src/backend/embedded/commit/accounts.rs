//! Statements about accounts, and what is said of them.

pub(super) const USERS: &str = "INSERT INTO users (id, alias, key_hash, roles_json, concurrency, worker_invites, \
     created_at, identity, contact, admin_comment, public_workers, usage_multiplier, proxy_passkey, active_at) \
     SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7, \
     value ->> 8, value ->> 9, value ->> 10, value ->> 11, value ->> 12, value ->> 13 FROM json_each($1)";
/// What is null stays. Of texts that may be taken back an empty one says so.
pub(super) const AMENDMENTS: &str = "UPDATE users SET \
     alias = coalesce(new.value ->> 1, alias), key_hash = coalesce(new.value ->> 2, key_hash), \
     identity = coalesce(new.value ->> 3, identity), \
     contact = nullif(coalesce(new.value ->> 4, contact), ''), \
     admin_comment = nullif(coalesce(new.value ->> 5, admin_comment), ''), \
     public_workers = coalesce(new.value ->> 6, public_workers), \
     usage_multiplier = coalesce(new.value ->> 7, usage_multiplier), \
     proxy_passkey = nullif(coalesce(new.value ->> 8, proxy_passkey), ''), \
     concurrency = coalesce(new.value ->> 9, concurrency), \
     worker_invites = coalesce(new.value ->> 10, worker_invites), \
     roles_json = CASE WHEN new.value -> 11 = '[]' AND new.value -> 12 = '[]' THEN roles_json \
         ELSE (SELECT json_group_array(role) FROM ( \
         SELECT held.value AS role FROM json_each(roles_json) AS held \
             WHERE held.value NOT IN (SELECT gone.value FROM json_each(new.value -> 12) AS gone) \
         UNION SELECT given.value FROM json_each(new.value -> 11) AS given)) END, \
     suspicion = CASE WHEN new.value ->> 13 THEN 0 ELSE suspicion END, \
     active_at = max(active_at, coalesce(new.value ->> 14, 0)) \
     FROM json_each($1) AS new WHERE users.id = new.value ->> 0 \
         AND (new.value ->> 15 IS NULL OR key_hash = new.value ->> 15)";
pub(super) const ALL_AMENDED: &str = "INSERT INTO impossible SELECT 'an account has another key by now' \
     WHERE changes() <> json_array_length($1)";
pub(super) const DROP_LENT: &str =
    "DELETE FROM shared_keys WHERE owner IN (SELECT value ->> 0 FROM json_each($1))";

pub(super) const STATEMENTS: &[&str] = &[USERS, AMENDMENTS, ALL_AMENDED, DROP_LENT];
