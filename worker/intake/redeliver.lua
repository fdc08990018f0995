#!lua flags=allow-oom
-- Gives out again the messages that were not acknowledged for too long: each goes to the front of its list.
-- KEYS: 1 unacknowledged  2 its index
-- ARGV: 1 seconds after which a message is given out again  2 most messages to give out
-- Returns: the number of messages
-- Always: messages that were taken together are given out again in their order, the oldest first. Any number of workers
--         may call at once.
local clock = redis.call('TIME')
local latest = clock[1] + clock[2] / 1000000 - ARGV[1]
local tags = redis.call('ZRANGE', KEYS[2], '-inf', latest, 'BYSCORE', 'LIMIT', 0, ARGV[2])

for i = #tags, 1, -1 do
  local record = redis.call('HGET', KEYS[1], tags[i])
  if record then
    local list, message = record:match('^(.-)\n(.*)$')
    redis.call('RPUSH', list, message)
    redis.call('HDEL', KEYS[1], tags[i])
  end
  redis.call('ZREM', KEYS[2], tags[i])
end
return #tags
