-- Lays a check on the shelf, to go back to its queue later.
-- KEYS: 1 shelved  2 shelf  3 record
-- ARGV: 1 task id  2 message (JSON)  3 when it goes back (seconds since the epoch)  4 run that was to send it, or ''
-- Always: a message on the shelf has its entry there. What that run was about to send, another one may now.
redis.call('SET', KEYS[1], ARGV[2])
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
local state, run = unpack(redis.call('HMGET', KEYS[3], 'state', 'run'))
if state == 'sending' and run == ARGV[4] then
  redis.call('DEL', KEYS[3])
end
return 1
