-- Whose time has come: of what waits for a push or a finish, and of what lies on the shelf.
-- KEYS: 1 due  2 shelf
-- ARGV: 1 how many of each at the most
-- Returns: {appid:trace_id of each, task id of each}, those that have waited longest first
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local due = redis.call('ZRANGE', KEYS[1], '-inf', now, 'BYSCORE', 'LIMIT', 0, ARGV[1])
return {due, redis.call('ZRANGE', KEYS[2], '-inf', now, 'BYSCORE', 'LIMIT', 0, ARGV[1])}
