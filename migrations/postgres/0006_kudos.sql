-- What time online is paid with, and reasons for suspicion.
-- What is put aside for an account lies in `balances` and `postings`, as account id + 2^40.

-- Kudos for time online, how often it was paid for, and seconds that were not paid for yet.
ALTER TABLE workers ADD COLUMN uptime_kudos BIGINT NOT NULL DEFAULT 0;
ALTER TABLE workers ADD COLUMN uptime_rewards BIGINT NOT NULL DEFAULT 0;
ALTER TABLE workers ADD COLUMN unpaid_seconds BIGINT NOT NULL DEFAULT 0;

ALTER TABLE users ADD COLUMN suspicion BIGINT NOT NULL DEFAULT 0;
