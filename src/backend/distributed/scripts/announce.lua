-- Announces jobs, for the first time or after they were given back: each waits from now on.
--
-- A job that stands in `open` at this number or a later one was announced or claimed since, and stays
-- as it is. One that is held at an earlier number, or by the attempt that is given back, is taken from
-- its holder. That it was returned is told of attempts that were written down: of another one, whoever
-- claimed it may be about to write it down, and closes it then. It gets an entry of its own again: whoever
-- follows the stream sees it wait, and the old entry no longer shows it as somebody's.
--
-- KEYS     1 stream   2 open   3 expiry   4 log   5 generation
-- ARGV     1 generation   2 group   3 broker, then for each job:
--          job, number of its next attempt, attempt that is given back or "-", "1" if that counts as a
--          fault and "-" if it was never written down, order, created (ms), owner, needs
-- Returns  how many changed; -1 if the generation is another
--
-- A value of `open` is "<entry> <number> <attempt> <held> <broker> <worker>", with "-" for the
-- attempt, held and broker of a job that waits.

if redis.call('GET', KEYS[5]) ~= ARGV[1] then
  return -1
end
local changed = 0
for i = 4, #ARGV, 8 do
  local job, number, returned = ARGV[i], tonumber(ARGV[i + 1]), ARGV[i + 2]
  local known = redis.call('HGET', KEYS[2], job)
  local is_due = true
  if known then
    local entry, at, holder = known:match('^(%S+) (%d+) (%S+)')
    at = tonumber(at)
    if holder ~= '-' and holder == returned then
      number = math.max(number, at + 1)
    elseif at >= number then
      is_due = false
    end
    if is_due then
      redis.call('XACK', KEYS[1], ARGV[2], entry)
      redis.call('XDEL', KEYS[1], entry)
      redis.call('ZREM', KEYS[3], job)
      if holder ~= returned or ARGV[i + 3] ~= '-' then
        redis.call('XADD', KEYS[4], 'MAXLEN', '~', '50000', '*',
          'what', 'returned', 'job', job, 'attempt', holder, 'number', at, 'broker', ARGV[3],
          'fault', ARGV[i + 3])
      end
    end
  end
  if is_due then
    local entry = redis.call('XADD', KEYS[1], '*', 'job', job, 'number', number,
      'order', ARGV[i + 4], 'created', ARGV[i + 5], 'owner', ARGV[i + 6], 'needs', ARGV[i + 7],
      'broker', ARGV[3])
    redis.call('HSET', KEYS[2], job, entry .. ' ' .. number .. ' - - - ')
    changed = changed + 1
  end
end
return changed
