-- Says that a broker tells of an attempt from now on: what others still say of it is not told.
--
-- KEYS     1 log   2 at
-- ARGV     1 broker   2 job   3 attempt
-- Returns  epoch, number of the last event, bytes of text told of the attempt; epoch 0 if there is no
--          log, bytes -1 if a later attempt has been told of

local run = redis.call('INFO', 'server'):match('run_id:(%x+)')
local at = redis.call('HMGET', KEYS[2], 'epoch', 'seq', 'job:' .. ARGV[2], 'run')
local epoch, seq = at[1], tonumber(at[2] or 0)
if not epoch or at[4] ~= run or (seq > 0 and redis.call('EXISTS', KEYS[1]) == 0) then
  return { 0, 0, 0 }
end
local current, bytes = (at[3] or '0 0 -'):match('^(%d+) (%d+)')
current, bytes = tonumber(current), tonumber(bytes)
local attempt = tonumber(ARGV[3])
if attempt < current then
  return { tonumber(epoch), seq, -1 }
end
if attempt > current then
  -- What was told of an earlier one no longer holds. That is said with the first event of this one.
  return { tonumber(epoch), seq, 0 }
end
redis.call('HSET', KEYS[2], 'job:' .. ARGV[2], attempt .. ' ' .. bytes .. ' ' .. ARGV[1])
return { tonumber(epoch), seq, bytes }
