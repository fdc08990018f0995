#!lua flags=allow-oom
-- Lets a part of an entry of the outbox out: what belongs into this Redis is written; another entry keeps the rest.
-- Uses: store/outbox/can_publish, store/outbox/store_result
-- KEYS: 1 outbox  2 outbox, by time  3… each result, and then the list of each message
-- ARGV: 1 entry  2 the rest (JSON), or '' for none  3 entry of the rest  4 milliseconds for which it is left to this
--       relay  5 results (their number)  6… of each result: JSON, seconds to keep it; then each message
-- Returns: 1, or 0 if the entry is there no more; or the error that a list is something else: then nothing was done
-- Always: each part goes out once, however many relays have read the entry.
local results = tonumber(ARGV[5])
local lists, first = 3 + results, 6 + 2 * results
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then
  return 0
end
local refused = outbox_can_publish(KEYS, {lists})
if refused then
  return refused
end
for i = 0, results - 1 do
  outbox_store_result({KEYS[3 + i]}, {ARGV[6 + 2 * i], ARGV[7 + 2 * i]})
end
for i = first, #ARGV do
  redis.call('LPUSH', KEYS[lists + i - first], ARGV[i])
end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
if ARGV[2] ~= '' then
  local clock = redis.call('TIME')
  redis.call('HSET', KEYS[1], ARGV[3], ARGV[2])
  redis.call('ZADD', KEYS[2], clock[1] * 1000 + math.floor(clock[2] / 1000) + ARGV[4], ARGV[3])
end
return 1
