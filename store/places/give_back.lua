-- Gives a check back: it waits again, at its old place in the lane, or on the shelf until a time.
-- Uses: store/places/shard
-- KEYS: as store/places/shard.lua's
-- ARGV: 1 question (JSON): lanes, id, run; if any: permit (store/places/shard.lua), at (time of the return)
--       2 message that takes the place of the old one, or ''
-- Returns: its place then: lane | shelf | ready (its end became known meanwhile); or lost (another run has the check)
local shard = places_shard(KEYS, ARGV)
local question = shard.question
local id, check, where = shard.held()
if not check then
  return where
end
shard.settle(check, question.permit)
redis.call('ZREM', shard.hand, id)
if ARGV[2] ~= '' then
  redis.call('HSET', shard.messages, id, ARGV[2])
end
if check.cancelled and not check.cause then
  check.cause = {ended = 'cancelled'}
end
if question.at and not check.cause then
  -- it comes back behind those that wait then
  check.number = nil
  redis.call('ZADD', shard.shelf, question.at, id)
  if check.due then
    redis.call('ZADD', shard.stale, check.due, id)
  end
  shard.keep(id, check, 'shelf')
  return 'shelf'
end
shard.wait(id, check)
return check.place
