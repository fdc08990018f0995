#!lua flags=allow-oom
-- Acknowledges a message.
-- KEYS: 1 unacknowledged messages  2 their index
-- ARGV: 1 delivery tag, or '' for a message that another broker delivered
if ARGV[1] ~= '' then
  redis.call('HDEL', KEYS[1], ARGV[1])
  redis.call('ZREM', KEYS[2], ARGV[1])
end
