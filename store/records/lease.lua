-- Leases a check to a run that is about to send it.
-- Uses: store/records/owner
-- KEYS: 1 record
-- ARGV: 1 run  2 seconds of the lease  3 seconds to keep the record if nobody ends the check  4 digest of the check, or
--       ''
-- Returns: {'go'}
--        | {'anew'} (send the check; a check with other content ended under this task id, and its result may still be
--          stored)
--        | {'busy', seconds left of another run's lease}
--        | {'noted', ending (JSON)}
--        | {'cancelled'}
--        | {'waiting'}
--        | {'done'}
--        | {'taken'} (a check with other content is under way under this task id)
-- Always: of two runs one sends, until its lease is over; none sends a check that has its ending, or was cancelled.
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local state, run, lease, ending, cancelled, of =
  unpack(redis.call('HMGET', KEYS[1], 'state', 'run', 'lease', 'ending', 'cancelled', 'of'))
local whose_it_is
of, whose_it_is = records_owner({}, {state, of, ARGV[4]})
if whose_it_is == 'taken' then
  return {'taken'}
end
if whose_it_is == 'free' then
  redis.call('DEL', KEYS[1])
  state, ending, cancelled = false, false, false
end
if state and state ~= 'sending' then
  return {state}
end
if state and run ~= ARGV[1] and tonumber(lease) > now then
  return {'busy', tostring(lease - now)}
end
redis.call('HSET', KEYS[1], 'state', 'sending', 'run', ARGV[1], 'lease', now + ARGV[2], 'begun', now, 'of', of)
if ending then
  return {'noted', ending}  -- the record expires no later than before
end
redis.call('EXPIRE', KEYS[1], ARGV[3])
if cancelled then
  return {'cancelled'}
end
return {string.find(of, ' ') and 'anew' or 'go'}
