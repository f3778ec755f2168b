-- Who an account is, and what is said of it.

-- NULL: its operator knows; a UUID: nobody does; `g_…`, `d_…`, `gh_…`: who signed in elsewhere.
ALTER TABLE users ADD COLUMN identity TEXT;
ALTER TABLE users ADD COLUMN contact TEXT;
ALTER TABLE users ADD COLUMN admin_comment TEXT;
ALTER TABLE users ADD COLUMN public_workers INTEGER NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN usage_multiplier REAL NOT NULL DEFAULT 1;
ALTER TABLE users ADD COLUMN proxy_passkey TEXT;
ALTER TABLE users ADD COLUMN active_at INTEGER NOT NULL DEFAULT 0;
-- Nobody knows when; nobody is wiped for that.
UPDATE users SET active_at = CAST(unixepoch('subsec') * 1000 AS INTEGER), public_workers = (id = 0);
CREATE UNIQUE INDEX users_identity ON users (identity);
CREATE UNIQUE INDEX users_passkey ON users (proxy_passkey);
