-- Gives up the claim of a finish, which comes back.
-- KEYS: 1 check
-- ARGV: 1 run
local state, run = unpack(redis.call('HMGET', KEYS[1], 'state', 'run'))
if state == 'finishing' and run == ARGV[1] then
  redis.call('HSET', KEYS[1], 'claimed', 0)
end
