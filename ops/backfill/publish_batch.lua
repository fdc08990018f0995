-- Publishes a batch of a backfill, and marks it as published.
-- Uses: store/outbox/can_publish
-- KEYS: 1 backfill  2… the list of each message
-- ARGV: 1 owner  2 number of the batch before  3 number of this batch  4 seconds to keep the mark
--       5… the messages
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
local refused = outbox_can_publish(KEYS, {2})
if refused then
  return refused
end
for i = 2, #KEYS do
  redis.call('LPUSH', KEYS[i], ARGV[i + 3])
end
redis.call('HSET', KEYS[1], 'batch', ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[4])
return 'published'
