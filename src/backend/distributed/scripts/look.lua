-- Looks whether a kind's live queue is the one it was. A server that was started again may have been set
-- back to what it held a while ago.
--
-- KEYS     1 stream   2 open   3 expiry   4 log   5 generation
-- Returns  the generation, "" for none, and the run of the server

local run = redis.call('INFO', 'server'):match('run_id:(%x+)')
return { redis.call('GET', KEYS[5]) or '', run }
