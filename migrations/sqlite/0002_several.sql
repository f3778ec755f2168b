-- What brokers over the same records must not do both, and how many jobs wait.

-- A job is given out once at a time, and no more once it has its result. The one is seen to by an index
-- as before. The other is asked with each attempt that begins: nobody else writes meanwhile, and an
-- index of what is settled would cost each job three times as much.
CREATE INDEX attempts_job ON attempts (request, job);
DROP INDEX attempts_request;

-- Whoever makes a worker counts those that its owner has.
CREATE INDEX workers_owner ON workers (owner);

ALTER TABLE requests ADD COLUMN kind TEXT NOT NULL DEFAULT 'text';
-- Quotes inside of texts are escaped, so this is found in no prompt.
UPDATE requests SET kind = 'image' WHERE instr(spec_json, '"params":{"image":') > 0;
ALTER TABLE requests ADD COLUMN waiting INTEGER GENERATED ALWAYS AS
    (CASE WHEN cancelled OR faulted THEN 0 ELSE jobs - open - settled END) VIRTUAL;

-- Jobs that wait, of all requests of an account and kind: counted along, for there may be very many.
CREATE TABLE waiting (
    owner INTEGER NOT NULL,
    kind  TEXT    NOT NULL,
    jobs  INTEGER NOT NULL,
    PRIMARY KEY (owner, kind)
) STRICT, WITHOUT ROWID;
INSERT INTO waiting SELECT owner, kind, sum(waiting) FROM requests WHERE done = 0 GROUP BY owner, kind;

CREATE TRIGGER requests_begin_to_wait AFTER INSERT ON requests BEGIN
    INSERT INTO waiting VALUES (new.owner, new.kind, new.waiting)
    ON CONFLICT DO UPDATE SET jobs = jobs + excluded.jobs;
END;
CREATE TRIGGER requests_wait AFTER UPDATE OF jobs, open, settled, cancelled, faulted ON requests
WHEN new.waiting <> old.waiting BEGIN
    UPDATE waiting SET jobs = jobs + new.waiting - old.waiting WHERE owner = new.owner AND kind = new.kind;
END;
CREATE TRIGGER requests_wait_no_more AFTER DELETE ON requests WHEN old.waiting <> 0 BEGIN
    UPDATE waiting SET jobs = jobs - old.waiting WHERE owner = old.owner AND kind = old.kind;
END;
