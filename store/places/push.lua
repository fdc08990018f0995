#!lua flags=allow-oom
-- Matches pushes with the checks that wait for them.
-- Uses: store/places/shard
-- KEYS: as store/places/shard.lua's; then 1 unacknowledged messages  2 their index, if they are in this Redis
-- ARGV: 1 question (JSON): pushes (each: appid, trace; if any, tag of its message in the inbox), keep (milliseconds to
--       keep a push that nobody waits for)  2… each push (JSON)
-- Returns: for each push: matched, id and milliseconds since the parking | early (nobody waits for it yet) | repeated
--          (it came before) | late (the check ended without it) | orphaned (the check was cancelled) | newer (kept as an
--          early one: its check is here in a format of a later version)
-- Always: a check has one end; a push leaves the inbox in the step that matches it.
local shard = places_shard(KEYS, ARGV)
local question = shard.question
local said = {}
for i, push in ipairs(question.pushes) do
  local trace = push.appid .. ':' .. push.trace
  local id = redis.call('HGET', shard.traces, trace)
  local check, newer = nil, nil
  if id then
    check, newer = shard.check(id)
  end
  local how = check and (check.place == 'ended' and check.how or check.cause and check.cause.ended)
  if check and (check.place == 'parked' or check.place == 'ready' and how == 'timeout') then
    -- no run has told of the time-out yet: the verdict takes its place
    check.pushed = shard.now
    shard.cause(id, check, {ended = 'done', push = ARGV[i + 1]})
    said[i] = {'matched', id, shard.now - check.since}
  elseif check and how == 'timeout' then
    said[i] = {'late'}
  elseif check and (how == 'cancelled' or how == 'revoked') then
    said[i] = {'orphaned'}
  elseif check and check.trace == push.trace then
    said[i] = {'repeated'}
  elseif redis.call('HEXISTS', shard.early, trace) == 1 then
    said[i] = {'repeated'}
  else
    redis.call('ZADD', shard.early_due, shard.now + question.keep, trace)
    redis.call('HSET', shard.early, trace, ARGV[i + 1])
    said[i] = {newer and 'newer' or 'early'}
  end
  if said[i][1] ~= 'early' and said[i][1] ~= 'newer' then
    shard.count('push_' .. said[i][1])
  end
  if push.tag then
    redis.call('HDEL', KEYS[shard.after], push.tag)
    redis.call('ZREM', KEYS[shard.after + 1], push.tag)
  end
end
return said
