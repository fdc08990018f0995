-- Parks a check under its trace_id; an early push ends the wait at once.
-- Uses: store/outbox/publish, store/outbox/store_result, store/outbox/acknowledge
-- KEYS: 1 check  2 due  3 record  4 counters  5 shelved  6 shelf  7 kept message  8 result  9 unacknowledged messages
--       10 their index
-- ARGV: 1 appid:trace_id  2 task id  3 the list for finishes, or '' if another broker has it  4 the message of the
--       finish, in its form for the list, or else the rest of the check's message (JSON)  5 arguments (JSON), or ''
--       6 seconds to wait for the push  7 seconds of lease  8 run that sent the check  9 outcome of a check that was to
--       be cancelled (JSON)  10 result that shows the check waiting (JSON), or ''  11 seconds to keep that result
--       12 delivery tag, or ''
-- Returns: 'waiting'
--        | 'finishing' (the finish is published, or the caller must publish it)
--        | 'ended'
--        | 'taken' (another check has this trace_id)
--        | 'lost' (another run has sent the check since, or its record is gone: no check will take the push of this
--          call)
-- Always: a check in state waiting or finishing is in due, and in its record; its result shows it waiting before its
--         finish runs. A second call, after the first answer was lost, gives the same answer, or tells the check's
--         state since.
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local state, owner = unpack(redis.call('HMGET', KEYS[1], 'state', 'task_id'))
if state and state ~= 'early' then
  return owner == ARGV[2] and state or 'taken'
end
local recorded, run, cancelled, begun, of =
  unpack(redis.call('HMGET', KEYS[3], 'state', 'run', 'cancelled', 'begun', 'of'))
if recorded ~= 'sending' or run ~= ARGV[8] then
  return 'lost'
end
local is_over = state == 'early' or cancelled
-- repeatable writes come first: an ACL may stop the script after them
redis.call('SET', KEYS[7], ARGV[5] ~= '' and ARGV[4] .. '\n' .. ARGV[5] or ARGV[4])
outbox_store_result({KEYS[8]}, {ARGV[10], ARGV[11]})
if is_over and ARGV[3] ~= '' then
  local refused = outbox_publish({}, {ARGV[3], ARGV[4]})
  if refused then
    return refused
  end
end
-- a copy of the message, shelved while this run sent the check, has no more use
redis.call('DEL', KEYS[3], KEYS[5])
redis.call('ZREM', KEYS[6], ARGV[2])
redis.call('HSET', KEYS[3], 'state', 'waiting', 'member', ARGV[1], 'begun', begun or now, 'of', of or '')
redis.call('HSET', KEYS[1], 'state', is_over and 'finishing' or 'waiting', 'task_id', ARGV[2],
  'kept', ARGV[3] ~= '' and 'finish' or 'rest', 'since', now)
outbox_acknowledge({KEYS[9], KEYS[10]}, {ARGV[12]})
redis.call('ZADD', KEYS[2], now + ARGV[is_over and 7 or 6], ARGV[1])
if cancelled then
  redis.call('HSET', KEYS[1], 'outcome', ARGV[9])
elseif is_over then
  redis.call('HINCRBY', KEYS[4], 'push_early', 1)
end
return is_over and 'finishing' or 'waiting'
