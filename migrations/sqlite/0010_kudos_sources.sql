-- Kudos by what moved them, what accounts get each month, and kudos that one gave another.

ALTER TABLE users ADD COLUMN gifted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN donated INTEGER NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN received INTEGER NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN recurring INTEGER NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN awarded INTEGER NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN styled INTEGER NOT NULL DEFAULT 0;
-- How often the balance was lifted to its floor, by all brokers.
ALTER TABLE users ADD COLUMN lifts INTEGER NOT NULL DEFAULT 0;

-- What the account gets each month, and the instant that its last payment is for.
ALTER TABLE users ADD COLUMN monthly INTEGER NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN monthly_at INTEGER;

CREATE TABLE transfers (
    id         TEXT PRIMARY KEY,
    sender     INTEGER NOT NULL,
    receiver   INTEGER NOT NULL,
    shared_key TEXT,
    amount     INTEGER NOT NULL CHECK (amount > 0),
    at         INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX transfers_pair ON transfers (sender, receiver, at);
