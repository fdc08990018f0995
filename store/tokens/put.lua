#!lua flags=allow-oom
-- Stores a renewed access token, or (without a value) ends a renewal that failed.
-- KEYS: 1 token
-- ARGV: 1 fence of this renewal  2 value or ''  3 seconds of the value's life  4 seconds for which others wait after a
--       failure  5 seconds for which a value that came again is kept
-- Returns: the stored value, or ''
-- Always: a renewal that began later wins; a late renewal writes nothing, even if the store was emptied since.
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local fence, stored = unpack(redis.call('HMGET', KEYS[1], 'fence', 'stored'))
local latest = ARGV[1] == fence
if ARGV[2] == '' then
  if latest then
    redis.call('HSET', KEYS[1], 'renewing_until', now + ARGV[4])
  end
  return redis.call('HGET', KEYS[1], 'value') or ''
end
if not fence or tonumber(ARGV[1]) > tonumber(fence) then
  return ARGV[2] -- numbered by a store that is gone: of use to its caller only
end
if tonumber(ARGV[1]) > tonumber(stored or 0) then
  local lives = tonumber(ARGV[3])
  if redis.call('HGET', KEYS[1], 'rejected') == ARGV[2] then
    redis.call('HSET', KEYS[1], 'confirmed_until', now + ARGV[5])
  end
  redis.call('HSET', KEYS[1], 'value', ARGV[2], 'stored', ARGV[1],
    'expires_at', now + lives, 'refresh_at', now + lives - math.min(300, lives / 2))
end
if latest then
  redis.call('HDEL', KEYS[1], 'renewing_until')
end
return redis.call('HGET', KEYS[1], 'value') or ''
