-- Moves messages from one queue of a broker to another, as far as they are still there.
-- KEYS: 1 from  2 to
-- ARGV: pairs of a message as it is, and as it shall be there; the one to be consumed first comes first
-- Returns: how many were moved
-- Always: a message is in one of the two queues, once.
local moved = 0
for i = 1, #ARGV, 2 do
  if redis.call('LREM', KEYS[1], -1, ARGV[i]) == 1 then
    redis.call('LPUSH', KEYS[2], ARGV[i + 1])
    moved = moved + 1
  end
end
return moved
