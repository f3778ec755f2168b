-- Keys that accounts lend to others. The ID is the key; by its hash it is looked up as all keys are.
-- What is NULL is not bounded.
CREATE TABLE shared_keys (
    id               TEXT PRIMARY KEY,
    key_hash         TEXT NOT NULL UNIQUE,
    owner            INTEGER NOT NULL,
    name             TEXT,
    budget           INTEGER,
    utilized         INTEGER NOT NULL DEFAULT 0,
    expires_at       INTEGER,
    max_image_pixels INTEGER,
    max_image_steps  INTEGER,
    max_text_tokens  INTEGER,
    created_at       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX shared_keys_owner ON shared_keys (owner);
