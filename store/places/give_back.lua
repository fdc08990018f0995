#!lua flags=allow-oom
-- Gives a check back: it waits again, at its old place in the lane, or on the shelf until a time.
-- Uses: store/places/shard, store/outbox/store_result
-- KEYS: as store/places/shard.lua's; then, if any, 1 result
-- ARGV: 1 question (JSON): lanes, id, run; if any: permit (store/places/shard.lua), at (time of the return)
--       2 message that takes the place of the old one, or ''  3 if any, result (JSON) that shows the check on the shelf
--       4 seconds to keep the result
-- Returns: its place then: lane | shelf | ready (its end became known meanwhile); or lost (another run has the check)
local shard = places_shard(KEYS, ARGV)
local question = shard.question
local id, check, where = shard.held()
if not check then
  return where
end
if ARGV[2] ~= '' then
  redis.call('HSET', shard.messages, id, ARGV[2])
end
if question.at and not check.cause and not check.cancelled then
  -- it comes back behind those that wait then
  check.number = nil
  outbox_store_result({KEYS[shard.after]}, {ARGV[3], ARGV[4]})
end
-- without a permit its run has looked for the lane's token, or its count, which is there now
shard.wait(id, check, question.at, not question.permit and not question.at)
shard.let_go(id, check)
return check.place
