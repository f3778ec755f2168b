-- Kudos that are set aside for requests when they are accepted. What a request has cost by now is spent
-- of them, and nothing is left of them once it is done: `consumed` and `done` say so, and the row stays as
-- it is until the request goes.
CREATE TABLE holds (
    request UUID PRIMARY KEY REFERENCES requests (id) ON DELETE CASCADE,
    owner   BIGINT NOT NULL,
    amount  BIGINT NOT NULL CHECK (amount > 0)
);
CREATE INDEX holds_owner ON holds (owner);
