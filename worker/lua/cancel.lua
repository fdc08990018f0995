-- Ends the wait of a check without a push.
-- KEYS: 1 check  2 due
-- ARGV: 1 appid:trace_id  2 task id  3 outcome (JSON)  4 seconds of lease
-- Returns: {rest}, or {} where the check does not wait (any more)
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local state, task_id, rest = unpack(redis.call('HMGET', KEYS[1], 'state', 'task_id', 'rest'))
if state ~= 'waiting' or task_id ~= ARGV[2] then
  return {}
end
redis.call('HSET', KEYS[1], 'state', 'finishing', 'outcome', ARGV[3])
redis.call('ZADD', KEYS[2], now + ARGV[4], ARGV[1])
return {rest}
