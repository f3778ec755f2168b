-- What prompts may not ask for, as moderators keep it. The digest is of type and regex: no two are alike.
CREATE TABLE filters (
    id          INTEGER PRIMARY KEY,
    regex       TEXT NOT NULL,
    filter_type INTEGER NOT NULL,
    replacement TEXT NOT NULL,
    description TEXT,
    editor      INTEGER NOT NULL,
    version     INTEGER NOT NULL,
    digest      TEXT NOT NULL UNIQUE
) STRICT;
