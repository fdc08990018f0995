-- Ends a check that is not parked, and publishes what follows.
-- KEYS: 1 record  2 shelved  3 shelf
-- ARGV: 1 run  2 seconds to keep the mark  3 task id  4… pairs of a broker's list and a message
-- Returns: 'ended' | 'lost' (another run has it, or nobody knows of it any more) | 'repeated' (it ended, or waits, by
--          another run)
-- Always: what follows is published by one run, once, however often that one asks. No copy of its message is on the
-- shelf after it: it could come back when the mark is gone.
local state, run, begun = unpack(redis.call('HMGET', KEYS[1], 'state', 'run', 'begun'))
-- without a state it was replayed since
if run == ARGV[1] and (state == 'done' or not state) then
  return 'ended'
end
if state ~= 'sending' then
  return state and 'repeated' or 'lost'
end
if run ~= ARGV[1] then
  return 'lost'
end
-- what has been written when an error comes stays written
for i = 4, #ARGV, 2 do
  local kind = redis.call('TYPE', ARGV[i]).ok
  if kind ~= 'list' and kind ~= 'none' then
    return redis.error_reply('WRONGTYPE ' .. ARGV[i] .. ' is a ' .. kind .. ', where a queue should be')
  end
end
for i = 4, #ARGV, 2 do
  redis.call('LPUSH', ARGV[i], ARGV[i + 1])
end
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('ZREM', KEYS[3], ARGV[3])
local now = redis.call('TIME')[1]
redis.call('HSET', KEYS[1], 'state', 'done', 'run', ARGV[1], 'begun', begun or now, 'ended_at', now, 'fresh', 1)
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 'ended'
