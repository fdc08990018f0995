-- Marks an access token that the platform refused, so that the next caller renews it.
-- KEYS: 1 token
-- ARGV: 1 value that was refused
-- Returns: 1 if it was the current one and is to be renewed, else 0
-- Always: a newer token stays; one that the platform has just given again is not renewed once more.
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local value, confirmed_until = unpack(redis.call('HMGET', KEYS[1], 'value', 'confirmed_until'))
if value ~= ARGV[1] or (confirmed_until and tonumber(confirmed_until) > now) then
  return 0
end
redis.call('HSET', KEYS[1], 'rejected', value, 'expires_at', 0, 'refresh_at', 0)
return 1
