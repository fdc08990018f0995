#!lua flags=allow-oom
-- Parks a media check that the platform has taken, until its push comes.
-- Uses: store/places/shard, store/outbox/store_result
-- KEYS: as store/places/shard.lua's; then, if any, 1 result
-- ARGV: 1 question (JSON): lanes, id, run, trace, wait (milliseconds for which the push may come), media (image | audio);
--       if any: permit
--       2 if any, result (JSON) that shows the check waiting  3 seconds to keep the result
-- Returns: parked | ready (the push came first, or the check was cancelled) | traced (another check has this trace_id)
--          | lost (another run has the check)
local shard = places_shard(KEYS, ARGV)
local question = shard.question
local id, check, where = shard.held()
if not check then
  return where
end
local trace = check.appid .. ':' .. question.trace
local other = redis.call('HGET', shard.traces, trace)
if other and other ~= id then
  return 'traced'
end
outbox_store_result({KEYS[shard.after]}, {ARGV[2], ARGV[3]})
redis.call('HSET', shard.traces, trace, id)
check.trace, check.since, check.media = question.trace, shard.now, question.media
if check.due then
  redis.call('ZREM', shard.stale, id)
end
local early = redis.call('HGET', shard.early, trace)
if early then
  check.cause, check.pushed = {ended = 'done', push = early}, shard.now
end
if check.cause or check.cancelled then
  shard.wait(id, check)
else
  redis.call('ZADD', shard.parked, shard.now + question.wait, id)
  shard.keep(id, check, 'parked')
end
shard.let_go(id, check)
if early then
  redis.call('HDEL', shard.early, trace)
  redis.call('ZREM', shard.early_due, trace)
  shard.count('push_early')
end
return check.place
