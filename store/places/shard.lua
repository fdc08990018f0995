-- Moves the checks of a shard from place to place, for other scripts.
-- KEYS: the shard's own, in the order of store/places/shard.py; then the counts of events, and five for each lane of the
--       question
-- ARGV: 1 question (JSON); its lanes: a list of {kind, appid}
-- Returns: a table of functions
-- A check (JSON): v (number of its format), place, kind (text | media), appid, priority and number (its place in the
--   lane), of (digests of contents, the newest first), run (the latest that took it), cause (its end, once known:
--   ended, push or said), trace, since and media (image | audio; from the parking on), pushed (time of the push), due and
--   why (time from which on it is not sent any more, and stale | expired), cancelled, returns (times that its run's
--   lease ended). Times are in milliseconds. cjson writes 14 digits of a number: none here has more.
-- Always: a check is in one place, which it names itself, and a script that finds it elsewhere changes nothing.
local FORMAT = 1
-- room for the sequence below a priority, and for the time below a rank
local RANK = 2 ^ 48
-- ranks of the ends, where any other has 1
local RANKS = {done = 0, timeout = 2}

local question = cjson.decode(ARGV[1])
local clock = redis.call('TIME')
local shard = {
  question = question, now = clock[1] * 1000 + math.floor(clock[2] / 1000),
  checks = KEYS[1], messages = KEYS[2], hand = KEYS[3], shelf = KEYS[4], parked = KEYS[5], ended = KEYS[6],
  stale = KEYS[7], traces = KEYS[8], early = KEYS[9], early_due = KEYS[10], sequence = KEYS[11], known = KEYS[12],
  outbox = KEYS[13], outbox_due = KEYS[14],
  open = {text = KEYS[15], media = KEYS[16]},
  ready = {text = KEYS[17], media = KEYS[18], push = KEYS[19]},
  wake = {text = KEYS[20], media = KEYS[21], push = KEYS[22]},
  lane = {}, of_appid = {text = {}, media = {}},
}
for i, lane in ipairs(question.lanes) do
  local first = 23 + 5 * (i - 1)
  lane.waiting, lane.quota, lane.ring = KEYS[first + 1], KEYS[first + 2], KEYS[first + 3]
  lane.settled, lane.token = KEYS[first + 4], KEYS[first + 5]
  shard.lane[i] = lane
  shard.of_appid[lane.kind][lane.appid] = lane
end
-- number of the first key after those of the lanes
shard.after = 24 + 5 * #shard.lane

-- Returns: the check; or nothing, and true if it is there in a format of a later version, or damaged: it stays as it is
function shard.check(id)
  local text = redis.call('HGET', shard.checks, id)
  if not text then
    return nil
  end
  local is_read, check = pcall(cjson.decode, text)
  if not is_read or type(check) ~= 'table' or not check.v or check.v > FORMAT then
    return nil, true
  end
  return check
end

-- Returns: the check, if it is in a place; else it is dropped from the set of that place, but for one of a later version
function shard.check_in(place, set, id)
  local check, newer = shard.check(id)
  if check and check.place == place then
    return check
  elseif not newer then
    redis.call('ZREM', set, id)
  end
end

-- Returns: id of the question's check; the check, if the question's run has it in hand; else nothing, and where it is:
--          lost | the place that the run gave it
function shard.held()
  local id = question.id
  local check = shard.check(id)
  if not check or check.run ~= question.run then
    return id, nil, 'lost'
  elseif check.place ~= 'hand' then
    return id, nil, check.place
  end
  return id, check
end

function shard.keep(id, check, place)
  check.v, check.place = FORMAT, place
  redis.call('HSET', shard.checks, id, cjson.encode(check))
end

function shard.count(event)
  redis.call('HINCRBY', KEYS[23], event, 1)
end

function shard.lane_of(check)
  return shard.of_appid[check.kind][check.appid]
end

function shard.wakes(queue)
  if redis.call('EXISTS', shard.wake[queue]) == 0 then
    redis.call('LPUSH', shard.wake[queue], 1)
  end
end

-- Lets a check wait: for a run alone if its end is known or it was cancelled in hand; else on the shelf until a time that
-- is to come, if any; else in its lane. Its caller takes it out of the set of its old place afterwards: an ACL may stop
-- the script in between, and what a set holds too much is dropped as it comes up.
-- keeps_turn: its lane comes before those that have been open for longer
function shard.wait(id, check, at, keeps_turn)
  if check.cancelled and not check.cause then
    check.cause = {ended = 'cancelled'}
  end
  if check.cause then
    local queue, rank = check.trace and 'push' or check.kind, RANKS[check.cause.ended] or 1
    redis.call('ZADD', shard.ready[queue], rank * RANK + shard.now, id)
    if check.due then
      redis.call('ZREM', shard.stale, id)
    end
    shard.wakes(queue)
    shard.keep(id, check, 'ready')
    return
  end
  if check.due then
    redis.call('ZADD', shard.stale, check.due, id)
  end
  if at and at > shard.now then
    redis.call('ZADD', shard.shelf, at, id)
    shard.keep(id, check, 'shelf')
    return
  end
  local waiting = shard.lane_of(check).waiting
  check.number = check.number or redis.call('INCRBY', shard.sequence, 1)
  redis.call('ZADD', waiting, check.priority * RANK + check.number, id)
  -- the first one may get a permit though those behind it get none: a check of low priority leaves the day's reserve
  if redis.call('ZRANGE', waiting, 0, 0)[1] == id then
    redis.call('ZADD', shard.open[check.kind], 'LT', keeps_turn and 0 or shard.now, check.appid)
    shard.wakes(check.kind)
  end
  shard.keep(id, check, 'lane')
end

-- Lets a check go from hand that is in another place by now, and leaves its run's permit, if any, to the next take of its
-- lane, which settles it; with the time, rounded up. permit: bucket, day, epoch (store/quota/lane.lua), sent (1 if the
-- call was answered, 0 if nothing was sent). This comes last: an ACL may stop the script, which is repeated then, and a
-- permit that is settled twice would count for another call's.
function shard.let_go(id, check)
  local permit = question.permit
  redis.call('ZREM', shard.hand, id)
  if permit then
    redis.call('RPUSH', shard.lane_of(check).settled,
      string.format('%d:%d:%d:%.0f:%.0f', permit.bucket, permit.sent, permit.day, permit.epoch, shard.now + 1))
  end
end

-- Notes the end of a check that is not in hand; a run tells whoever waits for it.
function shard.cause(id, check, cause)
  local place, lane = check.place, shard.lane_of(check)
  check.cause = cause
  shard.wait(id, check)
  if place == 'lane' then
    redis.call('ZREM', lane.waiting, id)
    if redis.call('EXISTS', lane.waiting) == 0 then
      redis.call('ZREM', shard.open[check.kind], check.appid)
    end
  elseif place ~= 'ready' then
    redis.call('ZREM', shard[place], id)
  end
end

return shard
