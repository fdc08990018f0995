-- Says that a run does not send a check after all, or ends it: it comes back later.
-- KEYS: 1 record
-- ARGV: 1 run
-- Always: an ending that is noted stays, for the run that comes, and how often the end was refused.
local state, run, ending, refused = unpack(redis.call('HMGET', KEYS[1], 'state', 'run', 'ending', 'refused'))
if state ~= 'sending' or run ~= ARGV[1] then
  return
end
if ending or refused then
  redis.call('HSET', KEYS[1], 'lease', 0)
else
  redis.call('DEL', KEYS[1])
end
