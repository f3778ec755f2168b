-- Reads a request's log after a place in it.
--
-- KEYS     1 log   2 at
-- ARGV     1 brokers that are alive, with spaces between   2 epoch   3 number of the event before the
--          first that is wanted   4 how many at most, "0" for none
-- Returns  epoch, number of the last event, 1 if that ends the log, then the events as JSON; these
--          only if the epoch is the one that was asked for. Epoch 0 if there is no log, or only one
--          that nobody alive began and that has not ended

local at = redis.call('HMGET', KEYS[2], 'epoch', 'seq', 'begun', 'done')
local epoch, seq, begun, done = at[1], tonumber(at[2] or 0), at[3], at[4]
local is_alive = done or (begun and (' ' .. ARGV[1] .. ' '):find(' ' .. begun .. ' ', 1, true))
if not epoch or not is_alive or (seq > 0 and redis.call('EXISTS', KEYS[1]) == 0) then
  return { 0, 0, 0 }
end
local answer = { tonumber(epoch), seq, done and 1 or 0 }
if ARGV[4] ~= '0' and epoch == ARGV[2] and tonumber(ARGV[3]) < seq then
  local from = epoch .. '-' .. string.format('%.0f', tonumber(ARGV[3]) + 1)
  for _, entry in ipairs(redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', ARGV[4])) do
    answer[#answer + 1] = entry[2][2]
  end
end
return answer
