-- Throws a dead letter away.
-- KEYS: 1 dead, by time  2 letters  3 bytes of the letters
-- ARGV: 1 task id
-- Returns: 1, or 0 if there is no such letter
local size = redis.call('HSTRLEN', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[1], ARGV[1])
if redis.call('HDEL', KEYS[2], ARGV[1]) == 0 then
  return 0
end
redis.call('DECRBY', KEYS[3], size)
return 1
