-- Matches a push with its check and publishes the finish; keeps a push that comes before its check is parked.
-- Uses: store/parked/publish_finish, store/outbox/acknowledge
-- KEYS: 1 check  2 due  3 counters  4 kept message  5 unacknowledged messages  6 their index
-- ARGV: 1 appid:trace_id  2 outcome (JSON)  3 seconds to keep an early push  4 seconds of lease  5 the list for
--       finishes  6 delivery tag of the push's message, or ''
-- Returns: {'matched', task id, rest, seconds since the parking}: the finish is published if rest is '', else the
--          caller publishes it
--        | {'matched'} (the finish is already on its way)
--        | {'early'}
--        | {'repeated'}
--        | {'late'}
--        | {'orphaned'}
-- Always: the first push counts; a later one changes nothing. The same step acknowledges the push's message.
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local state, ended, task_id, outcome, claimed, since =
  unpack(redis.call('HMGET', KEYS[1], 'state', 'ended', 'task_id', 'outcome', 'claimed', 'since'))
local rest = state == 'waiting' and parked_publish_finish({KEYS[1], KEYS[4]}, {ARGV[5]})
if type(rest) == 'table' then
  return rest
end
outbox_acknowledge({KEYS[5], KEYS[6]}, {ARGV[6]})
if not state then
  redis.call('HSET', KEYS[1], 'state', 'early', 'outcome', ARGV[2], 'pushed', now)
  redis.call('ZADD', KEYS[2], now + ARGV[3], ARGV[1])
  return {'early'}
end
if state == 'waiting' then
  redis.call('HSET', KEYS[1], 'state', 'finishing', 'outcome', ARGV[2], 'pushed', now)
  redis.call('ZADD', KEYS[2], now + ARGV[4], ARGV[1])
  redis.call('HINCRBY', KEYS[3], 'push_matched', 1)
  -- a check parked by an older version has no 'since'
  return {'matched', task_id, rest, tostring(now - (since or now))}
end
if state == 'finishing' then
  ended = cjson.decode(outcome).ended
  if ended == 'timeout' and not claimed then
    -- the finish of the time-out has not run yet: the verdict takes the place of the time-out
    redis.call('HSET', KEYS[1], 'outcome', ARGV[2])
    redis.call('HINCRBY', KEYS[3], 'push_matched', 1)
    return {'matched'}
  end
end
local what = 'repeated'
if ended == 'timeout' then
  what = 'late'
elseif ended == 'cancelled' then
  what = 'orphaned'
end
redis.call('HINCRBY', KEYS[3], 'push_' .. what, 1)
return {what}
