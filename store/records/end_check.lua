-- Ends a check that is not parked, with its result, its follow-up messages and its acknowledgement.
-- Uses: store/outbox/store_end, store/outbox/slice, store/records/owner
-- KEYS: 1 record  2 shelved  3 shelf  4… as store_end.lua's
-- ARGV: 1 run  2 seconds to keep the mark  3 task id  4 '1' if the run has begun to send the check, else '0'  5 digest
--       of the check, or ''  6… as store_end.lua's
-- Returns: 'ended'
--        | 'lost' (another run has the check, or its record is gone)
--        | 'repeated' (another run has ended or parked the check)
--        | 'taken' (a check with other content is under way under this task id)
-- Always: one run ends a check, once, however often that run asks. The shelf keeps no copy of its message, which could
--         come back after the mark has expired.
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local state, run, begun, lease, ending, of =
  unpack(redis.call('HMGET', KEYS[1], 'state', 'run', 'begun', 'lease', 'ending', 'of'))
-- a record without a state: the check was replayed since
if run == ARGV[1] and (state == 'done' or not state) then
  return 'ended'
end
local whose_it_is
of, whose_it_is = records_owner({}, {state, of, ARGV[5]})
if whose_it_is == 'taken' then
  return 'taken'
end
if whose_it_is == 'free' then
  state, begun = false, false
end
if state and state ~= 'sending' then
  return 'repeated'
end
if run ~= ARGV[1] and (ARGV[4] == '1' or state and (ending or tonumber(lease) > now)) then
  return 'lost'
end
local refused = outbox_store_end(outbox_slice(KEYS, {4}), outbox_slice(ARGV, {6}))
if refused then
  return refused
end
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('ZREM', KEYS[3], ARGV[3])
redis.call('HSET', KEYS[1], 'state', 'done', 'run', ARGV[1], 'begun', begun or clock[1], 'ended_at', clock[1], 'fresh', 1,
  'of', of)
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 'ended'
