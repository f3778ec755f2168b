-- Finds claims whose time is over, the oldest first. Changes nothing: Records decide.
--
-- KEYS     1 stream   2 open   3 expiry   4 log   5 generation
-- ARGV     1 generation   2 milliseconds that they must be over   3 how many at most
-- Returns  job, attempt, job, attempt …; nothing if the generation is another

if redis.call('GET', KEYS[5]) ~= ARGV[1] then
  return {}
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local found = {}
for _, job in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now - ARGV[2], 'LIMIT', 0, ARGV[3])) do
  local known = redis.call('HGET', KEYS[2], job)
  found[#found + 1] = job
  found[#found + 1] = known and known:match('^%S+ %d+ (%S+)') or '-'
end
return found
