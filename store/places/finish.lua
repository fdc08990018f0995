#!lua flags=allow-oom
-- Ends a check that a run has in hand: its results and what follows are written, its mark stays for a while.
-- Uses: store/places/shard, store/outbox/can_publish, store/outbox/store_result, store/dead_letters/keep
-- KEYS: as store/places/shard.lua's; then 1 to 3 as store/dead_letters/keep.lua's  4… each result, and then the list of
--       each message that follows
-- ARGV: 1 question (JSON): lanes, id, run, how (done | failed | timeout | cancelled), keep (milliseconds to keep the
--       mark), relay (milliseconds after which another process may take the outbox's entry up), results (their number);
--       if any: permit, letters, bytes (most dead letters, and most bytes of them)  2 entry of the outbox (JSON), or ''
--       3 dead letter (JSON), or ''  4… of each result: JSON, seconds to keep it; then each message that follows
-- Returns: ended | lost (another run has the check, or has ended it) | its place otherwise; or the error that a list is
--          something else: then nothing was done
-- Always: a check ends once, however often its run asks.
local shard = places_shard(KEYS, ARGV)
local question = shard.question
local id, check, where = shard.held()
if not check then
  return where
end
local dead, results = shard.after, shard.after + 3
local lists, first = results + question.results, 4 + 2 * question.results
local refused = outbox_can_publish(KEYS, {lists})
if refused then
  return refused
end
-- repeatable writes come first: an ACL may stop the script after them
for i = 0, question.results - 1 do
  outbox_store_result({KEYS[results + i]}, {ARGV[4 + 2 * i], ARGV[5 + 2 * i]})
end
redis.call('ZADD', shard.ended, shard.now + question.keep, id)
if ARGV[3] ~= '' then
  local of_letters = {KEYS[dead], KEYS[dead + 1], KEYS[dead + 2], KEYS[23]}
  dead_letters_keep(of_letters, {id, ARGV[3], question.letters, question.bytes})
end
for i = first, #ARGV do
  redis.call('LPUSH', KEYS[lists + i - first], ARGV[i])
end
if ARGV[2] ~= '' then
  local entry = id .. ':' .. question.run
  redis.call('HSET', shard.outbox, entry, ARGV[2])
  redis.call('ZADD', shard.outbox_due, shard.now + question.relay, entry)
end
if check.trace then
  local how = check.cause.ended
  shard.count('media_' .. (how == 'revoked' and 'cancelled' or how))
end
redis.call('HDEL', shard.messages, id)
if check.due then
  redis.call('ZREM', shard.stale, id)
end
shard.keep(id, {
  kind = check.kind, appid = check.appid, of = check.of, run = check.run, trace = check.trace, how = question.how,
  since = shard.now,
}, 'ended')
shard.let_go(id, check)
return 'ended'
