-- Ends the wait of a check without a push; a check that is being sent is marked and will not begin to wait.
-- Uses: store/parked/publish_finish
-- KEYS: 1 record  2 check  3 due  4 kept message
-- ARGV: 1 appid:trace_id, or '' for a check that was not seen to wait  2 outcome (JSON)  3 seconds of lease  4 the list
--       for finishes
-- Returns: {'cancelled', rest}: the finish is published if rest is '', else the caller publishes it
--        | {'noted'}
--        | {'again'} (the check has been parked since the caller looked)
--        | {} (the check is over, or unknown)
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local recorded, member = unpack(redis.call('HMGET', KEYS[1], 'state', 'member'))
if recorded == 'sending' then
  redis.call('HSET', KEYS[1], 'cancelled', 1)
  return {'noted'}
end
if recorded ~= 'waiting' then
  return {}
end
if member ~= ARGV[1] then
  return {'again'}
end
if redis.call('HGET', KEYS[2], 'state') ~= 'waiting' then
  return {}
end
local rest = parked_publish_finish({KEYS[2], KEYS[4]}, {ARGV[4]})
if type(rest) == 'table' then
  return rest
end
redis.call('HSET', KEYS[2], 'state', 'finishing', 'outcome', ARGV[2])
redis.call('ZADD', KEYS[3], now + ARGV[3], ARGV[1])
return {'cancelled', rest}
