-- Ends a check that is not parked, and publishes what follows.
-- KEYS: 1 record  2 shelved  3 shelf
-- ARGV: 1 run  2 seconds to keep the mark  3 task id  4… pairs of a broker's list and a message
-- Returns: 'ended' | 'busy' (another run is sending it) | 'repeated' (it ended, or waits, by another run)
-- Always: what follows is published by one run, once, however often that one asks. No copy of its message is on the
-- shelf after it: it could come back when the mark is gone.
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local state, run, lease = unpack(redis.call('HMGET', KEYS[1], 'state', 'run', 'lease'))
if state == 'done' and run == ARGV[1] then
  return 'ended'
end
if state and state ~= 'sending' then
  return 'repeated'
end
if state and run ~= ARGV[1] and tonumber(lease) > now then
  return 'busy'
end
for i = 4, #ARGV, 2 do
  redis.call('LPUSH', ARGV[i], ARGV[i + 1])
end
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('ZREM', KEYS[3], ARGV[3])
redis.call('HSET', KEYS[1], 'state', 'done', 'run', ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 'ended'
