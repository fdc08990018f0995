-- Parks a check under its trace_id; a push that came first is handed over at once.
-- KEYS: 1 check  2 due  3 task  4 counters
-- ARGV: 1 appid:trace_id  2 task id  3 rest (JSON)  4 seconds to wait for the push  5 seconds of lease
-- Returns: 'waiting' | 'finishing' (the push was here before) | 'ended' | 'taken' (another check has this trace_id)
-- Always: a check in state waiting or finishing is in due, and has its task key. Said twice, for the first answer may
-- be lost, it says the same again, or what has become of the check since.
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local state, owner = unpack(redis.call('HMGET', KEYS[1], 'state', 'task_id'))
if not state then
  redis.call('HSET', KEYS[1], 'state', 'waiting', 'task_id', ARGV[2], 'rest', ARGV[3])
  redis.call('ZADD', KEYS[2], now + ARGV[4], ARGV[1])
  redis.call('SET', KEYS[3], ARGV[1])
  return 'waiting'
end
if state == 'early' then
  redis.call('HSET', KEYS[1], 'state', 'finishing', 'task_id', ARGV[2], 'rest', ARGV[3])
  redis.call('ZADD', KEYS[2], now + ARGV[5], ARGV[1])
  redis.call('SET', KEYS[3], ARGV[1])
  redis.call('HINCRBY', KEYS[4], 'push_early', 1)
  return 'finishing'
end
if owner == ARGV[2] then
  return state
end
return 'taken'
