-- Adds a process' counts to this minute, this hour and all time, by Redis' clock.
-- KEYS: 1 all time  2 latest  3 newest failures; the keys of a minute and an hour begin with the first (store.keys)
-- ARGV: 1 seconds to keep a minute  2 seconds to keep an hour  3 failures to keep  4 number of failures that follow
--       5… failures (JSON, the oldest first), then pairs of a field and a number
-- Always: the number of fields bounds each hash; a minute and an hour expire.
local clock = redis.call('TIME')
local minute = KEYS[1] .. ':m:' .. math.floor(clock[1] / 60)
local hour = KEYS[1] .. ':h:' .. math.floor(clock[1] / 3600)
local first = 5 + ARGV[4]
for i = 5, first - 1 do
  redis.call('LPUSH', KEYS[3], '{"at":' .. clock[1] .. ',' .. string.sub(ARGV[i], 2))
end
if first > 5 then
  redis.call('LTRIM', KEYS[3], 0, ARGV[3] - 1)
end
for i = first, #ARGV, 2 do
  for _, hash in ipairs({minute, hour, KEYS[1]}) do
    redis.call('HINCRBY', hash, ARGV[i], ARGV[i + 1])
  end
  redis.call('HSET', KEYS[2], ARGV[i], clock[1])
end
redis.call('EXPIRE', minute, ARGV[1])
redis.call('EXPIRE', hour, ARGV[2])
