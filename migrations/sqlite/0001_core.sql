-- Accounts, workers, requests, attempts, results and the ledger.
-- Instants are Unix milliseconds; kudos are millionths; *_json columns hold the domain's own shapes.

-- Takes no row: an insert that would put one in fails the transaction it is part of.
CREATE TABLE impossible (
    reason TEXT NOT NULL CHECK (reason IS NULL)
) STRICT;

CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

CREATE TABLE users (
    id             INTEGER PRIMARY KEY,
    alias          TEXT NOT NULL,
    key_hash       TEXT NOT NULL UNIQUE,
    roles_json     TEXT NOT NULL,
    concurrency    INTEGER NOT NULL,
    worker_invites INTEGER NOT NULL,
    created_at     INTEGER NOT NULL,
    -- Jobs and work (pixel-steps, tokens) delivered to the account, and by its workers.
    requested_image_jobs   INTEGER NOT NULL DEFAULT 0,
    requested_image_things REAL    NOT NULL DEFAULT 0,
    requested_text_jobs    INTEGER NOT NULL DEFAULT 0,
    requested_text_things  REAL    NOT NULL DEFAULT 0,
    fulfilled_image_jobs   INTEGER NOT NULL DEFAULT 0,
    fulfilled_image_things REAL    NOT NULL DEFAULT 0,
    fulfilled_text_jobs    INTEGER NOT NULL DEFAULT 0,
    fulfilled_text_things  REAL    NOT NULL DEFAULT 0,
    accumulated    INTEGER NOT NULL DEFAULT 0,
    granted        INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Sum of each account's postings, kept beside them. Negative accounts are the system's.
CREATE TABLE balances (
    account INTEGER PRIMARY KEY,
    amount  INTEGER NOT NULL
) STRICT;

-- Double entry: what `debit` loses `credit` gains. The key makes a repeated posting count once.
CREATE TABLE postings (
    key    TEXT PRIMARY KEY,
    debit  INTEGER NOT NULL,
    credit INTEGER NOT NULL,
    amount INTEGER NOT NULL CHECK (amount >= 0),
    at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE workers (
    id           TEXT PRIMARY KEY,
    name         TEXT NOT NULL UNIQUE,
    owner        INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    seen_at      INTEGER NOT NULL,
    profile_json TEXT NOT NULL,
    maintenance  TEXT,
    fulfilled    INTEGER NOT NULL DEFAULT 0,
    uncompleted  INTEGER NOT NULL DEFAULT 0,
    things       REAL    NOT NULL DEFAULT 0,
    generated    INTEGER NOT NULL DEFAULT 0,
    uptime_seconds INTEGER NOT NULL DEFAULT 0,
    -- Things per second of the newest deliveries, newest last.
    speeds_json  TEXT NOT NULL DEFAULT '[]'
) STRICT;

CREATE TABLE requests (
    id         TEXT PRIMARY KEY,
    owner      INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    priority   INTEGER NOT NULL,
    spec_json  TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    jobs       INTEGER NOT NULL,
    open       INTEGER NOT NULL DEFAULT 0,
    settled    INTEGER NOT NULL DEFAULT 0,
    cancelled  INTEGER NOT NULL DEFAULT 0,
    faulted    INTEGER NOT NULL DEFAULT 0,
    consumed   INTEGER NOT NULL DEFAULT 0,
    done       INTEGER NOT NULL GENERATED ALWAYS AS
        (settled >= jobs OR ((cancelled OR faulted) AND open = 0)) STORED
) STRICT;
CREATE INDEX requests_open ON requests (id) WHERE done = 0;
CREATE INDEX requests_done ON requests (expires_at) WHERE done = 1;

-- `state` is open, settled, faulted or returned. Only an open attempt can be settled, and a job has
-- one open attempt at most.
CREATE TABLE attempts (
    id         TEXT PRIMARY KEY,
    request    TEXT NOT NULL,
    job        INTEGER NOT NULL,
    number     INTEGER NOT NULL,
    worker     TEXT NOT NULL,
    model      TEXT NOT NULL,
    seed       INTEGER NOT NULL,
    held       TEXT NOT NULL,
    granted_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    state      TEXT NOT NULL DEFAULT 'open'
) STRICT;
CREATE INDEX attempts_request ON attempts (request);
CREATE UNIQUE INDEX attempts_open ON attempts (request, job) WHERE state = 'open';

CREATE TABLE outcomes (
    attempt      TEXT PRIMARY KEY,
    request      TEXT NOT NULL,
    reward       INTEGER NOT NULL,
    outcome_json TEXT NOT NULL
) STRICT;
CREATE INDEX outcomes_request ON outcomes (request);
