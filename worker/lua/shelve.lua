-- Lays a check on the shelf, to go back to its queue later.
-- KEYS: 1 shelved  2 shelf  3 record
-- ARGV: 1 task id  2 message (JSON)  3 when it goes back (seconds since the epoch)  4 run, or ''
--       5 why: 'sent' (that run has begun to send it, and it failed) | 'busy' (another run sends it) | 'later'
-- Returns: 'shelved' | 'over' (it ended, or waits, or is on the shelf already) | 'lost' (where this run has sent it: another
--          one has it, or nobody knows of it any more) | 'free' (where another run sent it: not any more)
-- Always: a message on the shelf has its entry there. What that run was about to send, another one may now.
local state, run = unpack(redis.call('HMGET', KEYS[3], 'state', 'run'))
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
redis.call('SET', KEYS[1], ARGV[2])
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
if state and run == ARGV[4] then
  redis.call('DEL', KEYS[3])
end
return 'shelved'
