#!lua flags=allow-oom
-- Brings on what has waited in its place for as long as it may (store/places/due.lua).
-- Uses: store/places/shard
-- KEYS: as store/places/shard.lua's
-- ARGV: 1 question (JSON): lanes (those of the checks), due (each: the set, the entry)
-- Returns: for each entry 1; or 0: it is not due, or is in another place
-- Always: however many workers call, an entry is brought on once.
local shard = places_shard(KEYS, ARGV)
local moves = {}

function moves.shelf(id, check)
  shard.wait(id, check)
  redis.call('ZREM', shard.shelf, id)
end

function moves.parked(id, check)
  shard.count('push_missing')
  shard.cause(id, check, {ended = 'timeout'})
end

function moves.stale(id, check)
  shard.cause(id, check, {ended = check.why})
end

function moves.hand(id, check)
  check.returns = (check.returns or 0) + 1
  shard.wait(id, check)
  redis.call('ZREM', shard.hand, id)
end

function moves.ended(id, check)
  if check.trace then
    redis.call('HDEL', shard.traces, check.appid .. ':' .. check.trace)
  end
  redis.call('HDEL', shard.checks, id)
  redis.call('ZREM', shard.ended, id)
end

local said = {}
for i, due in ipairs(shard.question.due) do
  local set, entry = unpack(due)
  local score = redis.call('ZSCORE', shard[set], entry)
  said[i] = 0
  if score and tonumber(score) <= shard.now then
    if set == 'early_due' then
      redis.call('HDEL', shard.early, entry)
      redis.call('ZREM', shard.early_due, entry)
      shard.count('push_orphaned')
      said[i] = 1
    else
      local check = set == 'stale' and shard.check(entry) or shard.check_in(set, shard[set], entry)
      if check and set == 'stale' and check.place ~= 'lane' and check.place ~= 'shelf' then
        -- in hand it may be sent already; if it is given back, it comes up again
        redis.call('ZREM', shard.stale, entry)
      elseif check and (shard.lane_of(check) or set == 'parked' or set == 'ended') then
        moves[set](entry, check)
        said[i] = 1
      end
    end
  end
end
return said
