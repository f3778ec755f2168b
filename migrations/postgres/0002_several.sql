-- What brokers over the same records must not do both, and how many jobs wait.

-- A job is given out once at a time, and no more once it has its result.
CREATE UNIQUE INDEX attempts_taken ON attempts (request, job) WHERE state IN ('open', 'settled');
DROP INDEX attempts_open;

-- Whoever makes a worker counts those that its owner has.
CREATE INDEX workers_owner ON workers (owner);

-- Quotes inside of texts are escaped, so what is looked for is found in no prompt.
ALTER TABLE requests ADD COLUMN kind TEXT;
UPDATE requests SET kind =
    CASE WHEN position('"params":{"image":' IN spec_json) > 0 THEN 'image' ELSE 'text' END;
ALTER TABLE requests ALTER COLUMN kind SET NOT NULL;
ALTER TABLE requests ADD COLUMN waiting BIGINT NOT NULL GENERATED ALWAYS AS
    (CASE WHEN cancelled OR faulted THEN 0 ELSE jobs - open - settled END) STORED;

-- Jobs that wait, of all requests of an account and kind: counted along, for there may be very many.
-- Each commit moves the figures by what it changed, as the last thing that it does.
CREATE TABLE waiting (
    owner BIGINT NOT NULL,
    kind  TEXT   NOT NULL,
    jobs  BIGINT NOT NULL,
    PRIMARY KEY (owner, kind)
) WITH (fillfactor = 50);
INSERT INTO waiting SELECT owner, kind, sum(waiting) FROM requests WHERE NOT done GROUP BY owner, kind;
