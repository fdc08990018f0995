-- Says that a run does not send a check after all: it comes back later.
-- KEYS: 1 record
-- ARGV: 1 run
local state, run = unpack(redis.call('HMGET', KEYS[1], 'state', 'run'))
if state == 'sending' and run == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
