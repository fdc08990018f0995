#!lua flags=allow-oom
-- Takes messages from the lists of a broker's queues, and records them as unacknowledged, in one step.
-- KEYS: 1 unacknowledged  2 its index  3… lists, the one to take from first comes first
-- ARGV: a new delivery tag for each message that may be taken
-- Returns: for each message the number of its list (from 0), and the message
-- Always: a message is in its list or unacknowledged, even if the caller dies. A Redis without memory left allows the
--         script, too: else nobody could make room.
-- most fetches of an idle worker find nothing: one command tells so for all lists
if redis.call('EXISTS', unpack(KEYS, 3)) == 0 then
  return {}
end
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local taken, tags = {}, 0
for list = 3, #KEYS do
  local messages = tags < #ARGV and redis.call('LRANGE', KEYS[list], tags - #ARGV, -1) or {}
  for i = #messages, 1, -1 do
    tags = tags + 1
    -- before it leaves its list: an ACL may stop the script
    redis.call('HSET', KEYS[1], ARGV[tags], KEYS[list] .. '\n' .. messages[i])
    -- a microsecond apart: redeliver.lua gives the messages out again in this order
    redis.call('ZADD', KEYS[2], now + tags / 1000000, ARGV[tags])
    taken[2 * tags - 1], taken[2 * tags] = list - 3, messages[i]
  end
  if #messages > 0 then
    redis.call('RPOP', KEYS[list], #messages)
  end
end
return taken
