#!lua flags=allow-oom
-- Readdresses an unacknowledged message: it goes to another list when it is given back.
-- KEYS: 1 unacknowledged
-- ARGV: 1 delivery tag  2 list  3 the message in its form for that list
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. '\n' .. ARGV[3])
end
