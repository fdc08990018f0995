#!lua flags=allow-oom
-- Brings on what has waited in its place for as long as it may (store/places/due.lua).
-- Uses: store/places/shard
-- KEYS: as store/places/shard.lua's
-- ARGV: 1 question (JSON): lanes (those of the checks), due (each: the set, the entry)
-- Returns: for each entry: moved | over (a mark, or a push that nobody waited for, is gone) | '' (it is not due, or is in
--          another place)
-- Always: however many workers call, an entry is brought on once.
local shard = places_shard(KEYS, ARGV)
local moves = {}

function moves.shelf(id, check)
  shard.wait(id, check)
  redis.call('ZREM', shard.shelf, id)
  return 'moved'
end

function moves.parked(id, check)
  shard.count('push_missing')
  shard.cause(id, check, {ended = 'timeout'})
  return 'moved'
end

function moves.stale(id, check)
  -- in hand it may be sent already; if it is given back, it comes up again
  if check.place ~= 'lane' and check.place ~= 'shelf' then
    redis.call('ZREM', shard.stale, id)
    return ''
  end
  shard.cause(id, check, {ended = check.why})
  return 'moved'
end

function moves.hand(id, check)
  check.returns = (check.returns or 0) + 1
  if check.cancelled and not check.cause then
    check.cause = {ended = 'cancelled'}
  end
  shard.wait(id, check)
  redis.call('ZREM', shard.hand, id)
  return 'moved'
end

function moves.ended(id, check)
  if check.trace then
    redis.call('HDEL', shard.traces, check.appid .. ':' .. check.trace)
  end
  redis.call('HDEL', shard.checks, id)
  redis.call('ZREM', shard.ended, id)
  return 'over'
end

local said = {}
for i, due in ipairs(shard.question.due) do
  local set, entry = unpack(due)
  local score = redis.call('ZSCORE', shard[set], entry)
  said[i] = ''
  if score and tonumber(score) <= shard.now then
    if set == 'early_due' then
      redis.call('HDEL', shard.early, entry)
      redis.call('ZREM', shard.early_due, entry)
      shard.count('push_orphaned')
      said[i] = 'over'
    else
      local check = set == 'stale' and shard.check(entry) or shard.check_in(set, shard[set], entry)
      if check and (shard.lane_of(check) or set == 'parked' or set == 'ended') then
        said[i] = moves[set](entry, check)
      end
    end
  end
end
return said
