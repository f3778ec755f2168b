-- What was made, by spans of time of so many seconds; 0 seconds: all time. What is old is folded into longer
-- spans. Several shards of a span add up.
CREATE TABLE stats (
    seconds BIGINT NOT NULL,
    start   BIGINT NOT NULL,
    kind    TEXT NOT NULL,
    model   TEXT NOT NULL,
    shard   BIGINT NOT NULL,
    jobs    BIGINT NOT NULL,
    things  BIGINT NOT NULL,
    PRIMARY KEY (seconds, start, kind, model, shard)
);
