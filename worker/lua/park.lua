-- Parks a check under its trace_id; a push that came first is handed over at once.
-- KEYS: 1 check  2 due  3 record  4 counters  5 shelved  6 shelf
-- ARGV: 1 appid:trace_id  2 task id  3 rest (JSON)  4 seconds to wait for the push  5 seconds of lease  6 run that sent it
--       7 outcome of a check that was to be cancelled (JSON)
-- Returns: 'waiting' | 'finishing' (its finish is to be published) | 'ended' | 'taken' (another check has this trace_id)
--          | 'lost' (another run has sent the check since, or nobody knows of it any more: the push for this call will be
--          nobody's)
-- Always: a check in state waiting or finishing is in due, and in its record. Said twice, for the first answer may be
-- lost, it says the same again, or what has become of the check since.
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local state, owner = unpack(redis.call('HMGET', KEYS[1], 'state', 'task_id'))
if state and state ~= 'early' then
  return owner == ARGV[2] and state or 'taken'
end
local recorded, run, cancelled, begun = unpack(redis.call('HMGET', KEYS[3], 'state', 'run', 'cancelled', 'begun'))
if recorded ~= 'sending' or run ~= ARGV[6] then
  return 'lost'
end
-- a copy of its message, shelved while this run sent it, has nothing to do any more
redis.call('DEL', KEYS[3], KEYS[5])
redis.call('ZREM', KEYS[6], ARGV[2])
redis.call('HSET', KEYS[3], 'state', 'waiting', 'member', ARGV[1], 'begun', begun or now)
if state == 'early' or cancelled then
  redis.call('HSET', KEYS[1], 'state', 'finishing', 'task_id', ARGV[2], 'rest', ARGV[3], 'since', now)
  redis.call('ZADD', KEYS[2], now + ARGV[5], ARGV[1])
  if cancelled then
    redis.call('HSET', KEYS[1], 'outcome', ARGV[7])
  else
    redis.call('HINCRBY', KEYS[4], 'push_early', 1)
  end
  return 'finishing'
end
redis.call('HSET', KEYS[1], 'state', 'waiting', 'task_id', ARGV[2], 'rest', ARGV[3], 'since', now)
redis.call('ZADD', KEYS[2], now + ARGV[4], ARGV[1])
return 'waiting'
