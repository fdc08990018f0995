-- Lays a check on the shelf, to go back to its queue later.
-- Uses: store/records/owner
-- KEYS: 1 shelved  2 shelf  3 record
-- ARGV: 1 task id  2 message (JSON)  3 when it goes back (seconds since the epoch)  4 run, or ''
--       5 why: 'sent' (that run has begun to send it, and it failed) | 'busy' (another run sends it) | 'later'
--       6 digest of the check, or ''  7 seconds to keep the record beyond the time when it goes back
-- Returns: 'cancelled' (since this run has begun to send it: it has it still, and ends it) | 'taken' (a check with other
--          content is under way by this id) | 'shelved' | 'over' (it ended, or waits, or is on the shelf already) | 'lost' (where this run has sent it: another
--          one has it, or nobody knows of it any more) | 'free' (where another run sent it: not any more)
-- Always: a message on the shelf has its entry there. What that run was about to send, another one may now.
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
  -- said twice, for the first answer was lost, it is there
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
    -- while it is there, its task id is no other check's
    redis.call('HSET', KEYS[3], 'of', of)
    redis.call('EXPIRE', KEYS[3], math.ceil(math.max(0, ARGV[3] - clock[1]) + ARGV[7]))
  end
end
return 'shelved'
