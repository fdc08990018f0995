-- Publishes a batch of a backfill, and marks it as published.
-- Uses: store/outbox/can_publish
-- KEYS: 1 backfill
-- ARGV: 1 owner  2 number of the batch before  3 number of this batch  4 seconds to keep the mark
--       5… pairs of a broker's list and a message
-- Returns: 'published'
--        | 'taken' (another process goes on with this backfill)
--        | 'lost' (published batches may be gone: the store was emptied, or went back to an earlier state)
-- Always: a batch is published and marked, or neither. A second call, after the first answer was lost, publishes
--         nothing more.
local owner, batch = unpack(redis.call('HMGET', KEYS[1], 'owner', 'batch'))
if not owner then
  return 'lost'
end
if owner ~= ARGV[1] then
  return 'taken'
end
if batch == ARGV[3] then
  return 'published'
end
if batch ~= ARGV[2] then
  return 'lost'
end
-- Lua's own unpack fails on some thousands of values
local messages = {}
for i = 5, #ARGV do
  messages[#messages + 1] = ARGV[i]
end
local refused = outbox_can_publish({}, messages)
if refused then
  return refused
end
for i = 1, #messages, 2 do
  redis.call('LPUSH', messages[i], messages[i + 1])
end
redis.call('HSET', KEYS[1], 'batch', ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[4])
return 'published'
