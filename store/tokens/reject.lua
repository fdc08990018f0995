#!lua flags=allow-oom
-- Marks an access token that the platform refused, so that the next caller renews it.
-- KEYS: 1 token
-- ARGV: 1 refused value
-- Returns: 1 if the value is the current one and must be renewed, else 0
-- Always: a newer token stays; a token that the platform has just given again is not renewed once more.
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local value, confirmed_until = unpack(redis.call('HMGET', KEYS[1], 'value', 'confirmed_until'))
if value ~= ARGV[1] or (confirmed_until and tonumber(confirmed_until) > now) then
  return 0
end
redis.call('HSET', KEYS[1], 'rejected', value, 'expires_at', 0, 'refresh_at', 0)
return 1
