-- Ends a check that a run has in hand: its result and what follows are written, its mark stays for a while.
-- Uses: store/places/shard, store/outbox/can_publish, store/outbox/store_result
-- KEYS: as store/places/shard.lua's; then 1 result  2… list for each message that follows
-- ARGV: 1 question (JSON): lanes, id, run, how (done | failed | timeout | cancelled), keep (milliseconds to keep the mark),
--       relay (milliseconds after which another process may take the outbox's entry up); if any: permit  2 result (JSON), or ''  3 seconds to keep the result  4 entry of the outbox (JSON), or ''
--       5… each message that follows
-- Returns: ended | lost (another run has the check, or has ended it) | its place otherwise; or the error that a list is
--          something else: then nothing was done
-- Always: a check ends once, however often its run asks.
local shard = places_shard(KEYS, ARGV)
local question = shard.question
local id, check, where = shard.held()
if not check then
  return where
end
local messages = {}
for i = 5, #ARGV do
  messages[#messages + 1] = KEYS[shard.after + i - 4]
  messages[#messages + 1] = ARGV[i]
end
local refused = outbox_can_publish({}, messages)
if refused then
  return refused
end
-- repeatable writes come first: an ACL may stop the script after them
outbox_store_result({KEYS[shard.after]}, {ARGV[2], ARGV[3]})
shard.settle(check, question.permit)
for i = 1, #messages, 2 do
  redis.call('LPUSH', messages[i], messages[i + 1])
end
if ARGV[4] ~= '' then
  local entry = id .. ':' .. question.run
  redis.call('HSET', shard.outbox, entry, ARGV[4])
  redis.call('ZADD', shard.outbox_due, shard.now + question.relay, entry)
end
redis.call('ZREM', shard.hand, id)
redis.call('HDEL', shard.messages, id)
if check.due then
  redis.call('ZREM', shard.stale, id)
end
redis.call('ZADD', shard.ended, shard.now + question.keep, id)
shard.keep(id, {
  kind = check.kind, appid = check.appid, of = check.of, run = check.run, trace = check.trace, how = question.how,
  since = shard.now,
}, 'ended')
return 'ended'
