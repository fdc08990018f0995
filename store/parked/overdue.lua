-- Deals with one entry of due whose time has come; several sweepers may call it for the same entry.
-- Uses: store/parked/publish_finish
-- KEYS: 1 check  2 due  3 counters  4 kept message  5 hanging
-- ARGV: 1 appid:trace_id  2 outcome of a time-out (JSON)  3 seconds of lease  4 the list for finishes
-- Returns: {'finishing', task id, rest}: the finish is published if rest is '', else the caller publishes it; a fourth
--          element tells that the push is missing
--        | {'orphaned'}
--        | {} (nothing to do)
-- Always: a check times out once; a finish that hangs is published again after each lease.
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local due = redis.call('ZSCORE', KEYS[2], ARGV[1])
if not due or tonumber(due) > now then
  return {}
end
local state, task_id = unpack(redis.call('HMGET', KEYS[1], 'state', 'task_id'))
if state == 'finishing' then
  redis.call('ZADD', KEYS[5], 'NX', redis.call('HGET', KEYS[1], 'pushed') or now - ARGV[3], ARGV[1])
end
local rest = (state == 'waiting' or state == 'finishing') and parked_publish_finish({KEYS[1], KEYS[4]}, {ARGV[4]})
if type(rest) == 'table' then
  return rest
end
if state == 'waiting' then
  redis.call('HSET', KEYS[1], 'state', 'finishing', 'outcome', ARGV[2])
  redis.call('ZADD', KEYS[2], now + ARGV[3], ARGV[1])
  redis.call('HINCRBY', KEYS[3], 'push_missing', 1)
  return {'finishing', task_id, rest, 'missing'}
end
if state == 'finishing' then
  -- each time later: if finishes only wait in a long queue, more of them would make the queue longer
  local tries = redis.call('HINCRBY', KEYS[1], 'tries', 1)
  redis.call('ZADD', KEYS[2], now + ARGV[3] * 2 ^ math.min(tries, 6), ARGV[1])
  redis.call('HINCRBY', KEYS[3], 'finish_republished', 1)
  return {'finishing', task_id, rest}
end
redis.call('ZREM', KEYS[2], ARGV[1])
if state == 'early' then
  redis.call('DEL', KEYS[1])
  redis.call('HINCRBY', KEYS[3], 'push_orphaned', 1)
  return {'orphaned'}
end
return {}
