-- Lays a check on the shelf, to go back to its queue later.
-- KEYS: 1 shelved  2 shelf
-- ARGV: 1 task id  2 message (JSON)  3 when it goes back (seconds since the epoch)
-- Always: a message on the shelf has its entry there.
redis.call('SET', KEYS[1], ARGV[2])
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
return 1
