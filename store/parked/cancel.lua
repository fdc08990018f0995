-- Ends the wait of a check without a push; one that is being sent will not begin to wait.
-- Uses: store/parked/publish_finish
-- KEYS: 1 record  2 check  3 due  4 what is kept of its message
-- ARGV: 1 appid:trace_id, or '' where it was not seen to wait  2 outcome (JSON)  3 seconds of lease  4 the list that
--       finishes go to
-- Returns: {'cancelled', rest}: where the rest is '' its finish is published, else it is to be | {'noted'} | {'again'} (it has been parked since it was
--          looked at) | {} (it is over, or nobody has it)
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
