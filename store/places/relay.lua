#!lua flags=allow-oom
-- Claims entries of the outbox for a relay, which publishes and stores them and then has them removed.
-- KEYS: 1 outbox  2 outbox, by time
-- ARGV: 1 most entries  2 milliseconds after which another relay may take them up
-- Returns: for each: {the entry, its text (JSON)}
-- Always: an entry stays until its relay has had it removed, so it is published twice only where a relay dies.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local claimed = {}
for _, entry in ipairs(redis.call('ZRANGE', KEYS[2], '-inf', now, 'BYSCORE', 'LIMIT', 0, ARGV[1])) do
  redis.call('ZADD', KEYS[2], now + ARGV[2], entry)
  claimed[#claimed + 1] = {entry, redis.call('HGET', KEYS[1], entry) or ''}
end
return claimed
