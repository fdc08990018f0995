#!lua flags=allow-oom
-- Renews messages that are still in hand, so that they are not given out again.
-- KEYS: 1 unacknowledged, by time
-- ARGV: delivery tags
-- Always: a message that is no longer unacknowledged is not added.
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
for _, tag in ipairs(ARGV) do
  redis.call('ZADD', KEYS[1], 'XX', now, tag)
end
