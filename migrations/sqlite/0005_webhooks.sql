-- Webhooks that are due: one for each delivered job whose request names one, written with its result.

-- `due_at` is when it is called next. Whoever takes one counts `tries` up and moves `due_at` past the end
-- of the call: until then nobody else has it, and should the broker die, another one has it then.
CREATE TABLE webhooks (
    attempt TEXT PRIMARY KEY,
    request TEXT NOT NULL,
    host    TEXT NOT NULL,
    tries   INTEGER NOT NULL,
    made_at INTEGER NOT NULL,
    due_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX webhooks_due ON webhooks (due_at);
CREATE INDEX webhooks_request ON webhooks (request);
