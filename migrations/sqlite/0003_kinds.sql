-- Video and alchemy: jobs and work (pixel-steps, forms) delivered to the account, and by its workers.

ALTER TABLE users ADD COLUMN requested_video_jobs INTEGER NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN requested_video_things REAL NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN requested_alchemy_jobs INTEGER NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN requested_alchemy_things REAL NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN fulfilled_video_jobs INTEGER NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN fulfilled_video_things REAL NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN fulfilled_alchemy_jobs INTEGER NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN fulfilled_alchemy_things REAL NOT NULL DEFAULT 0;
