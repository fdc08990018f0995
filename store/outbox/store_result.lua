-- Stores the result of a task as Celery's backend does, and tells those who wait for the result.
-- KEYS: 1 result
-- ARGV: 1 result (JSON), if there is one  2 seconds to keep the result, 0 for ever
if ARGV[1] then
  if tonumber(ARGV[2]) > 0 then
    redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
  else
    redis.call('SET', KEYS[1], ARGV[1])
  end
  redis.call('PUBLISH', KEYS[1], ARGV[1])
end
