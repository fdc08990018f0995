#!lua flags=allow-oom
-- Gives unacknowledged messages back to their lists, each before all that wait there.
-- KEYS: 1 unacknowledged  2 its index
-- ARGV: delivery tags, the one to be given back first comes first
-- Always: a message that was acknowledged, or given out again meanwhile, does not change.
for _, tag in ipairs(ARGV) do
  local record = redis.call('HGET', KEYS[1], tag)
  if record then
    local list, message = record:match('^(.-)\n(.*)$')
    redis.call('RPUSH', list, message)
    redis.call('HDEL', KEYS[1], tag)
  end
  redis.call('ZREM', KEYS[2], tag)
end
