-- Webhooks that are due: one for each delivered job whose request names one, written with its result.

-- `due_at` is when it is called next. Whoever takes one counts `tries` up and moves `due_at` past the end
-- of the call: until then nobody else has it, and should the broker die, another one has it then.
CREATE TABLE webhooks (
    attempt UUID PRIMARY KEY,
    request UUID NOT NULL,
    host    TEXT NOT NULL,
    tries   BIGINT NOT NULL,
    made_at BIGINT NOT NULL,
    due_at  BIGINT NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX webhooks_due ON webhooks (due_at);
CREATE INDEX webhooks_request ON webhooks (request);
