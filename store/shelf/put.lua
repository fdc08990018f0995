-- Lays a check on the shelf until its return to its queue.
-- Uses: store/records/owner
-- KEYS: 1 shelved  2 shelf  3 record
-- ARGV: 1 task id  2 message (JSON)  3 time of the return (seconds since the epoch)  4 run, or ''  5 'sent' (the run
--       has begun to send the check, and the call failed) | 'busy' (another run sends the check) | 'later'  6 digest of
--       the check, or ''  7 seconds to keep the record after the time of the return
-- Returns: 'cancelled' (since this run began to send the check: the run keeps the lease, and ends the check)
--        | 'taken' (a check with other content is under way under this task id)
--        | 'shelved'
--        | 'over' (the check is ended, parked, or on the shelf already)
--        | 'lost' (after 'sent': another run has the check, or its record is gone)
--        | 'free' (after 'busy': no other run sends the check any more)
-- Always: a message on the shelf has its entry there. Another run may now send the check that this run was about to
--         send.
local clock = redis.call('TIME')
local state, run, cancelled, of = unpack(redis.call('HMGET', KEYS[3], 'state', 'run', 'cancelled', 'of'))
local whose_it_is
of, whose_it_is = records_owner({}, {state, of, ARGV[6]})
if whose_it_is == 'taken' then
  return 'taken'
end
if whose_it_is == 'free' then
  state, run = false, false
end
if state and state ~= 'sending' then
  return 'over'
end
if ARGV[5] == 'busy' then
  if not state then
    return redis.call('EXISTS', KEYS[1]) == 1 and 'over' or 'free'
  end
elseif ARGV[5] == 'sent' and run ~= ARGV[4] then
  -- a second call, after the first answer was lost, finds the check on the shelf
  return not state and redis.call('EXISTS', KEYS[1]) == 1 and 'shelved' or 'lost'
end
if state and run == ARGV[4] and cancelled then
  return 'cancelled'
end
redis.call('SET', KEYS[1], ARGV[2])
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
if state and run == ARGV[4] or whose_it_is == 'free' then
  redis.call('DEL', KEYS[3])
end
if not state or run == ARGV[4] then
  if of ~= '' then
    -- while the check is on the shelf, no other check may use its task id
    redis.call('HSET', KEYS[3], 'of', of)
    redis.call('EXPIRE', KEYS[3], math.ceil(math.max(0, ARGV[3] - clock[1]) + ARGV[7]))
  end
end
return 'shelved'
