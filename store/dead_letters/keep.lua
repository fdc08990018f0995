-- Keeps a failed check for a replay: a person can mend the reason of its failure.
-- Uses: store/dead_letters/drop
-- KEYS: 1 to 3 as store/dead_letters/drop.lua's  4 counters
-- ARGV: 1 task id  2 letter (JSON)  3 most letters  4 most bytes of them
-- Always: the letters stay within both bounds; the oldest goes first.
dead_letters_drop(KEYS, {ARGV[1]})
if #ARGV[2] > tonumber(ARGV[4]) then
  redis.call('HINCRBY', KEYS[4], 'dead_dropped', 1)
  return
end
local clock = redis.call('TIME')
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[1], clock[1] + clock[2] / 1000000, ARGV[1])
redis.call('INCRBY', KEYS[3], #ARGV[2])
while redis.call('ZCARD', KEYS[1]) > tonumber(ARGV[3]) or tonumber(redis.call('GET', KEYS[3])) > tonumber(ARGV[4]) do
  dead_letters_drop(KEYS, redis.call('ZRANGE', KEYS[1], 0, 0))
  redis.call('HINCRBY', KEYS[4], 'dead_dropped', 1)
end
redis.call('HINCRBY', KEYS[4], 'dead_kept', 1)
