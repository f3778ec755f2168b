-- Styles and collections of them. One that was changed has the next revision.
CREATE TABLE styles (
    id            UUID PRIMARY KEY,
    kind          TEXT NOT NULL,
    owner         BIGINT NOT NULL,
    name          TEXT NOT NULL,
    info          TEXT,
    prompt        TEXT NOT NULL,
    params_json   TEXT NOT NULL,
    public        BOOLEAN NOT NULL,
    nsfw          BOOLEAN NOT NULL,
    tags_json     TEXT NOT NULL,
    models_json   TEXT NOT NULL,
    examples_json TEXT NOT NULL,
    shared_key    TEXT,
    use_count     BIGINT NOT NULL DEFAULT 0,
    created_at    BIGINT NOT NULL,
    updated_at    BIGINT NOT NULL,
    revision      BIGINT NOT NULL
);
CREATE UNIQUE INDEX styles_owner_name ON styles (owner, name);
CREATE INDEX styles_name ON styles (name);
CREATE INDEX styles_popular ON styles (kind, use_count DESC, created_at, id) WHERE public;
CREATE INDEX styles_old ON styles (kind, created_at, id) WHERE public;
CREATE INDEX styles_shared_key ON styles (shared_key) WHERE shared_key IS NOT NULL;

CREATE TABLE style_collections (
    id           UUID PRIMARY KEY,
    kind         TEXT NOT NULL,
    owner        BIGINT NOT NULL,
    name         TEXT NOT NULL,
    info         TEXT,
    public       BOOLEAN NOT NULL,
    members_json TEXT NOT NULL,
    use_count    BIGINT NOT NULL DEFAULT 0,
    created_at   BIGINT NOT NULL,
    updated_at   BIGINT NOT NULL,
    revision     BIGINT NOT NULL
);
CREATE UNIQUE INDEX style_collections_owner_name ON style_collections (owner, name);
CREATE INDEX style_collections_name ON style_collections (name);
CREATE INDEX style_collections_popular ON style_collections (use_count DESC, created_at, id) WHERE public;
CREATE INDEX style_collections_old ON style_collections (created_at, id) WHERE public;

-- How often others asked for the styles of an account.
ALTER TABLE users ADD COLUMN image_style_uses BIGINT NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN text_style_uses BIGINT NOT NULL DEFAULT 0;
