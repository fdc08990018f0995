-- Gives up a run's claim on a finish, so that another run may claim it.
-- KEYS: 1 check
-- ARGV: 1 run
local state, run = unpack(redis.call('HMGET', KEYS[1], 'state', 'run'))
if state == 'finishing' and run == ARGV[1] then
  redis.call('HSET', KEYS[1], 'claimed', 0)
end
