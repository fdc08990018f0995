-- Ends a check: its record goes, a mark stays for a while, by which later pushes are known.
-- KEYS: 1 check  2 due  3 task  4 counters
-- ARGV: 1 appid:trace_id  2 how it ended  3 seconds to keep the mark
if redis.call('HGET', KEYS[1], 'state') == 'finishing' then
  redis.call('HINCRBY', KEYS[4], 'media_' .. ARGV[2], 1)
end
local task_id = redis.call('HGET', KEYS[1], 'task_id') or ''
redis.call('DEL', KEYS[1], KEYS[3])
redis.call('HSET', KEYS[1], 'state', 'ended', 'ended', ARGV[2], 'task_id', task_id)
redis.call('EXPIRE', KEYS[1], ARGV[3])
redis.call('ZREM', KEYS[2], ARGV[1])
return 1
