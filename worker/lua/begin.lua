-- Says that a run is about to send a check.
-- KEYS: 1 record
-- ARGV: 1 run  2 seconds in which it ends, or says so again  3 seconds to keep the record, should nobody end it
-- Returns: {'go'} | {'busy', seconds left of another run's lease} | {'concluded', ending (JSON)} | {'waiting'} | {'done'}
-- Always: of two runs one sends, until its lease is over; none, where one before it has its answer.
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local state, run, lease, ending = unpack(redis.call('HMGET', KEYS[1], 'state', 'run', 'lease', 'ending'))
if state and state ~= 'sending' then
  return {state}
end
if state and run ~= ARGV[1] and tonumber(lease) > now then
  return {'busy', tostring(lease - now)}
end
redis.call('HSET', KEYS[1], 'state', 'sending', 'run', ARGV[1], 'lease', now + ARGV[2], 'begun', now)
if ending then
  return {'concluded', ending}  -- it is kept for as long as it was
end
redis.call('EXPIRE', KEYS[1], ARGV[3])
return {'go'}
