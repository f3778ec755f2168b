-- Accounts, workers, requests, attempts, results and the ledger.
-- Instants are Unix milliseconds; kudos are millionths; *_json columns hold the domain's own shapes.

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
    stats_json     TEXT NOT NULL
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
    stats_json   TEXT NOT NULL
) STRICT;

CREATE TABLE requests (
    id         TEXT PRIMARY KEY,
    owner      INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    priority   INTEGER NOT NULL,
    spec_json  TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    cancelled  INTEGER NOT NULL DEFAULT 0,
    faulted    INTEGER NOT NULL DEFAULT 0,
    done       INTEGER NOT NULL DEFAULT 0,
    consumed   INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX requests_open ON requests (id) WHERE done = 0;
CREATE INDEX requests_done ON requests (expires_at) WHERE done = 1;

-- `state` is open, settled, faulted or returned. Only an open attempt can be settled.
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

CREATE TABLE outcomes (
    attempt      TEXT PRIMARY KEY,
    request      TEXT NOT NULL,
    reward       INTEGER NOT NULL,
    outcome_json TEXT NOT NULL
) STRICT;
CREATE INDEX outcomes_request ON outcomes (request);
