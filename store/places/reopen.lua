#!lua flags=allow-oom
-- Lets lanes that open later be looked at now: a worker begins, or a clock was put right.
-- KEYS: 1 open lanes  2 what wakes their workers
-- ARGV: 1 most lanes
-- Returns: the number of lanes
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local later = redis.call('ZRANGE', KEYS[1], '(' .. now, '+inf', 'BYSCORE', 'LIMIT', 0, ARGV[1])
for _, appid in ipairs(later) do
  redis.call('ZADD', KEYS[1], now, appid)
end
if #later > 0 and redis.call('EXISTS', KEYS[2]) == 0 then
  redis.call('LPUSH', KEYS[2], 1)
end
return #later
