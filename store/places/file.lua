-- Files messages: each check begins to wait in its lane, on the shelf until its time, or for the run that tells its end.
-- Uses: store/places/shard, store/dead_letters/drop
-- KEYS: as store/places/shard.lua's; then 1 to 3 as store/dead_letters/drop.lua's  4 unacknowledged messages  5 their
--       index, if they are in this Redis
-- ARGV: 1 question (JSON): lanes, entries (each: id, kind, appid, priority, digest; if any: at, due, why, cause,
--       spare, tag of its message in the inbox, is_replay: its dead letter is to go)  2… message of each entry
-- Returns: for each entry: filed | repeated (the check is here already, or has ended) | taken (a check with other
--          content is under way under its id: a spare id lets a run tell so) | newer (it is here in a format of a later
--          version, and its message stays in the inbox) | gone (its dead letter has gone since)
-- Always: a message leaves the inbox in the step that files it. A Redis without memory left files what it has in its own
--         inbox, and takes no message of another broker.
local shard = places_shard(KEYS, ARGV)

local function file(id, entry, of, text)
  local check = {
    kind = entry.kind, appid = entry.appid, priority = entry.priority, of = of, cause = entry.cause, due = entry.due,
    why = entry.why,
  }
  redis.call('HSET', shard.messages, id, text)
  shard.wait(id, check, entry.at)
end

local dead = {KEYS[shard.after], KEYS[shard.after + 1], KEYS[shard.after + 2]}
local unacked, index = KEYS[shard.after + 3], KEYS[shard.after + 4]

-- Returns: filed, and the digests, if the entry may be filed under its id; else why not
local function judge(entry)
  local id, of = entry.id, entry.digest
  if entry.is_replay and redis.call('HEXISTS', dead[2], id) == 0 then
    return 'gone'
  end
  local before, newer = shard.check(id)
  if newer then
    return 'newer'
  elseif not before then
    return 'filed', of
  end
  local same = of == '' or before.of == '' or string.sub(before.of, 1, #of) == of
  if before.place ~= 'ended' then
    return same and 'repeated' or 'taken'
  elseif not entry.is_replay and (same or string.find(before.of, of, 1, true)) then
    return 'repeated'
  end
  redis.call('ZREM', shard.ended, id)
  if before.trace then
    redis.call('HDEL', shard.traces, before.appid .. ':' .. before.trace)
  end
  -- some earlier digests stay, since the messages of those checks may yet come again
  return 'filed', same and before.of or string.sub(of .. ' ' .. before.of, 1, 10 * #of)
end

local said = {}
for i, entry in ipairs(shard.question.entries) do
  local verdict, of = judge(entry)
  if entry.tag and i == 1 then
    -- a Redis that is full lets a script go on that has begun to make room; a message leaves the inbox when it is filed,
    -- for an ACL may stop the script
    redis.call('HDEL', unacked, '')
  end
  if verdict == 'filed' then
    file(entry.id, entry, of, ARGV[i + 1])
    if entry.is_replay then
      dead_letters_drop(dead, {entry.id})
    end
  elseif verdict == 'taken' and entry.spare then
    entry.cause = {ended = 'taken'}
    file(entry.spare, entry, entry.digest, ARGV[i + 1])
  end
  if entry.tag and verdict ~= 'newer' then
    redis.call('HDEL', unacked, entry.tag)
    redis.call('ZREM', index, entry.tag)
  end
  said[i] = verdict
end
return said
