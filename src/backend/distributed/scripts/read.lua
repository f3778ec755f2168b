-- Reads a request's log after a place in it.
--
-- KEYS     1 log   2 at
-- ARGV     1 epoch   2 number of the event before the first that is wanted   3 how many at most, "0"
--          for none
-- Returns  epoch, number of the last event, 1 if that ends the log, then the events as JSON; these
--          only if the epoch is the one that was asked for. Epoch 0 if there is no log

local run = redis.call('INFO', 'server'):match('run_id:(%x+)')
local at = redis.call('HMGET', KEYS[2], 'epoch', 'seq', 'done', 'run')
local epoch, seq, done = at[1], tonumber(at[2] or 0), at[3]
if not epoch or (not done and at[4] ~= run) or (seq > 0 and redis.call('EXISTS', KEYS[1]) == 0) then
  return { 0, 0, 0 }
end
local answer = { tonumber(epoch), seq, done and 1 or 0 }
if ARGV[3] ~= '0' and epoch == ARGV[1] and tonumber(ARGV[2]) < seq then
  local from = epoch .. '-' .. string.format('%.0f', tonumber(ARGV[2]) + 1)
  for _, entry in ipairs(redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', ARGV[3])) do
    answer[#answer + 1] = entry[2][2]
  end
end
return answer
