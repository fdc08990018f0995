#!lua flags=allow-oom
-- Goes on from the platform's count of a lane's calls today, if it is higher than the one that is kept.
-- KEYS: 1 quota
-- ARGV: 1 the platform's count, or -1 only to read
-- Returns: the calls of today that were counted here
local DAY = 86400000000
local SHANGHAI = 28800000000
local clock = redis.call('TIME')
local today = math.floor((clock[1] * 1000000 + clock[2] + SHANGHAI) / DAY)
local day, used = unpack(redis.call('HMGET', KEYS[1], 'day', 'used'))
used = tonumber(day or 0) == today and tonumber(used or 0) or 0
if tonumber(ARGV[1]) > used and tonumber(day or 0) == today then
  redis.call('HSET', KEYS[1], 'used', ARGV[1])
end
return used
