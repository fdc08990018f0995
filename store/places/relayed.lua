-- Removes an entry of the outbox, since all in it is published and stored.
-- KEYS: 1 outbox  2 outbox, by time
-- ARGV: 1 entry
redis.call('ZREM', KEYS[2], ARGV[1])
return redis.call('HDEL', KEYS[1], ARGV[1])
