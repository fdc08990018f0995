-- Stops every call of a lane for a while, because the platform refuses its appId.
-- KEYS: 1 quota
-- ARGV: 1 seconds  2 the refusal (JSON)
local clock = redis.call('TIME')
local wall = clock[1] * 1000000 + clock[2]
redis.call('HSET', KEYS[1], 'stopped', string.format('%.0f', wall + ARGV[1] * 1000000), 'refusal', ARGV[2])
return 1
