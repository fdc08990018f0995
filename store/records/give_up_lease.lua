-- Gives up a run's lease: the run neither sends the check nor ends it, and the check comes back later.
-- KEYS: 1 record
-- ARGV: 1 run
-- Returns: 1 if the check was cancelled meanwhile: the run keeps the lease, and ends the check; else 0
-- Always: a noted ending stays for the next run, and so does the number of refused ends.
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
