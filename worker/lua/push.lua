-- Ties a push to its check; one that comes before its check is parked is kept for it.
-- KEYS: 1 check  2 due  3 counters
-- ARGV: 1 appid:trace_id  2 outcome (JSON)  3 seconds to keep an early push  4 seconds of lease
-- Returns: {'finishing', task id, rest} | {'early'} | {'repeated'} | {'late'} | {'orphaned'}
-- Always: the first push counts; a later one changes nothing.
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local state, ended, task_id, rest = unpack(redis.call('HMGET', KEYS[1], 'state', 'ended', 'task_id', 'rest'))
if not state then
  redis.call('HSET', KEYS[1], 'state', 'early', 'outcome', ARGV[2])
  redis.call('ZADD', KEYS[2], now + ARGV[3], ARGV[1])
  return {'early'}
end
if state == 'waiting' then
  redis.call('HSET', KEYS[1], 'state', 'finishing', 'outcome', ARGV[2])
  redis.call('ZADD', KEYS[2], now + ARGV[4], ARGV[1])
  redis.call('HINCRBY', KEYS[3], 'push_matched', 1)
  return {'finishing', task_id, rest}
end
local what = 'repeated'
if ended == 'timeout' then
  what = 'late'
elseif ended == 'cancelled' then
  what = 'orphaned'
end
redis.call('HINCRBY', KEYS[3], 'push_' .. what, 1)
return {what}
