-- Tells a new lane from a lane whose state was lost.
-- KEYS: 1 lanes
-- ARGV: 1 appid:lane  2 microseconds of a pause after which forgotten calls no longer count
-- Returns: microseconds for which nothing may be sent
-- Always: a lane opens at once only if this very Redis has been watched for longer than twice the pause and has never
--         seen the lane, or if somebody vouched for the lane.
local clock = redis.call('TIME')
local wall = clock[1] * 1000000 + clock[2]
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
local known, since = unpack(redis.call('HMGET', KEYS[1], 'run', 'since'))
if known ~= run then
  redis.call('DEL', KEYS[1])
  since = string.format('%.0f', wall)
  redis.call('HSET', KEYS[1], 'run', run, 'since', since)
end
if redis.call('HGET', KEYS[1], ARGV[1]) == 'vouched' then
  redis.call('HSET', KEYS[1], ARGV[1], 1)
  return 0
end
if redis.call('HSETNX', KEYS[1], ARGV[1], 1) == 0 then
  return tonumber(ARGV[2])
end
-- twice the pause, since a clock may have been put forward
if wall - tonumber(since) < 2 * ARGV[2] then
  return tonumber(ARGV[2])
end
return 0
