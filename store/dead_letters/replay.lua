-- Sends a dead letter's check on its way again: to the shelf, and from there to its queue.
-- Uses: store/records/owner
-- KEYS: 1 dead, by time  2 letters  3 bytes of the letters  4 shelved  5 shelf  6 record
-- ARGV: 1 task id  2 letter as it was read  3 message (JSON)  4 digest of the check
-- Returns: 1; or 0 if the letter was replayed or has gone since it was read, or if a check with other content is under
--          way under its task id
-- Always: a letter is replayed once.
if redis.call('HGET', KEYS[2], ARGV[1]) ~= ARGV[2] then
  return 0
end
local state, of = unpack(redis.call('HMGET', KEYS[6], 'state', 'of'))
local whose_it_is
of, whose_it_is = records_owner({}, {state, of, ARGV[4]})
if whose_it_is == 'taken' then
  return 0
end
redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('DECRBY', KEYS[3], #ARGV[2])
-- the run stays in the record, so that a repeated end of that run is still recognised
if redis.call('HDEL', KEYS[6], 'state', 'fresh') > 0 then
  redis.call('HSET', KEYS[6], 'of', of)
end
redis.call('SET', KEYS[4], ARGV[3])
redis.call('ZADD', KEYS[5], 0, ARGV[1])
return 1
