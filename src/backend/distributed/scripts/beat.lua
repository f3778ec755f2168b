-- Says that a broker lives, and who else does.
--
-- KEYS     1 sorted set: broker → when it was last heard of, in ms of this server's clock
-- ARGV     1 broker   2 milliseconds of silence that are death
-- Returns  the brokers that live

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - 3600000)
return redis.call('ZRANGEBYSCORE', KEYS[1], now - ARGV[2], '+inf')
