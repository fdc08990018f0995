#!lua flags=allow-oom
-- Closes a lane because the platform says that one of its quotas is used up.
-- KEYS: 1 quota
-- ARGV: 1 the quota: 'second' | 'minute' | 'day'  2 seconds of a lowered rate afterwards
-- Returns: {end of the closing, in microseconds since the epoch, tenths by which the rate is lowered}
-- Always: a closing never makes a lane open earlier. Each closing but a day's lowers the rate by a further tenth, to
--         a half at least; calls that were under way together lower the rate once.
local DAY = 86400000000
local SHANGHAI = 28800000000
local CLOCK_MARGIN = 500000
local clock = redis.call('TIME')
local wall = clock[1] * 1000000 + clock[2]
local closed_until, cut, cut_until = unpack(redis.call('HMGET', KEYS[1], 'closed_until', 'cut', 'cut_until'))
closed_until, cut = tonumber(closed_until or 0), tonumber(cut or 0)
if closed_until > wall + 2 * DAY then
  closed_until = 0 -- of a clock that was far ahead
end
if tonumber(cut_until or 0) <= wall then
  cut = 0
end
local till
if ARGV[1] == 'second' then
  till = wall + 1000000
elseif ARGV[1] == 'minute' then
  till = (math.floor(wall / 60000000) + 1) * 60000000 + CLOCK_MARGIN
else
  till = (math.floor((wall + SHANGHAI) / DAY) + 1) * DAY - SHANGHAI + CLOCK_MARGIN
end
if ARGV[1] ~= 'day' and closed_until <= wall then
  cut = math.min(5, cut + 1)
  redis.call('HSET', KEYS[1], 'cut', cut, 'cut_until', string.format('%.0f', wall + ARGV[2] * 1000000))
end
if till > closed_until then
  redis.call('HSET', KEYS[1], 'closed_until', string.format('%.0f', till), 'why', ARGV[1])
else
  till = closed_until
end
-- calls that did not go out meanwhile are not caught up
redis.call('HDEL', KEYS[1], 'due', 'short')
return {till, cut}
