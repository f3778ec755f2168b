-- Appends events to a request's log, each once, and begins the log if there is none.
--
-- `at` keeps, beside the log: its epoch, the number of its last event (seq), which broker began it,
-- whether it has ended (done), how many events of each broker's share are in it (by:<broker>), for each
-- job "<attempt> <bytes of text told> <broker that tells>" (job:<index>), which jobs have their result
-- (end:<index>), how many (results), what is told once (said:<what>), and whether it is anything but the
-- share of who began it (mixed), and the run of the server that it was begun in (run). A server that was
-- started again may have been set back: a log of an earlier run counts as none, unless it has ended.
--
-- Several brokers may have something to say of a request, and the same may be said by two: what was
-- said is not said again. The end waits until every result before it is there.
--
-- A broker appends its share in order and counts it, so a call that is repeated adds nothing twice. It
-- names the epoch that it knows. If the log is not there, or is another one by now, it is told so and
-- appends nothing: what came before would be missing. It then begins with its whole share again.
-- A log outlives the broker that began it. What that one had still to say is missing from it: results
-- are told again by whoever takes over from Records, and the end waits for them.
--
-- KEYS     1 log   2 at
-- ARGV     1 epoch that the broker knows, "0" for none   2 epoch of a log that is begun now
--          3 broker   4 place of the first event in the broker's share, from 0
--          5 how many at the beginning of the share are for a log that is begun, and for none else
--          6 milliseconds that the log is kept
--          then for each event: what it does, job, attempt, bytes of text, the event as JSON
--          ("p": told of an attempt in progress; "a": attempt begins; "z": the job starts over after this attempt
--          (0: after any), all if the job is ""; "r": result, with the bytes of its text, -1 if it has none; "d": the last, with the number of results as its bytes; "c", "f":
--          once; "q": only of a log that the broker began; "t": this broker tells of the attempt from now
--          on, with the text told so far: said only if the log has another one)
-- Returns  epoch, seq, how many of the share are in, 1 if the log is nothing but the share, why it went no
--          further: 0 it did, 1 the end waits for results, 2 the text told is not that of the result; all
--          0 if the log the broker knows is gone

local run = redis.call('INFO', 'server'):match('run_id:(%x+)')
local at = redis.call('HMGET', KEYS[2], 'epoch', 'seq', 'begun', 'done', 'run')
local epoch, seq, begun, done = at[1], tonumber(at[2] or 0), at[3], at[4]
local last_epoch = tonumber(epoch or 0)
if epoch and ((seq > 0 and redis.call('EXISTS', KEYS[1]) == 0) or (not done and at[5] ~= run)) then
  epoch = false
end
local broker, first = ARGV[3], tonumber(ARGV[4])
local is_begun = false
if ARGV[1] ~= '0' then
  if epoch ~= ARGV[1] then
    return { 0, 0, 0, 0 }
  end
elseif not epoch then
  if first > 0 then
    return { 0, 0, 0, 0 }
  end
  redis.call('UNLINK', KEYS[1], KEYS[2])
  epoch, seq, begun = string.format('%.0f', math.max(tonumber(ARGV[2]), last_epoch + 1)), 0, broker
  redis.call('HSET', KEYS[2], 'epoch', epoch, 'seq', 0, 'begun', broker, 'run', run)
end
local applied = tonumber(redis.call('HGET', KEYS[2], 'by:' .. broker) or 0)
if begun ~= broker then
  applied = math.max(applied, tonumber(ARGV[5]))
end
if first > applied then
  return { 0, 0, 0, 0 }
end

local function told(job)
  local said = redis.call('HGET', KEYS[2], 'job:' .. job) or '0 0 -'
  local attempt, bytes, teller = said:match('^(%d+) (%d+) (%S+)')
  return tonumber(attempt), tonumber(bytes), teller
end
local function start_over(job)
  local attempt, bytes = told(job)
  redis.call('HSET', KEYS[2], 'job:' .. job, attempt .. ' 0 ' .. broker)
  return bytes > 0
end
local is_mixed = begun ~= broker
local function say(event)
  seq = seq + 1
  redis.call('XADD', KEYS[1], epoch .. '-' .. string.format('%.0f', seq), 'event', event)
end
local function say_over(job)
  say('{"reset":{"job":' .. job .. '}}')
  is_mixed = true
end
-- What was told of an earlier attempt no longer holds, whether or not its broker has said so yet.
local function begin_attempt(job, attempt, current, so_far)
  if attempt <= current then
    return so_far
  end
  if so_far > 0 then
    say_over(job)
  end
  return 0
end
local function is_told(job, attempt, bytes)
  local current, so_far, teller = told(job)
  return current == attempt and so_far == bytes and (teller == broker or bytes == 0)
end
local function is_first(what)
  return redis.call('HSETNX', KEYS[2], 'said:' .. what, '1') == 1
end

local count = (#ARGV - 6) / 5
local done_with, why = count, 0
for k = applied - first, count - 1 do
  local i = 7 + k * 5
  local what, job, attempt = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2])
  local bytes, body = ARGV[i + 3], ARGV[i + 4]
  local is_said = true
  if done or (job ~= '' and redis.call('HEXISTS', KEYS[2], 'end:' .. job) == 1) then
    is_said = false
  elseif what == 'p' or what == 'a' then
    local current, so_far, teller = told(job)
    if attempt < current or (attempt == current and teller ~= broker) then
      -- A later attempt at the job has been told of, or another broker tells of this one by now; what
      -- its forerunner still says is not for readers.
      is_said = false
    else
      so_far = begin_attempt(job, attempt, current, so_far)
      redis.call('HSET', KEYS[2], 'job:' .. job, attempt .. ' ' .. so_far + bytes .. ' ' .. broker)
    end
  elseif what == 't' then
    local current, so_far = told(job)
    is_said = false
    if attempt >= current then
      so_far = begin_attempt(job, attempt, current, so_far)
      if so_far ~= tonumber(bytes) then
        if so_far > 0 then
          say_over(job)
        end
        is_said = tonumber(bytes) > 0
      end
      redis.call('HSET', KEYS[2], 'job:' .. job, attempt .. ' ' .. bytes .. ' ' .. broker)
    end
  elseif what == 'z' and job ~= '' then
    -- Not if a later attempt has begun: then that was said already.
    is_said = (attempt == 0 or attempt >= told(job)) and start_over(job)
  elseif what == 'z' then
    for _, field in ipairs(redis.call('HKEYS', KEYS[2])) do
      local name = field:match('^job:(.*)$')
      if name then
        start_over(name)
      end
    end
  elseif what == 'r' and bytes ~= '-1' and not is_told(job, attempt, tonumber(bytes)) then
    done_with, why = k, 2
    break
  elseif what == 'r' then
    redis.call('HSET', KEYS[2], 'end:' .. job, attempt)
    redis.call('HINCRBY', KEYS[2], 'results', 1)
  elseif what == 'c' or what == 'f' then
    is_said = is_first(what)
  elseif what == 'q' then
    -- Whoever began to work on it was faster than who accepted it.
    is_said = seq == 0 or begun == broker
  elseif what == 'd' then
    if tonumber(redis.call('HGET', KEYS[2], 'results') or 0) < tonumber(bytes) then
      done_with, why = k, 1
      break
    end
    done = '1'
    redis.call('HSET', KEYS[2], 'done', '1')
  end
  if is_said then
    say(body)
  else
    is_mixed = true
  end
end
if is_mixed then
  redis.call('HSET', KEYS[2], 'mixed', '1')
end
applied = math.max(applied, first + done_with)
redis.call('HSET', KEYS[2], 'seq', seq, 'by:' .. broker, applied)
redis.call('PEXPIRE', KEYS[1], ARGV[6])
redis.call('PEXPIRE', KEYS[2], ARGV[6])
redis.call('PUBLISH', KEYS[1], epoch .. '-' .. string.format('%.0f', seq))
local is_sole = redis.call('HEXISTS', KEYS[2], 'mixed') == 0
return { tonumber(epoch), seq, applied, is_sole and 1 or 0, why }
