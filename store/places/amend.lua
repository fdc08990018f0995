-- Replaces an entry of the outbox, since a part of it is out, and keeps it from other relays for longer.
-- KEYS: 1 outbox  2 outbox, by time
-- ARGV: 1 entry  2 its text (JSON)  3 milliseconds after which another relay may take it up
-- Returns: 1, or 0 if the entry is there no more
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then
  return 0
end
local clock = redis.call('TIME')
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[2], clock[1] * 1000 + math.floor(clock[2] / 1000) + ARGV[3], ARGV[1])
return 1
