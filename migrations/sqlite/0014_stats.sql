-- What was made, by spans of time of so many seconds; 0 seconds: all time. What is old is folded into longer
-- spans. Several shards of a span add up.
CREATE TABLE stats (
    seconds INTEGER NOT NULL,
    start   INTEGER NOT NULL,
    kind    TEXT NOT NULL,
    model   TEXT NOT NULL,
    shard   INTEGER NOT NULL,
    jobs    INTEGER NOT NULL,
    things  INTEGER NOT NULL,
    PRIMARY KEY (seconds, start, kind, model, shard)
) STRICT, WITHOUT ROWID;
