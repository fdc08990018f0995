-- Takes a check that is due off the shelf, on a lease: the caller publishes and removes it, else it comes up again.
-- KEYS: 1 shelved  2 shelf  3 late
-- ARGV: 1 task id  2 seconds of lease
-- Returns: {message (JSON), end of the lease}, or {} if there is nothing to do
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local due = redis.call('ZSCORE', KEYS[2], ARGV[1])
if not due or tonumber(due) > now then
  return {}
end
redis.call('ZADD', KEYS[3], 'NX', due, ARGV[1])
redis.call('ZADD', KEYS[2], now + ARGV[2], ARGV[1])
return {redis.call('GET', KEYS[1]), redis.call('ZSCORE', KEYS[2], ARGV[1])}
