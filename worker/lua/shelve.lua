-- Lays a held check on the shelf, to go back to its queue when the lane opens, one after the other at the lane's rate.
-- KEYS: 1 shelved  2 shelf  3 wake
-- ARGV: 1 task id  2 message (JSON)  3 when the lane opens (seconds since the epoch)  4 seconds between two checks
-- Returns: when the check goes back (string of seconds since the epoch)
-- Always: a message on the shelf has its entry there.
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local at = math.max(tonumber(ARGV[3]), tonumber(redis.call('GET', KEYS[3]) or 0))
redis.call('SET', KEYS[1], ARGV[2])
redis.call('ZADD', KEYS[2], at, ARGV[1])
redis.call('SET', KEYS[3], string.format('%.6f', at + ARGV[4]), 'EX', math.max(1, math.ceil(at + ARGV[4] - now)))
return string.format('%.6f', at)
