-- Notes the ending of a check before anything follows from the ending: a later run goes on from the note.
-- Uses: store/records/owner
-- KEYS: 1 record
-- ARGV: 1 run  2 '1' if the run has begun to send the check, else '0'  3 ending (JSON), or '' for an ending that is not
--       kept  4 seconds in which its follow-ups are stored  5 seconds to keep the record if nobody ends the check
--       6 digest of the check, or ''
-- Returns: {'noted', the ending that counts, or ''}
--        | {'anew', the ending that counts, or ''} (a check with other content ended under this task id, and its result
--          may still be stored)
--        | {'taken'} (a check with other content is under way under this task id)
--        | {'over'} (another run has ended or parked the check)
--        | {'lost'} (another run has the check, or its record is gone)
-- Always: of all endings the first one counts.
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local state, run, lease, ending, of = unpack(redis.call('HMGET', KEYS[1], 'state', 'run', 'lease', 'ending', 'of'))
local whose_it_is
of, whose_it_is = records_owner({}, {state, of, ARGV[6]})
if whose_it_is == 'taken' then
  return {'taken'}
end
if whose_it_is == 'free' then
  redis.call('DEL', KEYS[1])
  state, run, lease, ending = false, false, false, false
end
if state and state ~= 'sending' then
  return {'over'}
end
lease = tonumber(lease) or 0
if run ~= ARGV[1] and (ARGV[2] == '1' or state and lease > now) then
  return {'lost'}
end
ending = ending or ARGV[3]
redis.call('HSET', KEYS[1], 'state', 'sending', 'run', ARGV[1], 'lease', math.max(lease, now + ARGV[4]), 'of', of)
if ending ~= '' then
  redis.call('HSET', KEYS[1], 'ending', ending)
end
redis.call('EXPIRE', KEYS[1], ARGV[5])
return {string.find(of, ' ') and 'anew' or 'noted', ending}
