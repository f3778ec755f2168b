-- Moves leases, of attempts that stand in `open`; others are left alone. Whoever moves a lease looks
-- after the attempt from then on.
--
-- KEYS     1 stream   2 open   3 expiry   4 log   5 generation
-- ARGV     1 generation   2 group   3 broker, then for each job: job, attempt, milliseconds left,
--          worker
-- Returns  how many moved; -1 if the generation is another

if redis.call('GET', KEYS[5]) ~= ARGV[1] then
  return -1
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local moved = 0
for i = 4, #ARGV, 4 do
  local job, attempt, worker = ARGV[i], ARGV[i + 1], ARGV[i + 3]
  local known = redis.call('HGET', KEYS[2], job)
  local entry, at, holder, held, by, name
  if known then
    entry, at, holder, held, by, name = known:match('^(%S+) (%d+) (%S+) (%S+) (%S+) (.*)$')
  end
  if holder == attempt then
    redis.call('ZADD', KEYS[3], now + ARGV[i + 2], job)
    -- The claim may have been asked for before the worker's name was known.
    if name ~= worker then
      redis.call('XCLAIM', KEYS[1], ARGV[2], worker, 0, entry, 'FORCE', 'JUSTID')
    end
    if name ~= worker or by ~= ARGV[3] then
      redis.call('HSET', KEYS[2], job, table.concat({ entry, at, holder, held, ARGV[3], worker }, ' '))
    end
    if by ~= ARGV[3] then
      redis.call('XADD', KEYS[4], 'MAXLEN', '~', '50000', '*',
        'what', 'claimed', 'job', job, 'attempt', attempt, 'number', at, 'broker', ARGV[3], 'held', held,
        'from', by)
    end
    moved = moved + 1
  end
end
return moved
