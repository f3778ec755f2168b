-- Begins a generation of a kind's live queue: empty, with its group of workers.
--
-- The generation is a word that every other script names. Whoever builds the queue anew takes a word
-- of its own first, so that nobody claims from a queue that is half there, and then the word that is
-- to last. A server that was flushed has no word, and refuses everything until it is built again.
--
-- KEYS     1 stream   2 open   3 expiry   4 log   5 generation
-- ARGV     1 the word that is there now, "" for none   2 the new word
--          3 milliseconds until it lapses, "0" for never   4 group   5 "empty" to empty the queue
-- Returns  1, or 0 if another word is there

if (redis.call('GET', KEYS[5]) or '') ~= ARGV[1] then
  return 0
end
if ARGV[5] == 'empty' then
  redis.call('UNLINK', KEYS[1], KEYS[2], KEYS[3])
  redis.call('XGROUP', 'CREATE', KEYS[1], ARGV[4], '0', 'MKSTREAM')
  redis.call('XADD', KEYS[4], 'MAXLEN', '~', '50000', '*', 'what', 'emptied')
end
if ARGV[3] == '0' then
  redis.call('SET', KEYS[5], ARGV[2])
else
  redis.call('SET', KEYS[5], ARGV[2], 'PX', ARGV[3])
end
return 1
