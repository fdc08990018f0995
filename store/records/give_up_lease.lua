-- Says that a run does not send a check after all, or ends it: it comes back later.
-- KEYS: 1 record
-- ARGV: 1 run
-- Returns: 1 where it has been cancelled since: this run has it still, and ends it; else 0
-- Always: an ending that is noted stays, for the run that comes, and how often the end was refused.
local state, run, ending, refused, cancelled =
  unpack(redis.call('HMGET', KEYS[1], 'state', 'run', 'ending', 'refused', 'cancelled'))
if state ~= 'sending' or run ~= ARGV[1] then
  return 0
end
if cancelled and not ending then
  return 1
end
if ending or refused then
  redis.call('HSET', KEYS[1], 'lease', 0)
else
  redis.call('DEL', KEYS[1])
end
return 0
