//! Statements about what is thought of workers, and what holds for everybody.

pub(super) const ROLES: &str = "WITH change AS (SELECT (r ->> 0)::BIGINT AS id, r -> 1 AS role \
         FROM jsonb_array_elements($1::JSONB) AS rows(r)), \
     held AS MATERIALIZED (SELECT change.* FROM users JOIN change USING (id) \
         ORDER BY users.id FOR NO KEY UPDATE OF users) \
     UPDATE users SET roles_json = (roles_json::JSONB || role)::TEXT FROM held \
     WHERE users.id = held.id AND NOT roles_json::JSONB @> role";
pub(super) const RULINGS: &str = "WITH change AS (SELECT (r ->> 0)::UUID AS id, (r ->> 1)::INTEGER AS has_maintenance, \
         r ->> 2 AS maintenance, r ->> 3 AS info, (r ->> 4)::INTEGER AS paused, r ->> 5 AS name, \
         (r ->> 6)::INTEGER AS has_team, r ->> 7 AS team, (r ->> 8)::INTEGER AS clears, \
         (r ->> 9)::BIGINT AS once, (r ->> 10)::BIGINT AS again \
         FROM jsonb_array_elements($1::JSONB) AS rows(r)), \
     held AS MATERIALIZED (SELECT change.* FROM workers JOIN change USING (id) \
         ORDER BY workers.id FOR NO KEY UPDATE OF workers) \
     UPDATE workers SET \
         maintenance = CASE WHEN has_maintenance = 1 THEN held.maintenance ELSE workers.maintenance END, \
         info = coalesce(held.info, workers.info), paused = coalesce(held.paused = 1, workers.paused), \
         name = coalesce(held.name, workers.name), \
         team = CASE WHEN has_team = 1 THEN held.team ELSE workers.team END, \
         suspected_once = CASE WHEN clears = 1 THEN 0 ELSE suspected_once END | once, \
         suspected_again = CASE WHEN clears = 1 THEN 0 ELSE suspected_again END + again \
     FROM held WHERE workers.id = held.id";
pub(super) const DROP_WORKERS: &str = "WITH named AS MATERIALIZED (SELECT (r ->> 0)::UUID AS id \
         FROM jsonb_array_elements($1::JSONB) AS rows(r)) \
     DELETE FROM workers WHERE id IN (SELECT id FROM named) \
         AND NOT EXISTS (SELECT 1 FROM attempts WHERE worker = workers.id AND state = 'open')";
pub(super) const MODES: &str = "INSERT INTO modes (name, is_on) SELECT r ->> 0, (r ->> 1)::BOOLEAN \
     FROM jsonb_array_elements($1::JSONB) AS rows(r) ORDER BY 1 \
     ON CONFLICT (name) DO UPDATE SET is_on = excluded.is_on";
pub(super) const MESSAGES: &str = "INSERT INTO worker_messages (id, worker, author, message, origin, created_at, expires_at) \
     SELECT (r ->> 0)::UUID, r ->> 1, (r ->> 2)::BIGINT, r ->> 3, r ->> 4, (r ->> 5)::BIGINT, (r ->> 6)::BIGINT \
     FROM jsonb_array_elements($1::JSONB) AS rows(r) ORDER BY 1 ON CONFLICT DO NOTHING";
pub(super) const DROP_MESSAGES: &str = "DELETE FROM worker_messages WHERE id IN \
     (SELECT (r ->> 0)::UUID FROM jsonb_array_elements($1::JSONB) AS rows(r))";
pub(super) const TIMEOUTS: &str = "INSERT INTO timeouts (network, expires_at) SELECT r ->> 0, (r ->> 1)::BIGINT \
     FROM jsonb_array_elements($1::JSONB) AS rows(r) ORDER BY 1 \
     ON CONFLICT (network) DO UPDATE SET expires_at = excluded.expires_at";
pub(super) const DROP_TIMEOUTS: &str = "DELETE FROM timeouts WHERE network IN \
     (SELECT r ->> 0 FROM jsonb_array_elements($1::JSONB) AS rows(r))";
/// Only the next reward counts. Two brokers wait for each other at the worker's row.
pub(super) const UPTIME_REWARDS: &str = "WITH change AS (SELECT (r ->> 0)::UUID AS id, (r ->> 1)::BIGINT AS number \
         FROM jsonb_array_elements($1::JSONB) AS rows(r)), \
     held AS MATERIALIZED (SELECT change.* FROM workers JOIN change USING (id) \
         ORDER BY workers.id FOR NO KEY UPDATE OF workers) \
     UPDATE workers SET uptime_rewards = number FROM held \
     WHERE workers.id = held.id AND uptime_rewards = number - 1";
pub(super) const WORKERS: &str = "INSERT INTO workers (id, name, owner, created_at, seen_at, profile_json, maintenance, \
         kind, address, suspected_once) \
     SELECT (r ->> 0)::UUID, r ->> 1, (r ->> 2)::BIGINT, (r ->> 3)::BIGINT, (r ->> 4)::BIGINT, r ->> 5, r ->> 6, \
         r ->> 7, r ->> 8, (r ->> 9)::BIGINT FROM jsonb_array_elements($1::JSONB) AS rows(r) ORDER BY 1";
/// The accounts are locked by then, so that whoever made a worker of one of them before is done, and
/// that worker is counted.
pub(super) const FLEETS: &str = "SELECT owner, (SELECT count(*) FROM workers WHERE workers.owner = whose.owner AND kind <> 'alchemy') \
     FROM (SELECT (r ->> 0)::BIGINT AS owner FROM jsonb_array_elements($1::JSONB) AS rows(r)) AS whose";
pub(super) const WORDS: &str = "WITH change AS (SELECT (r ->> 0)::UUID AS id, (r ->> 1)::BIGINT AS seen_at, \
         r ->> 2 AS profile_json, r ->> 3 AS address FROM jsonb_array_elements($1::JSONB) AS rows(r)), \
     held AS MATERIALIZED (SELECT change.* FROM workers JOIN change USING (id) \
         ORDER BY workers.id FOR NO KEY UPDATE OF workers) \
     UPDATE workers SET seen_at = held.seen_at, profile_json = held.profile_json, \
         address = held.address FROM held WHERE workers.id = held.id";
pub(super) const WORKER_COUNTS: &str = "WITH change AS (SELECT (r ->> 0)::UUID AS id, (r ->> 1)::BIGINT AS fulfilled, \
         (r ->> 2)::BIGINT AS uncompleted, (r ->> 3)::FLOAT8 AS things, (r ->> 4)::BIGINT AS generated, \
         (r ->> 5)::BIGINT AS uptime, r -> 6 AS speeds, (r ->> 7)::BIGINT AS uptime_kudos, \
         (r ->> 8)::BIGINT AS unpaid FROM jsonb_array_elements($1::JSONB) AS rows(r)), \
     held AS MATERIALIZED (SELECT change.* FROM workers JOIN change USING (id) \
         ORDER BY workers.id FOR NO KEY UPDATE OF workers) \
     UPDATE workers SET \
         fulfilled = workers.fulfilled + held.fulfilled, \
         uncompleted = workers.uncompleted + held.uncompleted, \
         things = workers.things + held.things, generated = workers.generated + held.generated, \
         uptime_seconds = uptime_seconds + uptime, \
         uptime_kudos = workers.uptime_kudos + held.uptime_kudos, unpaid_seconds = unpaid_seconds + unpaid, \
         speeds_json = (SELECT coalesce(jsonb_agg(speed ORDER BY place), '[]')::TEXT FROM ( \
             SELECT speed, place FROM jsonb_array_elements(speeds_json::JSONB) WITH ORDINALITY AS old(speed, place) \
             UNION ALL \
             SELECT speed, 1000 + place FROM jsonb_array_elements(speeds) WITH ORDINALITY AS new(speed, place) \
             ORDER BY place DESC LIMIT 20) AS newest) \
     FROM held WHERE workers.id = held.id";
