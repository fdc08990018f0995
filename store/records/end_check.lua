-- Ends a check that is not parked: its result, what follows and its message with it.
-- Uses: store/outbox/store_end, store/outbox/slice, store/records/owner
-- KEYS: 1 record  2 shelved  3 shelf  4… as settle.lua's
-- ARGV: 1 run  2 seconds to keep the mark  3 task id  4 whether it has begun ('1' or '0')  5 digest of the check,
--       or ''  6… as settle.lua's
-- Returns: 'ended' | 'lost' (another run has it, or nobody knows of it any more) | 'repeated' (it ended, or waits, by
--          another run) | 'taken' (a check with other content is under way by this id)
-- Always: a check is ended by one run, once, however often that one asks. No copy of its message is on the shelf after
-- it: it could come back when the mark is gone.
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local state, run, begun, lease, ending, of =
  unpack(redis.call('HMGET', KEYS[1], 'state', 'run', 'begun', 'lease', 'ending', 'of'))
-- without a state it was replayed since
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
