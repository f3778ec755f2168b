-- Kudos by what moved them, what accounts get each month, and kudos that one gave another.

ALTER TABLE users ADD COLUMN gifted BIGINT NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN donated BIGINT NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN received BIGINT NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN recurring BIGINT NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN awarded BIGINT NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN styled BIGINT NOT NULL DEFAULT 0;
-- How often the balance was lifted to its floor, by all brokers.
ALTER TABLE users ADD COLUMN lifts BIGINT NOT NULL DEFAULT 0;

-- What the account gets each month, and the instant that its last payment is for.
ALTER TABLE users ADD COLUMN monthly BIGINT NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN monthly_at BIGINT;

CREATE TABLE transfers (
    id         UUID PRIMARY KEY,
    sender     BIGINT NOT NULL,
    receiver   BIGINT NOT NULL,
    shared_key TEXT,
    amount     BIGINT NOT NULL CHECK (amount > 0),
    at         BIGINT NOT NULL
);
CREATE INDEX transfers_pair ON transfers (sender, receiver, at);
