-- Keys that accounts lend to others. The ID is the key; by its hash it is looked up as all keys are.
-- What is NULL is not bounded.
CREATE TABLE shared_keys (
    id               UUID PRIMARY KEY,
    key_hash         TEXT NOT NULL UNIQUE,
    owner            BIGINT NOT NULL,
    name             TEXT,
    budget           BIGINT,
    utilized         BIGINT NOT NULL DEFAULT 0,
    expires_at       BIGINT,
    max_image_pixels BIGINT,
    max_image_steps  BIGINT,
    max_text_tokens  BIGINT,
    created_at       BIGINT NOT NULL
);
CREATE INDEX shared_keys_owner ON shared_keys (owner);
