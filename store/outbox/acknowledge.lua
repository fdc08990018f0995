#!lua flags=allow-oom
-- Acknowledges a message.
-- KEYS: 1 unacknowledged  2 its index
-- ARGV: 1 delivery tag, or '' where it is none of ours to acknowledge
if ARGV[1] ~= '' then
  redis.call('HDEL', KEYS[1], ARGV[1])
  redis.call('ZREM', KEYS[2], ARGV[1])
end
