-- Video and alchemy: jobs and work (pixel-steps, forms) delivered to the account, and by its workers.

ALTER TABLE users ADD COLUMN requested_video_jobs BIGINT NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN requested_video_things DOUBLE PRECISION NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN requested_alchemy_jobs BIGINT NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN requested_alchemy_things DOUBLE PRECISION NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN fulfilled_video_jobs BIGINT NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN fulfilled_video_things DOUBLE PRECISION NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN fulfilled_alchemy_jobs BIGINT NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN fulfilled_alchemy_things DOUBLE PRECISION NOT NULL DEFAULT 0;
