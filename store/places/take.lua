-- Takes checks into the hands of a worker: those whose end is known, and of each open lane those that get a permit.
-- Uses: store/places/shard, store/tokens/take
-- KEYS: as store/places/shard.lua's
-- ARGV: 1 question (JSON): run (begin of the runs' names), kinds (each: kind, room), push (room), lease (of a run
--       without a call) and longest (of a run, from its permit's send time on, in ms), window, timeout, latest, steady,
--       ahead, ahead_low (microseconds), low (least priority that counts as low), most (lanes of a kind to look
--       at), token (seconds that a renewal may take, 0: calls need none), lanes (each with number, n, per_day, reserve,
--       version, epoch, day, used, fresh; gone: its appId is unknown)
-- Returns: {what is to know (JSON), then three for each check: id, message, check (JSON)}. To know: now; at (time of
--          the next permit, if any, of a kind with room left); lanes (of each lane of the question that was looked at: number, verb, wait, now,
--          epoch, day, used, detail, clock, as store/quota/take.lua says it); unknown (lanes that are open, and not in
--          the question), next (lanes that open next); more (queues in which more is due).
--          A check: as it is kept, with what its run gets: permit (ahead, bucket, day, epoch) and token; or renew
--          (fence, old token): it renews the token, absent (true): it finds out whether calls were sent lately, and
--          both give the check back; or gone (true), or refusal (the platform refuses the appId).
-- Always: a check has one run until the run's lease ends; none gets a permit without a token.
-- microseconds after which a lane is looked at again: one that waits for a token, and one that waits for a minute's
-- quota, or for news that only its callers have
local TOKEN_WAIT, LONGEST_WAIT = 50000, 1000000
-- most permits of a lane that one take settles
local SETTLE = 64
local shard = places_shard(KEYS, ARGV)
local question, lanes, now = shard.question, shard.lanes, shard.now
local wall, redis_run = lanes.clock()
local told, replies, unknown, nearest, taken = {''}, {}, {}, {}, 0
-- queues in which more is due
local more, at = {}, nil

-- cjson would cut a number of more than 14 digits
local function exact(number)
  return string.format('%.0f', number)
end

local function reply_of(number, said)
  local written = {number}
  for i, value in ipairs(said) do
    written[i + 1] = type(value) == 'number' and exact(value) or value
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
  told[#told + 1] = id
  told[#told + 1] = redis.call('HGET', shard.messages, id) or ''
  told[#told + 1] = cjson.encode(check)
end

local function take_ready(queue, room)
  local ids = room > 0 and redis.call('ZRANGE', shard.ready[queue], 0, room - 1) or {}
  for _, id in ipairs(ids) do
    local check = shard.check(id)
    if check then
      redis.call('ZREM', shard.ready[queue], id)
      hand(id, check, now + question.lease, {})
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

local function token_of(keys)
  keys.token_said = keys.token_said
    or (question.token > 0 and tokens_take({keys.token}, {question.token}) or {'none'})
  return keys.token_said
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
  local token = token_of(keys)
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
local function take_lane(keys, number, room)
  local ids = redis.call('ZRANGE', keys.waiting, 0, room - 1)
  local lane, reply = nil, {'gone'}
  if not keys.gone then
    lane, reply = lanes.read(keys.quota, keys.ring, shard.known, wall, redis_run, {
      want = 'take', name = keys.appid .. ':' .. keys.kind, n = keys.n, per_day = keys.per_day,
      version = keys.version, window = question.window, timeout = question.timeout, latest = question.latest,
      steady = question.steady, epoch = keys.epoch, fresh = keys.fresh,
    })
  end
  local before, wait, why = room, nil, nil
  if lane then
    -- a call counts as answered now: never too early, and the next take is not far where every permit counts
    local ended = redis.call('LRANGE', keys.settled, 0, SETTLE - 1)
    if #ended > 0 then
      redis.call('LTRIM', keys.settled, #ended, -1)
    end
    for _, permit in ipairs(ended) do
      local bucket, sent, day, epoch = string.match(permit, '(%d+):(%d):(%d+):(%d+)')
      if tonumber(epoch) == lane.epoch then
        lanes.settle(lane, tonumber(bucket), sent == '1' and 0 or -1, tonumber(day))
      end
    end
    lanes.turn(lane, keys.day, keys.used)
  else
    -- again, absent, stop, wait, or gone
    reply_of(number, reply)
    wait = reply[2] or not keys.gone and LONGEST_WAIT or nil
  end
  for _, id in ipairs(ids) do
    local check, leave = shard.check(id), nil
    if check and lane then
      leave, wait, why = leave_of(keys, lane, check)
    elseif check and reply[1] == 'stop' then
      leave = {refusal = reply[7]}
    elseif check and (reply[1] == 'absent' or reply[1] == 'gone') then
      leave = {[reply[1]] = true}
    end
    if check and not leave then
      break
    elseif check then
      redis.call('ZREM', keys.waiting, id)
      room = room - 1
      local ends = leave.permit and math.ceil(leave.permit.ahead / 1000) + question.longest or question.lease
      hand(id, check, now + ends, leave)
    end
    if leave and leave.absent then
      -- its run finds out whether calls were sent lately; the others wait
      break
    end
  end
  if lane then
    lanes.write(lane)
    reply_of(number, lanes.told(lane, wait and 'wait' or 'send', wait or 0, why or 0))
    -- a permit may come sooner than 'minute' says: calls are answered, a rate is raised
    wait = wait and why == 'minute' and math.min(wait, LONGEST_WAIT) or wait
  end
  if redis.call('EXISTS', keys.waiting) == 0 then
    redis.call('ZREM', shard.open[keys.kind], keys.appid)
  else
    -- checks of a later version stay where they are
    wait = wait or room == before and LONGEST_WAIT or 0
    opens_in(keys, wait)
    more[keys.kind] = more[keys.kind] or wait == 0
  end
  return room
end

take_ready('push', question.push)
for _, asked in ipairs(question.kinds) do
  local kind = asked.kind
  local room = take_ready(kind, asked.room)
  local due = redis.call('ZRANGE', shard.open[kind], '-inf', now, 'BYSCORE', 'LIMIT', 0, question.most)
  for _, appid in ipairs(due) do
    local keys = shard.of_appid[kind][appid]
    if room <= 0 then
      more[kind] = true
    elseif keys then
      room = take_lane(keys, keys.number, room)
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
  now = now, at = at or -1, lanes = #replies > 0 and replies or 0, unknown = #unknown > 0 and unknown or 0,
  next = #nearest > 0 and nearest or 0, more = #queues > 0 and queues or 0,
})
return told
