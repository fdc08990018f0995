-- Removes a check from the shelf once it is back in its queue.
-- KEYS: 1 shelved  2 shelf  3 late
-- ARGV: 1 task id  2 end of the lease, from store/shelf/take.lua
-- Returns: 1, or 0 if the check has been shelved anew meanwhile: the new entry stays
redis.call('ZREM', KEYS[3], ARGV[1])
local due = redis.call('ZSCORE', KEYS[2], ARGV[1])
if due ~= ARGV[2] then
  return 0
end
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('DEL', KEYS[1])
return 1
