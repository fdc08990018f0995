-- Finds the checks that are due: parked ones, and those on the shelf.
-- KEYS: 1 due  2 shelf
-- ARGV: 1 most checks of each kind
-- Returns: {appid:trace_id of each parked check, task id of each shelved check}, the longest wait first
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local due = redis.call('ZRANGE', KEYS[1], '-inf', now, 'BYSCORE', 'LIMIT', 0, ARGV[1])
return {due, redis.call('ZRANGE', KEYS[2], '-inf', now, 'BYSCORE', 'LIMIT', 0, ARGV[1])}
