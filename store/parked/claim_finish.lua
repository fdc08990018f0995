-- Claims the finish of a check for one run.
-- KEYS: 1 check  2 due  3 hanging  4 kept message
-- ARGV: 1 appid:trace_id  2 task id  3 seconds of lease, prolonged for many follow-ups  4 run  5 outcome that counts
--       instead if no run has claimed the finish yet (JSON), or ''
-- Returns: the outcome (JSON), or false if the check is ended or another run has the claim
-- Always: each run that claims the finish gets the same outcome. Two runs never have the claim at once; after the death
--         of a run, due says when another run may claim.
-- bytes of a message whose follow-ups are made in a second, on a busy machine too
local PACE = 100000
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local lease = ARGV[3] + redis.call('STRLEN', KEYS[4]) / PACE
local state, task_id, claimed, run, outcome, pushed =
  unpack(redis.call('HMGET', KEYS[1], 'state', 'task_id', 'claimed', 'run', 'outcome', 'pushed'))
if state ~= 'finishing' or task_id ~= ARGV[2] or (claimed and run ~= ARGV[4] and tonumber(claimed) > now) then
  return false
end
if ARGV[5] ~= '' and not claimed then
  outcome = ARGV[5]
end
if claimed and run ~= ARGV[4] then
  -- a run before this one has not got to its end
  redis.call('ZADD', KEYS[3], 'NX', pushed or now, ARGV[1])
end
redis.call('HSET', KEYS[1], 'claimed', now + lease, 'run', ARGV[4], 'outcome', outcome)
redis.call('ZADD', KEYS[2], now + lease, ARGV[1])
return outcome
