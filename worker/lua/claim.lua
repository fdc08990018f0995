-- Claims the finish of a check for one run.
-- KEYS: 1 check
-- ARGV: 1 task id  2 seconds of lease  3 run
-- Returns: the outcome (JSON), or false where it is ended or another run holds it
-- Always: two runs at once never both hold it.
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local state, task_id, claimed, outcome = unpack(redis.call('HMGET', KEYS[1], 'state', 'task_id', 'claimed', 'outcome'))
if state ~= 'finishing' or task_id ~= ARGV[1] or (claimed and tonumber(claimed) > now) then
  return false
end
redis.call('HSET', KEYS[1], 'claimed', now + ARGV[2], 'run', ARGV[3])
return outcome
