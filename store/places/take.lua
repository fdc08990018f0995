#!lua flags=allow-oom
-- Takes checks into the hands of a worker: those whose end is known, and of each open lane those that get a permit.
-- Uses: store/places/shard, store/quota/lane, store/tokens/take
-- KEYS: as store/places/shard.lua's
-- ARGV: 1 question (JSON): run (begin of the runs' names), kinds (each: kind, room), push (room), lease (of a run,
--       from the send time of its call on, in ms), window, timeout, latest, steady,
--       ahead, ahead_low (microseconds), low (least priority that counts as low), most (lanes of a kind to look
--       at), token (seconds that a renewal may take, 0: calls need none), lanes (each with n, per_day, reserve, version,
--       epoch, day, used, fresh, is_gone: its appId is unknown)
-- Returns: {what is to know (JSON), then for each check {id, message, check (JSON)}}. To know: now; at (time of the next
--          permit of a kind with room left, -1: none); lanes (of each lane of the question that was looked at: kind,
--          appid, verb, wait, now, epoch, day, used, detail, clock, as store/quota/lane.lua tells); unknown (lanes that
--          are open, and not in the question), next (lanes that open next); more (queues in which more is due).
--          A check: as it is kept, with what its run gets: permit (ahead, bucket, day, epoch) and token; or renew
--          (fence, old token): it renews the token, absent (true): it finds out whether calls were sent lately, and
--          both give the check back; or refusal (the platform refuses the appId); or nothing: its appId is unknown.
-- Always: a check has one run until the run's lease ends; none gets a permit without a token.
-- microseconds after which a lane is looked at again: one that waits for a token, and one that waits for a minute's
-- quota, or for news that only its callers have. A look hands out the permits of SHORTEST_WAIT, which is well below every
-- look-ahead: no send time is missed
-- DAMAGED_WAIT: after which a lane whose keys an error stops is looked at again
local TOKEN_WAIT, SHORTEST_WAIT, LONGEST_WAIT, DAMAGED_WAIT = 50000, 100000, 1000000, 60000000
-- most permits of a lane that one take settles
local SETTLE = 64
local shard = places_shard(KEYS, ARGV)
local question, lanes, now = shard.question, quota_lane({}, {}), shard.now
-- of Redis, asked for where there is a lane to take from: the answer to INFO is long
local wall, redis_run
-- by kind, the appIds of the lanes that may be open
local due = {}
local told, replies, unknown, nearest, taken = {''}, {}, {}, {}, 0
-- queues in which more is due
local more, at = {}, nil

-- cjson would cut a number of more than 14 digits
local function exact(number)
  return string.format('%.0f', number)
end

local function reply_of(keys, said)
  local written = {keys.kind, keys.appid}
  for i, value in ipairs(said) do
    written[i + 2] = type(value) == 'number' and exact(value) or value
  end
  replies[#replies + 1] = written
end

local function hand(id, check, lease, extra)
  taken = taken + 1
  check.run = question.run .. ':' .. taken
  redis.call('ZADD', shard.hand, lease, id)
  shard.keep(id, check, 'hand')
  for name, value in pairs(extra) do
    check[name] = value
  end
  told[#told + 1] = {id, redis.call('HGET', shard.messages, id) or '', cjson.encode(check)}
end

local function take_ready(queue, room)
  local ids = room > 0 and redis.call('ZRANGE', shard.ready[queue], 0, room - 1) or {}
  for _, id in ipairs(ids) do
    local check = shard.check_in('ready', shard.ready[queue], id)
    if check then
      hand(id, check, now + question.lease, {})
      redis.call('ZREM', shard.ready[queue], id)
      room = room - 1
    end
  end
  more[queue] = room <= 0 and redis.call('EXISTS', shard.ready[queue]) == 1
  return room
end

-- Lets a lane with waiting checks come up again after some microseconds.
local function opens_in(keys, wait)
  redis.call('ZADD', shard.open[keys.kind], now + math.ceil(wait / 1000), keys.appid)
end

-- Returns: what the run of a lane's next check gets; or nothing, the microseconds for which none gets it, and why
local function leave_of(keys, lane, check)
  local low = check.priority >= question.low
  local verb, wait, why = lanes.shut(lane, low and keys.reserve or 0)
  if verb == 'stop' then
    return {refusal = why}
  elseif verb then
    return nil, wait, why
  end
  local at_time, bucket
  at_time, wait = lanes.next_permit(lane, low and question.ahead_low or question.ahead)
  if not at_time then
    return nil, wait, 'minute'
  end
  local token = keys.token_said
    or (question.token > 0 and tokens_take({keys.token}, {question.token}) or {'none'})
  keys.token_said = token
  if token[1] == 'wait' then
    return nil, TOKEN_WAIT, 'token'
  elseif token[1] == 'renew' then
    -- the others use the old token, or wait
    keys.token_said = token[3] ~= '' and {'use', token[3]} or {'wait'}
    return {renew = {token[2], token[3]}}
  end
  bucket, wait = lanes.take(lane, at_time)
  if not bucket then
    return nil, wait, 'minute'
  end
  local permit = {ahead = at_time - lane.now, bucket = bucket, day = lane.day, epoch = exact(lane.epoch)}
  return {permit = permit, token = token[2]}
end

-- Takes of one open lane what may go now. Returns the room that is left.
local function take_lane(keys, room)
  local ids = redis.call('ZRANGE', keys.waiting, 0, room - 1)
  local lane, reply = nil, {'gone'}
  if not keys.is_gone then
    lane, reply = lanes.read(keys.quota, keys.ring, shard.known, wall, redis_run, {
      name = keys.appid .. ':' .. keys.kind, n = keys.n, per_day = keys.per_day,
      version = keys.version, window = question.window, timeout = question.timeout, latest = question.latest,
      steady = question.steady, epoch = keys.epoch, fresh = keys.fresh,
    })
  end
  local wait, why
  if lane then
    local ended = redis.call('LRANGE', keys.settled, 0, SETTLE - 1)
    if #ended > 0 then
      -- an ACL may stop the script at any line: the sum of the permits is to be that of the ring
      lanes.write(lane)
      redis.call('LTRIM', keys.settled, #ended, -1)
    end
    for _, permit in ipairs(ended) do
      local bucket, sent, day, epoch, at = string.match(permit, '(%d+):(%d):(%d+):(%d+):(%d+)')
      if tonumber(epoch) == lane.epoch then
        lanes.settle(lane, tonumber(bucket), sent == '1' and lanes.age(lane, at * 1000) or -1, tonumber(day))
      end
    end
    lanes.turn(lane, keys.day, keys.used)
    lanes.write(lane)
  else
    -- again, absent, stop, wait, or gone
    reply_of(keys, reply)
    wait = reply[2] or not keys.is_gone and LONGEST_WAIT or nil
  end
  local leaves = {}
  for _, id in ipairs(ids) do
    local check, leave = shard.check_in('lane', keys.waiting, id), nil
    if check and lane then
      leave, wait, why = leave_of(keys, lane, check)
    elseif check and reply[1] == 'stop' then
      leave = {refusal = reply[7]}
    elseif check and (reply[1] == 'absent' or reply[1] == 'gone') then
      leave = {absent = reply[1] == 'absent' or nil}
    end
    if check and not leave then
      break
    elseif check then
      leaves[#leaves + 1] = {id, check, leave}
    end
    if leave and leave.absent then
      -- its run finds out whether calls were sent lately; the others wait
      break
    end
  end
  if lane then
    if #leaves > 0 then
      lanes.write(lane)
    end
    reply_of(keys, lanes.told(lane, wait and 'wait' or 'send', wait or 0, why or 0))
    -- a permit may come sooner than 'minute' says: calls are answered, a rate is raised
    wait = wait and why == 'minute' and math.max(SHORTEST_WAIT, math.min(wait, LONGEST_WAIT)) or wait
  end
  for _, one in ipairs(leaves) do
    local id, check, leave = unpack(one)
    hand(id, check, now + math.ceil((leave.permit and leave.permit.ahead or 0) / 1000) + question.lease, leave)
    redis.call('ZREM', keys.waiting, id)
  end
  if redis.call('EXISTS', keys.waiting) == 0 then
    redis.call('ZREM', shard.open[keys.kind], keys.appid)
  else
    -- checks of a later version stay where they are
    wait = wait or #leaves == 0 and LONGEST_WAIT or 0
    opens_in(keys, wait)
    more[keys.kind] = more[keys.kind] or wait == 0
  end
  return room - #leaves
end

for _, keys in ipairs(shard.lane) do
  if keys.fresh == 0 then
    -- others, who could not tell that nothing was sent, may have let it pause
    redis.call('ZADD', shard.open[keys.kind], 'XX', 'LT', now, keys.appid)
  end
end
for _, asked in ipairs(question.kinds) do
  due[asked.kind] = redis.call('ZRANGE', shard.open[asked.kind], '-inf', now, 'BYSCORE', 'LIMIT', 0, question.most)
  if due[asked.kind][1] and not wall then
    -- before anything is handed out: an ACL may lack INFO
    wall, redis_run = lanes.clock()
  end
end
take_ready('push', question.push)
for _, asked in ipairs(question.kinds) do
  local kind = asked.kind
  local room = take_ready(kind, asked.room)
  for _, appid in ipairs(due[kind]) do
    local keys = shard.of_appid[kind][appid]
    if room <= 0 then
      more[kind] = true
    elseif keys then
      local before, is_taken, left = taken, pcall(take_lane, keys, room)
      if is_taken then
        room = left
      elseif taken > before then
        -- it is not its keys' fault
        return type(left) == 'table' and left or redis.error_reply(left)
      else
        -- a lane whose keys are damaged holds up no other
        local said = type(left) == 'table' and left.err or tostring(left)
        reply_of(keys, {'damaged', DAMAGED_WAIT, 0, 0, 0, 0, said, wall})
        opens_in(keys, DAMAGED_WAIT)
      end
    else
      unknown[#unknown + 1] = {kind, appid}
    end
  end
  local later = redis.call('ZRANGE', shard.open[kind], 0, question.most - 1, 'WITHSCORES')
  for i = 1, #later, 2 do
    nearest[#nearest + 1] = {kind, later[i]}
  end
  if room > 0 and later[2] and (not at or tonumber(later[2]) < at) then
    at = tonumber(later[2])
  end
end
local queues = {}
for queue, is_more in pairs(more) do
  if is_more then
    queues[#queues + 1] = queue
    shard.wakes(queue)
  end
end
told[1] = cjson.encode({
  now = now, at = at or -1, lanes = replies, unknown = unknown, next = nearest, more = queues,
})
return told
