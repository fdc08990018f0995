-- Moves messages from one queue of a broker to another. A message that has gone meanwhile is left out.
-- KEYS: 1 from  2 to
-- ARGV: pairs of a message in its present form, and in its form for the other queue; the one to be consumed first comes
--       first
-- Returns: the number of moved messages
-- Always: a message is in one of the two queues, once.
local moved = 0
for i = 1, #ARGV, 2 do
  if redis.call('LREM', KEYS[1], -1, ARGV[i]) == 1 then
    redis.call('LPUSH', KEYS[2], ARGV[i + 1])
    moved = moved + 1
  end
end
return moved
