-- What is said and thought of workers, and what holds for everybody.

ALTER TABLE workers ADD COLUMN kind TEXT NOT NULL DEFAULT 'text';
-- Quotes inside of texts are escaped, so this is found in no name of a model.
UPDATE workers SET kind = CASE
    WHEN position('"skills":{"image":' IN profile_json) > 0 THEN 'image'
    WHEN position('"skills":{"video":' IN profile_json) > 0 THEN 'video'
    WHEN position('"skills":{"alchemy":' IN profile_json) > 0 THEN 'alchemy'
    ELSE 'text' END;
ALTER TABLE workers ADD COLUMN address TEXT;
ALTER TABLE workers ADD COLUMN info TEXT;
ALTER TABLE workers ADD COLUMN paused BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE workers ADD COLUMN team TEXT;
-- What it is suspected of once, a bit each, and points for what counts each time.
ALTER TABLE workers ADD COLUMN suspected_once BIGINT NOT NULL DEFAULT 0;
ALTER TABLE workers ADD COLUMN suspected_again BIGINT NOT NULL DEFAULT 0;

-- Without a worker: for all of them.
CREATE TABLE worker_messages (
    id         UUID PRIMARY KEY,
    worker     TEXT,
    author     BIGINT NOT NULL,
    message    TEXT NOT NULL,
    origin     TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

-- Networks, in CIDR notation, from which nothing is taken until then.
CREATE TABLE timeouts (
    network    TEXT PRIMARY KEY,
    expires_at BIGINT NOT NULL
);

CREATE TABLE modes (
    name  TEXT PRIMARY KEY,
    is_on BOOLEAN NOT NULL
);
