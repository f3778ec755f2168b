-- Deletes consumers that hold nothing and have done nothing for a while. In one script, because
-- DELCONSUMER drops what a consumer holds.
--
-- KEYS     1 stream   2 open   3 expiry   4 log   5 generation
-- ARGV     1 generation   2 group   3 milliseconds without a claim
-- Returns  how many; -1 if the generation is another

if redis.call('GET', KEYS[5]) ~= ARGV[1] then
  return -1
end
local deleted = 0
for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[2])) do
  local said = {}
  for i = 1, #consumer, 2 do
    said[consumer[i]] = consumer[i + 1]
  end
  if said.pending == 0 and said.idle >= tonumber(ARGV[3]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[2], said.name)
    deleted = deleted + 1
  end
end
return deleted
