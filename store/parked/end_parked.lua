-- Ends a parked check, with its result, its follow-up messages and its acknowledgement. Marks stay for a while, by
-- which repeated messages and pushes are recognised.
-- Uses: store/outbox/store_end, store/outbox/slice
-- KEYS: 1 check  2 due  3 record  4 counters  5 kept message  6 hanging  7… as store_end.lua's
-- ARGV: 1 appid:trace_id  2 run with the claim  3 done | timeout | cancelled  4 seconds to keep the marks  5… as
--       store_end.lua's
-- Returns: 'ended' | 'repeated' (another run has ended the check, or has claimed it since)
-- Always: one run ends a check, once, however often that run asks.
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
