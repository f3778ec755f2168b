-- Claims jobs. The same attempt is told the same again.
--
-- Refused is what another attempt holds, and what waits at a later number: the claimant has not heard
-- of something yet. Not refused is a broker that holds the job itself, by an earlier attempt: it gave
-- that one up, and the news of it are on their way. A job without an entry gets one: its claim may be
-- asked for before it is announced.
--
-- A claim that is told again by another broker ("each") is that broker's from then on: it looks after
-- the attempt.
--
-- The pending entry under the worker's name is for people who look; `open` decides.
--
-- KEYS     1 stream   2 open   3 expiry   4 log   5 generation
-- ARGV     1 generation   2 group   3 broker   4 "all": all or none; "each": each that can be had
--          then for each job: job, number, attempt, worker, lease (ms), held ("pop" or "stream")
-- Returns  how many the claimant holds now; -1 if the generation is another

if redis.call('GET', KEYS[5]) ~= ARGV[1] then
  return -1
end
local wanted = {}
local held = 0
for i = 5, #ARGV, 6 do
  local job, number, attempt = ARGV[i], tonumber(ARGV[i + 1]), ARGV[i + 2]
  local known = redis.call('HGET', KEYS[2], job)
  local entry, at, holder, how, by, worker
  if known then
    entry, at, holder, how, by, worker = known:match('^(%S+) (%d+) (%S+) (%S+) (%S+) (.*)$')
    at = tonumber(at)
  end
  if holder == attempt then
    held = held + 1
    -- The first time it may have been asked for before the worker's name was known.
    if ARGV[4] == 'each' and (worker ~= ARGV[i + 3] or by ~= ARGV[3]) then
      wanted[#wanted + 1] = { i, entry, by }
      held = held - 1
    end
  elseif not known or (holder == '-' and at <= number) or (by == ARGV[3] and at < number) then
    wanted[#wanted + 1] = { i, entry, '-' }
  elseif ARGV[4] == 'all' then
    return 0
  end
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, want in ipairs(wanted) do
  local i, entry = want[1], want[2]
  local job, number, attempt, worker = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local function take()
    return #redis.call('XCLAIM', KEYS[1], ARGV[2], worker, 0, entry, 'FORCE', 'JUSTID') > 0
  end
  if not entry or not take() then
    entry = redis.call('XADD', KEYS[1], '*', 'job', job, 'number', number)
    take()
  end
  redis.call('HSET', KEYS[2], job,
    table.concat({ entry, number, attempt, ARGV[i + 5], ARGV[3], worker }, ' '))
  redis.call('ZADD', KEYS[3], now + ARGV[i + 4], job)
  redis.call('XADD', KEYS[4], 'MAXLEN', '~', '50000', '*',
    'what', 'claimed', 'job', job, 'attempt', attempt, 'number', number, 'broker', ARGV[3],
    'held', ARGV[i + 5], 'from', want[3])
end
return held + #wanted
