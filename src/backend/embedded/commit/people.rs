//! Statements about what is thought of workers, and what holds for everybody.

pub(super) const RULINGS: &str = "UPDATE workers SET \
     maintenance = CASE WHEN value ->> 1 THEN value ->> 2 ELSE maintenance END, \
     info = coalesce(value ->> 3, info), paused = coalesce(value ->> 4, paused), \
     name = coalesce(value ->> 5, name), team = CASE WHEN value ->> 6 THEN value ->> 7 ELSE team END, \
     suspected_once = CASE WHEN value ->> 8 THEN 0 ELSE suspected_once END | (value ->> 9), \
     suspected_again = CASE WHEN value ->> 8 THEN 0 ELSE suspected_again END + (value ->> 10) \
     FROM json_each($1) WHERE workers.id = value ->> 0";
pub(super) const DROP_WORKERS: &str = "DELETE FROM workers WHERE id IN (SELECT value ->> 0 FROM json_each($1)) \
     AND NOT EXISTS (SELECT 1 FROM attempts WHERE worker = workers.id AND state = 'open')";
pub(super) const MODES: &str = "INSERT INTO modes SELECT value ->> 0, value ->> 1 FROM json_each($1) WHERE true \
     ON CONFLICT (name) DO UPDATE SET is_on = excluded.is_on";
pub(super) const MESSAGES: &str = "INSERT INTO worker_messages SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, \
     value ->> 4, value ->> 5, value ->> 6 FROM json_each($1) WHERE true ON CONFLICT DO NOTHING";
pub(super) const DROP_MESSAGES: &str =
    "DELETE FROM worker_messages WHERE id IN (SELECT value ->> 0 FROM json_each($1))";
pub(super) const TIMEOUTS: &str = "INSERT INTO timeouts SELECT value ->> 0, value ->> 1 FROM json_each($1) WHERE true \
     ON CONFLICT (network) DO UPDATE SET expires_at = excluded.expires_at";
pub(super) const DROP_TIMEOUTS: &str =
    "DELETE FROM timeouts WHERE network IN (SELECT value ->> 0 FROM json_each($1))";
