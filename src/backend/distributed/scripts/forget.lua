-- Drops a request's log.
--
-- KEYS     1 log   2 at
-- Returns  how many keys there were

local gone = redis.call('UNLINK', KEYS[1], KEYS[2])
redis.call('PUBLISH', KEYS[1], 'gone')
return gone
