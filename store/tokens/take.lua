-- Returns the shared access token, or leave to renew it.
-- KEYS: 1 token
-- ARGV: 1 seconds that a renewal may take
-- Returns: {'use', value} | {'renew', fence, value or ''} | {'wait'}
-- Always: one process renews at a time; meanwhile the others use the old value as long as it lives.
-- the hash: value, expires_at, refresh_at (from then on one process renews), fence (counts renewals begun), stored (the
-- renewal that value came from), renewing_until, rejected (the value that the platform refused last), confirmed_until
-- (until then a value that the platform has given once more is not renewed again); times in seconds since the epoch
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local value, expires_at, refresh_at, renewing_until =
  unpack(redis.call('HMGET', KEYS[1], 'value', 'expires_at', 'refresh_at', 'renewing_until'))
local alive = value and tonumber(expires_at) > now
if alive and now < tonumber(refresh_at) then
  return {'use', value}
end
if renewing_until and tonumber(renewing_until) > now then
  return alive and {'use', value} or {'wait'}
end
redis.call('HSET', KEYS[1], 'renewing_until', now + ARGV[1])
return {'renew', redis.call('HINCRBY', KEYS[1], 'fence', 1), alive and value or ''}
