-- Styles and collections of them. One that was changed has the next revision.
CREATE TABLE styles (
    id            TEXT PRIMARY KEY,
    kind          TEXT NOT NULL,
    owner         INTEGER NOT NULL,
    name          TEXT NOT NULL,
    info          TEXT,
    prompt        TEXT NOT NULL,
    params_json   TEXT NOT NULL,
    public        INTEGER NOT NULL,
    nsfw          INTEGER NOT NULL,
    tags_json     TEXT NOT NULL,
    models_json   TEXT NOT NULL,
    examples_json TEXT NOT NULL,
    shared_key    TEXT,
    use_count     INTEGER NOT NULL DEFAULT 0,
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL,
    revision      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX styles_owner_name ON styles (owner, name);
CREATE INDEX styles_name ON styles (name);
CREATE INDEX styles_popular ON styles (kind, use_count DESC, created_at, id) WHERE public = 1;
CREATE INDEX styles_old ON styles (kind, created_at, id) WHERE public = 1;
CREATE INDEX styles_shared_key ON styles (shared_key) WHERE shared_key IS NOT NULL;

CREATE TABLE style_collections (
    id           TEXT PRIMARY KEY,
    kind         TEXT NOT NULL,
    owner        INTEGER NOT NULL,
    name         TEXT NOT NULL,
    info         TEXT,
    public       INTEGER NOT NULL,
    members_json TEXT NOT NULL,
    use_count    INTEGER NOT NULL DEFAULT 0,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    revision     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX style_collections_owner_name ON style_collections (owner, name);
CREATE INDEX style_collections_name ON style_collections (name);
CREATE INDEX style_collections_popular ON style_collections (use_count DESC, created_at, id) WHERE public;
CREATE INDEX style_collections_old ON style_collections (created_at, id) WHERE public;

-- How often others asked for the styles of an account.
ALTER TABLE users ADD COLUMN image_style_uses INTEGER NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN text_style_uses INTEGER NOT NULL DEFAULT 0;
