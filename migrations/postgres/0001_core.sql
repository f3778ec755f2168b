-- Accounts, workers, requests, attempts, results, the ledger, objects, and who runs the upkeep.
-- Instants are Unix milliseconds; kudos are millionths; *_json columns hold the domain's own shapes.
--
-- IDs are UUID: 16 bytes instead of 37 in every row and index, and in an order that no collation
-- changes. The *_json columns are TEXT, not JSONB: they are never searched, must come back as they
-- were (JSONB reorders keys, rewrites numbers and refuses an escaped NUL), and cost no parsing.
-- Tables whose rows are updated leave room in their pages for the new version of a row.

CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE users (
    id             BIGINT PRIMARY KEY,
    alias          TEXT NOT NULL,
    key_hash       TEXT NOT NULL UNIQUE,
    roles_json     TEXT NOT NULL,
    concurrency    BIGINT NOT NULL,
    worker_invites BIGINT NOT NULL,
    created_at     BIGINT NOT NULL,
    -- Jobs and work (pixel-steps, tokens) delivered to the account, and by its workers.
    requested_image_jobs   BIGINT           NOT NULL DEFAULT 0,
    requested_image_things DOUBLE PRECISION NOT NULL DEFAULT 0,
    requested_text_jobs    BIGINT           NOT NULL DEFAULT 0,
    requested_text_things  DOUBLE PRECISION NOT NULL DEFAULT 0,
    fulfilled_image_jobs   BIGINT           NOT NULL DEFAULT 0,
    fulfilled_image_things DOUBLE PRECISION NOT NULL DEFAULT 0,
    fulfilled_text_jobs    BIGINT           NOT NULL DEFAULT 0,
    fulfilled_text_things  DOUBLE PRECISION NOT NULL DEFAULT 0,
    accumulated    BIGINT NOT NULL DEFAULT 0,
    granted        BIGINT NOT NULL DEFAULT 0
) WITH (fillfactor = 70);

-- Sum of each user's postings, kept beside them. The system's accounts (negative) have no row: every
-- posting moves one of them, so all brokers would queue up for the same few rows. What they hold is
-- the view below.
CREATE TABLE balances (
    account BIGINT PRIMARY KEY CHECK (account >= 0),
    amount  BIGINT NOT NULL
) WITH (fillfactor = 70);

-- Double entry: what `debit` loses `credit` gains. The key makes a repeated posting count once.
CREATE TABLE postings (
    key    TEXT COLLATE "C" PRIMARY KEY,
    debit  BIGINT NOT NULL,
    credit BIGINT NOT NULL,
    amount BIGINT NOT NULL CHECK (amount >= 0),
    at     BIGINT NOT NULL
);

-- What the system's accounts hold, for whoever checks the books. It reads the whole ledger.
CREATE VIEW system_balances AS
    SELECT account, sum(amount)::BIGINT AS amount FROM (
        SELECT debit AS account, -amount AS amount FROM postings WHERE debit < 0
        UNION ALL
        SELECT credit, amount FROM postings WHERE credit < 0) AS moves
    GROUP BY account;

CREATE TABLE workers (
    id           UUID PRIMARY KEY,
    name         TEXT NOT NULL UNIQUE,
    owner        BIGINT NOT NULL,
    created_at   BIGINT NOT NULL,
    seen_at      BIGINT NOT NULL,
    profile_json TEXT NOT NULL,
    maintenance  TEXT,
    fulfilled    BIGINT NOT NULL DEFAULT 0,
    uncompleted  BIGINT NOT NULL DEFAULT 0,
    things       DOUBLE PRECISION NOT NULL DEFAULT 0,
    generated    BIGINT NOT NULL DEFAULT 0,
    uptime_seconds BIGINT NOT NULL DEFAULT 0,
    -- Things per second of the newest deliveries, newest last.
    speeds_json  TEXT NOT NULL DEFAULT '[]'
) WITH (fillfactor = 70);

CREATE TABLE requests (
    id         UUID PRIMARY KEY,
    owner      BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    priority   BIGINT NOT NULL,
    spec_json  TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    jobs       BIGINT NOT NULL,
    open       BIGINT NOT NULL DEFAULT 0,
    settled    BIGINT NOT NULL DEFAULT 0,
    cancelled  BOOLEAN NOT NULL DEFAULT FALSE,
    faulted    BOOLEAN NOT NULL DEFAULT FALSE,
    consumed   BIGINT NOT NULL DEFAULT 0,
    done       BOOLEAN NOT NULL GENERATED ALWAYS AS
        (settled >= jobs OR ((cancelled OR faulted) AND open = 0)) STORED
) WITH (fillfactor = 70);
CREATE INDEX requests_open ON requests (id) WHERE NOT done;
CREATE INDEX requests_done ON requests (expires_at) WHERE done;

-- `state` is open, settled, faulted or returned. Only an open attempt can be settled, and a job has
-- one open attempt at most.
CREATE TABLE attempts (
    id         UUID PRIMARY KEY,
    request    UUID NOT NULL,
    job        BIGINT NOT NULL,
    number     BIGINT NOT NULL,
    worker     UUID NOT NULL,
    model      TEXT NOT NULL,
    seed       BIGINT NOT NULL,
    held       TEXT NOT NULL,
    granted_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    state      TEXT NOT NULL DEFAULT 'open'
) WITH (fillfactor = 70);
CREATE INDEX attempts_request ON attempts (request);
CREATE UNIQUE INDEX attempts_open ON attempts (request, job) WHERE state = 'open';

CREATE TABLE outcomes (
    attempt      UUID PRIMARY KEY,
    request      UUID NOT NULL,
    reward       BIGINT NOT NULL,
    outcome_json TEXT NOT NULL
);
CREATE INDEX outcomes_request ON outcomes (request);

-- Batches of records that are committed. Whoever lost its connection in the middle of a commit finds
-- out here whether it happened. Kept for an hour.
CREATE TABLE batches (
    id UUID PRIMARY KEY,
    at BIGINT NOT NULL
);
CREATE INDEX batches_at ON batches (at);

-- Objects, in chunks from 0. What they hold is compressed already.
CREATE TABLE blobs (
    name    TEXT COLLATE "C" NOT NULL,
    chunk   BIGINT NOT NULL,
    content BYTEA NOT NULL,
    PRIMARY KEY (name, chunk)
);
ALTER TABLE blobs ALTER COLUMN content SET STORAGE EXTERNAL;

-- Who runs the upkeep: one row. Each new leader counts the epoch up. `expires_at` is by the clock of
-- the database, so that the brokers' clocks do not matter.
CREATE TABLE leadership (
    id         BIGINT PRIMARY KEY CHECK (id = 1),
    epoch      BIGINT NOT NULL,
    holder     UUID NOT NULL,
    expires_at BIGINT NOT NULL
) WITH (fillfactor = 10);
