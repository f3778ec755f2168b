//! Statements about teams.

pub(super) const TEAMS: &str = "INSERT INTO teams (id, name, name_key, info, owner, created_at) \
     SELECT (r ->> 0)::UUID, r ->> 1, r ->> 2, r ->> 3, (r ->> 4)::BIGINT, (r ->> 5)::BIGINT \
     FROM jsonb_array_elements($1::JSONB) AS rows(r) ORDER BY 1";
pub(super) const TEAM_CHANGES: &str = "WITH change AS (SELECT (r ->> 0)::UUID AS id, r ->> 1 AS name, \
         r ->> 2 AS name_key, r ->> 3 AS info FROM jsonb_array_elements($1::JSONB) AS rows(r)), \
     held AS MATERIALIZED (SELECT change.* FROM teams JOIN change USING (id) \
         ORDER BY teams.id FOR NO KEY UPDATE OF teams) \
     UPDATE teams SET name = coalesce(held.name, teams.name), name_key = coalesce(held.name_key, teams.name_key), \
         info = coalesce(held.info, teams.info) FROM held WHERE teams.id = held.id";
/// Nearly last, so that the rows that many workers change are locked for no longer than the commit takes.
pub(super) const TEAM_COUNTS: &str = "WITH change AS (SELECT (r ->> 0)::UUID AS id, (r ->> 1)::BIGINT AS jobs, \
         (r ->> 2)::BIGINT AS earned, (r ->> 3)::BIGINT AS seconds FROM jsonb_array_elements($1::JSONB) AS rows(r)), \
     held AS MATERIALIZED (SELECT change.* FROM teams JOIN change USING (id) \
         ORDER BY teams.id FOR NO KEY UPDATE OF teams) \
     UPDATE teams SET fulfilled = fulfilled + jobs, kudos = kudos + earned, \
         uptime_seconds = uptime_seconds + seconds FROM held WHERE teams.id = held.id";
/// Among what is done to workers: whoever settles a job locks its worker before its team.
pub(super) const LEAVE_TEAMS: &str = "WITH held AS MATERIALIZED (SELECT id FROM workers \
         WHERE team IN (SELECT r ->> 0 FROM jsonb_array_elements($1::JSONB) AS rows(r)) \
         ORDER BY id FOR NO KEY UPDATE) \
     UPDATE workers SET team = NULL FROM held WHERE workers.id = held.id";
pub(super) const DROP_TEAMS: &str = "DELETE FROM teams WHERE id IN \
     (SELECT (r ->> 0)::UUID FROM jsonb_array_elements($1::JSONB) AS rows(r))";
