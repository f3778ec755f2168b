//! Statements about workers: who they are, what they say and what they did.

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
