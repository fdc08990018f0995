-- Ends a parked check, its result, what follows and its message with it: its record goes, marks stay for a while, by which
-- messages and pushes that come again are known.
-- Uses: store/outbox/store_end, store/outbox/slice
-- KEYS: 1 check  2 due  3 record  4 counters  5 what is kept of its message  6 hanging  7… as settle.lua's
-- ARGV: 1 appid:trace_id  2 run that claimed it  3 how it ended  4 seconds to keep the marks  5… as settle.lua's
-- Returns: 'ended' | 'repeated' (another run has ended it, or has claimed it since)
-- Always: a check is ended by one run, once, however often that one asks.
local state, run, task_id, since, pushed =
  unpack(redis.call('HMGET', KEYS[1], 'state', 'run', 'task_id', 'since', 'pushed'))
local begun, of = unpack(redis.call('HMGET', KEYS[3], 'begun', 'of'))
if state == 'ended' and run == ARGV[2] then
  return 'ended'
end
if state ~= 'finishing' or run ~= ARGV[2] then
  return 'repeated'
end
local refused = outbox_store_end(outbox_slice(KEYS, {7}), outbox_slice(ARGV, {5}))
if refused then
  return refused
end
redis.call('HINCRBY', KEYS[4], 'media_' .. ARGV[3], 1)
redis.call('DEL', KEYS[1], KEYS[3], KEYS[5])
local now = redis.call('TIME')[1]
redis.call('HSET', KEYS[1], 'state', 'ended', 'ended', ARGV[3], 'task_id', task_id, 'run', run, 'ended_at', now)
if since then
  redis.call('HSET', KEYS[1], 'since', since)
end
if pushed then
  redis.call('HSET', KEYS[1], 'pushed', pushed)
end
redis.call('EXPIRE', KEYS[1], ARGV[4])
redis.call('HSET', KEYS[3], 'state', 'done', 'run', run, 'member', ARGV[1], 'begun', begun or now,
  'ended_at', now, 'fresh', 1, 'of', of or '')
redis.call('EXPIRE', KEYS[3], ARGV[4])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[6], ARGV[1])
return 'ended'
