-- Takes jobs out for good: they have their result, or were cancelled. Records know it already.
--
-- XACK and XDEL at once: an entry between the two could be claimed again.
--
-- KEYS     1 stream   2 open   3 expiry   4 log   5 generation
-- ARGV     1 generation   2 group   3 broker, then for each job: job
-- Returns  how many were there; -1 if the generation is another

if redis.call('GET', KEYS[5]) ~= ARGV[1] then
  return -1
end
local gone = 0
for i = 4, #ARGV do
  local job = ARGV[i]
  local known = redis.call('HGET', KEYS[2], job)
  if known then
    local entry, at, holder = known:match('^(%S+) (%d+) (%S+)')
    redis.call('XACK', KEYS[1], ARGV[2], entry)
    redis.call('XDEL', KEYS[1], entry)
    redis.call('HDEL', KEYS[2], job)
    redis.call('ZREM', KEYS[3], job)
    redis.call('XADD', KEYS[4], 'MAXLEN', '~', '50000', '*',
      'what', 'settled', 'job', job, 'attempt', holder, 'number', at, 'broker', ARGV[3])
    gone = gone + 1
  end
end
return gone
