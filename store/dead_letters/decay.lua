#!lua flags=allow-oom
-- Drops dead letters whose time is over.
-- KEYS: 1 dead, by time  2 letters  3 bytes of the letters
-- ARGV: 1 seconds to keep a letter  2 most letters to drop
-- Returns: the number of dropped letters
local clock = redis.call('TIME')
local old = redis.call('ZRANGE', KEYS[1], '-inf', clock[1] - ARGV[1], 'BYSCORE', 'LIMIT', 0, ARGV[2])
for _, task_id in ipairs(old) do
  redis.call('DECRBY', KEYS[3], redis.call('HSTRLEN', KEYS[2], task_id))
  redis.call('HDEL', KEYS[2], task_id)
  redis.call('ZREM', KEYS[1], task_id)
end
return #old
