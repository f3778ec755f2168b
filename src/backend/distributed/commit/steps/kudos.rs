//! Statements about kudos.

/// Balances move by what is posted now, not by what was posted before. Counts accounts of what was put
/// aside that would have less than nothing.
pub(super) const POSTINGS: &str = "WITH posted AS (INSERT INTO postings (key, debit, credit, amount, at) \
         SELECT r ->> 0, (r ->> 1)::BIGINT, (r ->> 2)::BIGINT, (r ->> 3)::BIGINT, (r ->> 4)::BIGINT \
         FROM jsonb_array_elements($1::JSONB) AS rows(r) ORDER BY 1 \
         ON CONFLICT DO NOTHING RETURNING debit, credit, amount), \
     moved AS (SELECT account, sum(amount)::BIGINT AS amount FROM ( \
         SELECT debit AS account, -amount AS amount FROM posted \
         UNION ALL SELECT credit, amount FROM posted) AS moves \
         WHERE account >= 0 GROUP BY account ORDER BY account), \
     kept AS (INSERT INTO balances (account, amount) SELECT account, amount FROM moved \
         ON CONFLICT (account) DO UPDATE SET amount = balances.amount + excluded.amount \
         RETURNING account, amount) \
     SELECT NULL::BIGINT, NULL::TEXT, count(*) FROM kept WHERE account >= 1099511627776 AND amount < 0 \
         HAVING count(*) > 0";
pub(super) const HOLDS: &str = "INSERT INTO holds (request, owner, amount) \
     SELECT (r ->> 0)::UUID, (r ->> 1)::BIGINT, (r ->> 2)::BIGINT FROM jsonb_array_elements($1::JSONB) AS rows(r) \
     ORDER BY 1";
/// Accounts that set more aside than they have. They are locked by then, and so is whoever takes kudos
/// from them. Of what is set aside for a request, what it has cost by now is spent, and nothing is left
/// once it is done.
pub(super) const UNCOVERED: &str = "SELECT whose.owner FROM \
         (SELECT (r ->> 0)::BIGINT AS owner, (r ->> 1)::BIGINT AS floor \
          FROM jsonb_array_elements($1::JSONB) AS rows(r)) AS whose \
     WHERE (SELECT coalesce(sum(greatest(holds.amount - consumed, 0)), 0) FROM holds \
             JOIN requests ON requests.id = request WHERE holds.owner = whose.owner AND NOT done) \
         > coalesce((SELECT amount FROM balances WHERE account = whose.owner), 0) - floor";
/// The accounts are locked by then, in the order of their IDs.
pub(super) const KUDOS_COUNTS: &str = "WITH change AS (SELECT (r ->> 0)::BIGINT AS account, (r ->> 1)::BIGINT AS g, \
         (r ->> 2)::BIGINT AS d, (r ->> 3)::BIGINT AS r, (r ->> 4)::BIGINT AS m, (r ->> 5)::BIGINT AS a, \
         (r ->> 6)::BIGINT AS s, (r ->> 7)::BIGINT AS l FROM jsonb_array_elements($1::JSONB) AS rows(r)) \
     UPDATE users SET gifted = gifted + g, donated = donated + d, received = received + change.r, \
         recurring = recurring + m, awarded = awarded + a, styled = styled + s, lifts = lifts + l \
     FROM change WHERE users.id = account";
pub(super) const TRANSFERS: &str = "INSERT INTO transfers (id, sender, receiver, shared_key, amount, at) \
     SELECT (r ->> 0)::UUID, (r ->> 1)::BIGINT, (r ->> 2)::BIGINT, r ->> 3, (r ->> 4)::BIGINT, (r ->> 5)::BIGINT \
     FROM jsonb_array_elements($1::JSONB) AS rows(r) ORDER BY 1";
/// Transfers the other way that are too new. Who sends and who gets are locked by then, so that of two
/// brokers the later one sees what the other did.
pub(super) const UNCOOLED: &str = "SELECT back.id FROM jsonb_array_elements($1::JSONB) AS rows(r) \
     JOIN transfers AS back ON sender = (r ->> 2)::BIGINT AND receiver = (r ->> 1)::BIGINT \
     WHERE back.at > (r ->> 6)::BIGINT LIMIT 1";
pub(super) const KEY_FILLS: &str = "WITH change AS (SELECT (r ->> 0)::UUID AS id, (r ->> 1)::BIGINT AS amount \
         FROM jsonb_array_elements($1::JSONB) AS rows(r)), \
     held AS MATERIALIZED (SELECT change.* FROM shared_keys JOIN change USING (id) \
         ORDER BY shared_keys.id FOR NO KEY UPDATE OF shared_keys) \
     UPDATE shared_keys SET budget = budget + amount FROM held WHERE shared_keys.id = held.id";
pub(super) const MONTHLY_CHANGES: &str = "WITH change AS (SELECT (r ->> 0)::BIGINT AS id, (r ->> 1)::BIGINT AS delta, \
         (r ->> 2)::BIGINT AS at FROM jsonb_array_elements($1::JSONB) AS rows(r)) \
     UPDATE users SET monthly = greatest(monthly + delta, 0), monthly_at = coalesce(monthly_at, at) \
     FROM change WHERE users.id = change.id";
/// Only the next payment counts. Two brokers wait for each other at the account's row, which is locked by
/// then.
pub(super) const MONTHLY_PAYMENTS: &str = "WITH change AS (SELECT (r ->> 0)::BIGINT AS id, (r ->> 1)::BIGINT AS before, \
         (r ->> 2)::BIGINT AS at FROM jsonb_array_elements($1::JSONB) AS rows(r)) \
     UPDATE users SET monthly_at = at FROM change WHERE users.id = change.id AND monthly_at IS NOT DISTINCT FROM before";
