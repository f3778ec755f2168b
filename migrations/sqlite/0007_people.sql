-- What is said and thought of workers, and what holds for everybody.

ALTER TABLE workers ADD COLUMN kind TEXT NOT NULL DEFAULT 'text';
-- Quotes inside of texts are escaped, so this is found in no name of a model.
UPDATE workers SET kind = CASE
    WHEN instr(profile_json, '"skills":{"image":') > 0 THEN 'image'
    WHEN instr(profile_json, '"skills":{"video":') > 0 THEN 'video'
    WHEN instr(profile_json, '"skills":{"alchemy":') > 0 THEN 'alchemy'
    ELSE 'text' END;
ALTER TABLE workers ADD COLUMN address TEXT;
ALTER TABLE workers ADD COLUMN info TEXT;
ALTER TABLE workers ADD COLUMN paused INTEGER NOT NULL DEFAULT 0;
ALTER TABLE workers ADD COLUMN team TEXT;
-- What it is suspected of once, a bit each, and points for what counts each time.
ALTER TABLE workers ADD COLUMN suspected_once INTEGER NOT NULL DEFAULT 0;
ALTER TABLE workers ADD COLUMN suspected_again INTEGER NOT NULL DEFAULT 0;

-- Without a worker: for all of them.
CREATE TABLE worker_messages (
    id         TEXT PRIMARY KEY,
    worker     TEXT,
    author     INTEGER NOT NULL,
    message    TEXT NOT NULL,
    origin     TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;

-- Networks, in CIDR notation, from which nothing is taken until then.
CREATE TABLE timeouts (
    network    TEXT PRIMARY KEY,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE modes (
    name  TEXT PRIMARY KEY,
    is_on INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
