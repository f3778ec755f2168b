//! Statements about teams.

pub(super) const TEAMS: &str = "INSERT INTO teams (id, name, name_key, info, owner, created_at) \
     SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5 FROM json_each($1)";
pub(super) const TEAM_CHANGES: &str = "UPDATE teams SET name = coalesce(value ->> 1, name), \
     name_key = coalesce(value ->> 2, name_key), info = coalesce(value ->> 3, info) \
     FROM json_each($1) WHERE teams.id = value ->> 0";
pub(super) const TEAM_COUNTS: &str = "UPDATE teams SET fulfilled = fulfilled + (value ->> 1), \
     kudos = kudos + (value ->> 2), uptime_seconds = uptime_seconds + (value ->> 3) \
     FROM json_each($1) WHERE teams.id = value ->> 0";
pub(super) const LEAVE_TEAMS: &str =
    "UPDATE workers SET team = NULL WHERE team IN (SELECT value ->> 0 FROM json_each($1))";
pub(super) const DROP_TEAMS: &str = "DELETE FROM teams WHERE id IN (SELECT value ->> 0 FROM json_each($1))";

/// Fails the transaction if what it says is so.
pub(super) const ALL_TEAMS: &str = "INSERT INTO impossible SELECT 'a team changes that is not there' \
     WHERE changes() <> json_array_length($1)";

pub(super) const STATEMENTS: &[&str] =
    &[TEAMS, TEAM_CHANGES, TEAM_COUNTS, LEAVE_TEAMS, DROP_TEAMS, ALL_TEAMS];
