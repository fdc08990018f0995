-- Files messages: each check begins to wait in its lane, on the shelf until its time, or for the run that tells its end.
-- Uses: store/places/shard
-- KEYS: as store/places/shard.lua's; then 1 unacknowledged messages  2 their index, if they are in this Redis
-- ARGV: 1 question (JSON): lanes, entries (each: id, kind, appid, priority, of; if any: at, due, why, cause, replay),
--       tags (of the messages in the inbox)  2… message of each entry
-- Returns: for each entry: filed | repeated (the check is here already, or has ended) | taken (a check with other
--          content is under way under its id) | newer (it is here in a format of a later version)
-- Always: a message leaves the inbox in the step that files it.
local shard = places_shard(KEYS, ARGV)
local question = shard.question
local said = {}
for i, entry in ipairs(question.entries) do
  local id, of = entry.id, entry.of
  local before, newer = shard.check(id)
  local verdict = newer and 'newer' or nil
  if before then
    local same = of == '' or before.of == '' or string.sub(before.of, 1, #of) == of
    if before.place ~= 'ended' then
      verdict = same and 'repeated' or 'taken'
    elseif not entry.replay and (same or string.find(before.of, of, 1, true)) then
      verdict = 'repeated'
    else
      -- some earlier digests stay, since the messages of those checks may yet come again
      of = same and before.of or string.sub(of .. ' ' .. before.of, 1, 10 * #of)
      redis.call('ZREM', shard.ended, id)
      if before.trace then
        redis.call('HDEL', shard.traces, before.appid .. ':' .. before.trace)
      end
    end
  end
  if not verdict then
    verdict = 'filed'
    local check = {
      kind = entry.kind, appid = entry.appid, priority = entry.priority, of = of, cause = entry.cause, due = entry.due,
      why = entry.why, anew = before and before.of ~= of or nil,
    }
    redis.call('HSET', shard.messages, id, ARGV[i + 1])
    if entry.at and entry.at > shard.now and not entry.cause then
      redis.call('ZADD', shard.shelf, entry.at, id)
      if entry.due then
        redis.call('ZADD', shard.stale, entry.due, id)
      end
      shard.keep(id, check, 'shelf')
    else
      shard.wait(id, check)
    end
  end
  said[i] = verdict
end
if question.tags and #question.tags > 0 then
  local unacked, index = KEYS[shard.after], KEYS[shard.after + 1]
  for _, tag in ipairs(question.tags) do
    redis.call('HDEL', unacked, tag)
    redis.call('ZREM', index, tag)
  end
end
return said
