-- Takes jobs out for good: they have their result, or were cancelled. Records know it already.
--
-- XACK and XDEL at once: an entry between the two could be claimed again. Of a cancelled request only what
-- waits is taken out, and what this broker claimed and let go: a worker of another one may have been given
-- a job of it just before, and ends that by itself.
--
-- KEYS     1 stream   2 open   3 expiry   4 log   5 generation
-- ARGV     1 generation   2 group   3 broker, then for each job: job, from whom it is taken: "*" whoever
--          holds it, an attempt, or "-" nobody, if it waits
-- Returns  how many were there; -1 if the generation is another

if redis.call('GET', KEYS[5]) ~= ARGV[1] then
  return -1
end
local gone = 0
for i = 4, #ARGV, 2 do
  local job, from = ARGV[i], ARGV[i + 1]
  local known = redis.call('HGET', KEYS[2], job)
  local entry, at, holder, by
  if known then
    entry, at, holder, by = known:match('^(%S+) (%d+) (%S+) %S+ (%S+)')
  end
  if known and (from == '*' or holder == '-' or holder == from or by == ARGV[3]) then
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
