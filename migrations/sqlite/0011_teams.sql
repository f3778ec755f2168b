-- Teams of workers, and kudos of shared keys that are kept for open requests.

-- `name_key` is the name in lower case: no two teams have the same. The figures are those of images and
-- videos that workers made while they were in the team. `workers.team` names one, or one that is gone.
CREATE TABLE teams (
    id             TEXT PRIMARY KEY,
    name           TEXT NOT NULL,
    name_key       TEXT NOT NULL UNIQUE,
    info           TEXT,
    owner          INTEGER NOT NULL,
    created_at     INTEGER NOT NULL,
    fulfilled      INTEGER NOT NULL DEFAULT 0,
    kudos          INTEGER NOT NULL DEFAULT 0,
    uptime_seconds INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- What is still kept of the budget of `shared_key`: what is spent with the key for the request is taken from
-- it, and nothing is left of it once the request is done.
CREATE TABLE key_holds (
    request    TEXT PRIMARY KEY REFERENCES requests (id) ON DELETE CASCADE,
    shared_key TEXT NOT NULL,
    amount     INTEGER NOT NULL CHECK (amount >= 0)
) STRICT, WITHOUT ROWID;
CREATE INDEX key_holds_shared_key ON key_holds (shared_key);
