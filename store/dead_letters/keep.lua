-- Keeps a failed check for a replay: a person can mend the reason of its failure.
-- KEYS: 1 dead, by time  2 letters  3 bytes of the letters  4 counters
-- ARGV: 1 task id  2 letter (JSON)  3 most letters  4 most bytes of them
-- Always: the letters stay within both bounds; the oldest goes first.
local function drop(task_id)
  local size = redis.call('HSTRLEN', KEYS[2], task_id)
  redis.call('HDEL', KEYS[2], task_id)
  redis.call('ZREM', KEYS[1], task_id)
  return redis.call('DECRBY', KEYS[3], size)
end
drop(ARGV[1])
if #ARGV[2] > tonumber(ARGV[4]) then
  redis.call('HINCRBY', KEYS[4], 'dead_dropped', 1)
  return 0
end
local clock = redis.call('TIME')
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[1], clock[1] + clock[2] / 1000000, ARGV[1])
local bytes = redis.call('INCRBY', KEYS[3], #ARGV[2])
local count = redis.call('ZCARD', KEYS[1])
while count > tonumber(ARGV[3]) or bytes > tonumber(ARGV[4]) do
  bytes = drop(redis.call('ZRANGE', KEYS[1], 0, 0)[1])
  count = count - 1
  redis.call('HINCRBY', KEYS[4], 'dead_dropped', 1)
end
redis.call('HINCRBY', KEYS[4], 'dead_kept', 1)
return 1
