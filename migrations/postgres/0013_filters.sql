-- What prompts may not ask for, as moderators keep it. The digest is of type and regex: no two are alike.
CREATE TABLE filters (
    id          BIGINT PRIMARY KEY,
    regex       TEXT NOT NULL,
    filter_type BIGINT NOT NULL,
    replacement TEXT NOT NULL,
    description TEXT,
    editor      BIGINT NOT NULL,
    version     BIGINT NOT NULL,
    digest      TEXT NOT NULL UNIQUE
);
