-- Takes and settles the permits of a lane, for other scripts.
-- Uses: store/quota/birth
-- Returns: a table of functions, by which a script reads a lane once, changes it in memory, and writes it once
-- Times are integers, in microseconds.
-- Always: at the send time of each permit at most N permits count, itself included. A permit counts until one window
--         after the latest moment at which its call can have arrived: the answer, or send time and time-out. Send times
--         never decrease. Without state, and after a restart of Redis, nothing is sent for a window, a look-ahead and a
--         time-out.
-- the hash: run (the Redis that keeps it), epoch (time of its making), now (the lane's own time), shown (Redis' clock at
-- that moment), base and read (the same pair at the last call that could account for all time passed), slot (next send
-- time), due (the same under even spacing), short (somebody has asked in vain since the last permit), tail (oldest
-- bucket that counts), sum (permits that count), day and used (permits of that day), opens (end of a pause),
-- closed_until and why (end of a closing, and its quota), stopped and refusal (until then the appId is not called, and
-- the reason), cut and cut_until (tenths taken off the rate, until then), n and version (the rate)
-- the ring: a byte for each fortieth of a second, with the number of calls that ended then, or will at the latest
-- (102 s in all)
local BUCKET = 25000
local SIZE = 4096
local FULL = 255
local DAY = 86400000000
local SHANGHAI = 28800000000
-- days turn, and lanes open, this long after midnight, since the platform's clock and ours differ; the calls around
-- midnight count for both days
local CLOCK_MARGIN = 500000
-- a call may be late by SLACK and look like a clock put forward; for KEPT, and up to UNTOLD, the untold rest of the
-- passed time is left to other callers
local SLACK, KEPT, UNTOLD = 20000, 10000000, 2000000
-- the farthest look-ahead of any caller
local LOOK_AHEAD = 300000
-- calls are spaced evenly over the window; calls behind that spacing catch up at the pace CATCH_UP, by up to IDLE after
-- a time without callers and by up to SHORT after a time without permits
local IDLE, SHORT, CATCH_UP = 1000000, 3000000, 1.5

local function bytes(lane, from, to)
  -- the counts of buckets from..to, SIZE at most
  if to < from then
    return ''
  end
  local first, last = from % SIZE, to % SIZE
  if first <= last then
    return redis.call('GETRANGE', lane.ring, first, last)
  end
  return redis.call('GETRANGE', lane.ring, first, SIZE - 1) .. redis.call('GETRANGE', lane.ring, 0, last)
end

local function total(lane, from, to)
  -- most counts are 0 in a lane that is seldom used
  local all, of_all = bytes(lane, from, to), 0
  local i = string.find(all, '[^%z]')
  while i do
    of_all = of_all + string.byte(all, i)
    i = string.find(all, '[^%z]', i + 1)
  end
  return of_all
end

local function clear(lane, from, to)
  -- buckets from..to, fewer than SIZE
  local first, last = from % SIZE, to % SIZE
  if first > last then
    redis.call('SETRANGE', lane.ring, 0, string.rep('\0', last + 1))
    last = SIZE - 1
  end
  redis.call('SETRANGE', lane.ring, first, string.rep('\0', last - first + 1))
end

local function put(lane, bucket, count)
  redis.call('SETRANGE', lane.ring, bucket % SIZE, string.char(count))
end

local function midnight(day)
  return day * DAY - SHANGHAI
end

local lanes = {}

-- the time that Redis' clock shows, and which Redis this is
function lanes.clock()
  local clock = redis.call('TIME')
  return clock[1] * 1000000 + clock[2], string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
end

-- Returns: verb, time to wait, lane's time, epoch, day, used, detail, Redis' clock. The verbs, and their detail:
--          send (0) | wait (minute day reserve closed pause) | stop (the platform's refusal, JSON)
--          | again (0): the caller knows another state, and may have more to say
--          | absent: no state, and nobody here can tell that nothing was sent
function lanes.told(lane, verb, wait, detail)
  return {verb, wait, lane.now, lane.epoch, lane.day, lane.used, detail, lane.wall}
end

-- Reads a lane for a caller, and makes its state if there is none.
-- caller: name (appid:lane), n, per_day, version (of the rate), window, timeout (of a call),
--         latest (that Redis' clock can show by the caller's own), steady (time by Redis' clock from which on the caller
--         has seen it go evenly), epoch (that the caller knows, 0 for none), fresh (for a lane without state: the pause
--         if the caller knows that calls may have been sent, 0 if the caller knows that none were, else -1)
-- Returns: the lane; or nothing, and the reply that says why: again | absent | stop | wait
function lanes.read(hash, ring, known_lanes, wall, run, caller)
  local known, read, base, shown, last, slot, due, tail, sum, day, used, epoch, opens, closed_until, stopped, refusal, cut, cut_until, n_known, n_version, short =
    unpack(redis.call('HMGET', hash, 'run', 'read', 'base', 'shown', 'now', 'slot', 'due', 'tail', 'sum', 'day', 'used', 'epoch', 'opens',
      'closed_until', 'stopped', 'refusal', 'cut', 'cut_until', 'n', 'version', 'short'))
  read, base, shown, last = tonumber(read or 0), tonumber(base or 0), tonumber(shown or 0), tonumber(last or 0)
  local lane = {
    hash = hash, ring = ring, wall = wall, window = caller.window, timeout = caller.timeout, per_day = caller.per_day,
    slot = tonumber(slot or 0), due = tonumber(due or 0), tail = tonumber(tail or 0), sum = tonumber(sum or 0),
    used = tonumber(used or 0), opens = tonumber(opens or 0), fresh = caller.fresh, refusal = refusal, short = short,
    till = math.min(wall, caller.latest), steady = caller.steady,
  }
  lane.today = math.floor((wall - CLOCK_MARGIN + SHANGHAI) / DAY)
  lane.day = tonumber(day or lane.today)
  -- values that a clock far ahead has written
  if lane.day > lane.today + 1 then
    lane.day = lane.today
  end
  closed_until, stopped = tonumber(closed_until or 0), tonumber(stopped or 0)
  lane.closed_until = closed_until <= wall + 2 * DAY and closed_until or 0
  lane.stopped = stopped <= wall + DAY and stopped or 0

  local whole = known == run and redis.call('STRLEN', ring) == SIZE
  if whole and caller.epoch ~= tonumber(epoch) and caller.epoch ~= 0 then
    return nil, {'again', 0, last, tonumber(epoch), lane.day, lane.used, 0, wall}
  end

  -- The lane's time goes on with Redis' clock, as far as the caller has seen that clock go evenly, and no further than
  -- the latest that the clock can show by the caller's own. At 'read' on Redis' clock the lane's time was 'base';
  -- 'shown' is Redis' clock at the last call. A caller that has seen the clock go evenly since 'read' accounts for all
  -- the time passed. Any other caller accounts for the time since the last call, or since its own first look, and
  -- leaves the rest to others. Time that nobody accounts for soon is left out.
  local now = wall
  if whole then
    local till = wall > caller.latest + SLACK and caller.latest or wall
    if caller.steady <= read then
      now = math.max(last, base + till - read)
    else
      now = last + math.max(0, till - math.max(caller.steady, shown))
    end
    if (till == wall and caller.steady <= read) or wall < read or wall - read > KEPT or base + wall - read - now > UNTOLD then
      read, base = wall, now
    end
  else
    read, base = wall, now
  end
  lane.now = now
  -- somebody may yet account for this time: nothing counts as older than it is
  lane.seen = math.max(now, base + wall - read)

  local first = math.floor((now - caller.window) / BUCKET)
  if not whole then
    local pause = caller.window + LOOK_AHEAD + caller.timeout
    if not known then
      if lane.stopped > wall then
        return nil, {'stop', 0, 0, 0, 0, 0, refusal, wall}
      end
      if lane.closed_until > wall then
        return nil, {'wait', lane.closed_until - wall, 0, 0, 0, 0, 'closed', wall}
      end
      if caller.fresh >= 0 then
        pause = caller.fresh
      else
        -- in the step that makes the state: of many callers at once, none finds the lane neither new nor made. A caller
        -- that has used the lane knows that the lane is not new
        if caller.epoch ~= 0 then
          return nil, {'absent'}
        end
        pause = quota_birth({known_lanes}, {caller.name, pause})
        if pause > 0 then
          return nil, {'absent'}
        end
      end
    end
    epoch, lane.opens = wall, lane.seen + pause
  end
  -- before the ring changes, and with it the sum: an ACL may stop the script
  redis.call('HSET', hash, 'read', string.format('%.0f', read), 'base', string.format('%.0f', base),
    'shown', string.format('%.0f', wall), 'now', string.format('%.0f', now))
  if not whole then
    redis.call('SET', ring, string.rep('\0', SIZE))
    lane.sum, lane.tail, lane.slot, lane.due = 0, first, now, 0
    -- all that a caller reads, for an ACL may stop the script before its end
    lanes.write(lane)
    redis.call('HSET', hash, 'run', run, 'epoch', string.format('%.0f', epoch), 'opens', string.format('%.0f', lane.opens))
  end
  lane.epoch = tonumber(epoch)

  -- permits that no longer count
  if first > lane.tail then
    if first - lane.tail >= SIZE then
      lane.sum = 0
      redis.call('SET', ring, string.rep('\0', SIZE))
    else
      local gone = total(lane, lane.tail, first - 1)
      if gone > 0 then
        lane.sum = lane.sum - gone
        clear(lane, lane.tail, first - 1)
      end
    end
    lane.tail = first
  end

  -- the latest rate counts, whoever asks
  lane.n = caller.n
  if caller.version >= tonumber(n_version or 0) then
    if tonumber(n_known or 0) ~= caller.n or tonumber(n_version or 0) ~= caller.version then
      redis.call('HSET', hash, 'n', caller.n, 'version', caller.version)
      if caller.version > tonumber(n_version or 0) then
        -- the next call need not wait as long as the old rate asked; no send time lies farther ahead
        lane.slot, lane.due = math.min(lane.slot, now + LOOK_AHEAD), math.min(lane.due, now + LOOK_AHEAD)
      end
    end
  else
    lane.n = tonumber(n_known)
  end
  if cut_until and tonumber(cut_until) > wall then
    lane.n = math.max(1, lane.n - math.floor(lane.n * tonumber(cut) / 10))
  end
  return lane
end

-- Returns: the time that has passed for certain since Redis' clock showed a time. Where the clock was put back meanwhile,
--          more has passed
function lanes.age(lane, at)
  return at >= lane.steady and math.max(0, lane.till - at) or 0
end

-- Settles the permit of a call. age: since its answer, or -1 if it was never sent; day: for which the permit was taken
function lanes.settle(lane, bucket, age, day)
  local tail = lane.tail
  local count = bucket >= tail and bucket < tail + SIZE and string.byte(bytes(lane, bucket, bucket)) or 0
  if count == 0 then
    return
  end
  local to = age >= 0 and math.floor((lane.seen - age) / BUCKET) or -1
  if to < tail then
    put(lane, bucket, count - 1)
    lane.sum = lane.sum - 1
  elseif to < bucket then
    -- if many calls ended at once, some count a little longer
    local there = string.byte(bytes(lane, to, to))
    while there == FULL and to < bucket do
      to = to + 1
      there = string.byte(bytes(lane, to, to))
    end
    if to < bucket then
      put(lane, bucket, count - 1)
      put(lane, to, there + 1)
    end
  end
  if age < 0 and day == lane.day then
    lane.used = math.max(0, lane.used - 1)
  end
end

-- Turns the lane's day, and takes in a day and its calls that the caller has seen.
function lanes.turn(lane, day, used)
  if lane.today > lane.day then
    lane.day = lane.today
    -- calls that may have arrived since midnight
    local since = lane.now - (lane.wall - midnight(lane.day)) - CLOCK_MARGIN
    lane.used = total(lane, math.max(lane.tail, math.floor(since / BUCKET)), lane.tail + SIZE - 1)
  end
  if day > lane.today + 1 then
    day = 0
  end
  if day > lane.day then
    lane.day, lane.used = day, used
  elseif day == lane.day then
    lane.used = math.max(lane.used, used)
  end
end

-- Why the lane is not open for a caller from whom the last calls of the day are kept back (reserve).
-- Returns: nothing, or verb, time to stay away and why
function lanes.shut(lane, reserve)
  if lane.stopped > lane.wall then
    return 'stop', 0, lane.refusal
  end
  if lane.now < lane.opens and lane.fresh == 0 and lane.sum == 0 and lane.used == 0 then
    -- the lane was paused by a caller who could not tell that nothing was sent
    lane.opens = lane.now
    redis.call('HSET', lane.hash, 'opens', string.format('%.0f', lane.opens))
  end
  if lane.now < lane.opens then
    return 'wait', lane.opens - lane.now, 'pause'
  end
  if lane.closed_until > lane.wall then
    return 'wait', lane.closed_until - lane.wall, 'closed'
  end
  if lane.used >= lane.per_day - reserve then
    local opens = midnight(lane.day + 1) + CLOCK_MARGIN - lane.wall
    return 'wait', opens, lane.used >= lane.per_day and 'day' or 'reserve'
  end
end

-- Returns: the first moment from the next slot on at which fewer than n permits count; nothing if it is farther away
--          than ahead, and the time to stay away
function lanes.next_permit(lane, ahead)
  local asked = math.max(lane.now, lane.slot)
  local at, count, i = asked, lane.sum, 0
  local all = bytes(lane, lane.tail, lane.tail + SIZE - 1)
  repeat
    -- most counts are 0
    i = string.find(all, '[^%z]', i + 1) or SIZE + 1
    local over = (lane.tail + i) * BUCKET + lane.window
    if over > at then
      if count < lane.n then
        break
      end
      at = over
    end
    count = count - (string.byte(all, i) or 0)
  until i > SIZE
  if at <= lane.now + ahead then
    return at
  end
  if at > asked and not lane.short then
    lane.short = 1
    redis.call('HSET', lane.hash, 'short', 1)
  end
  return nil, at - ahead - lane.now
end

-- Takes a permit for a call that is sent at a moment of next_permit's.
-- Returns: its bucket; nothing if the ring takes no more until its oldest bucket no longer counts, and the time until
--          then
function lanes.take(lane, at)
  local bucket = math.floor((at + lane.seen - lane.now + lane.timeout) / BUCKET)
  local count = string.byte(bytes(lane, bucket, bucket))
  while count == FULL and bucket < lane.tail + SIZE - 1 do
    -- a later bucket counts longer, never shorter
    bucket = bucket + 1
    count = string.byte(bytes(lane, bucket, bucket))
  end
  if count == FULL then
    return nil, BUCKET
  end
  lane.sum, lane.used = lane.sum + 1, lane.used + 1
  local behind = lane.due > 0 and at - lane.due or 0
  if at == math.max(lane.now, lane.slot) and not lane.short then
    behind = math.min(behind, math.max(lane.slot - lane.due, IDLE))
  end
  if lane.short then
    lane.short = false
    redis.call('HDEL', lane.hash, 'short')
  end
  lane.due = at - math.min(behind, SHORT) + math.floor(lane.window / lane.n)
  lane.slot = math.max(lane.due, at + math.floor(lane.window / (lane.n * CATCH_UP)))
  put(lane, bucket, count + 1)
  return bucket
end

function lanes.write(lane)
  redis.call('HSET', lane.hash, 'slot', string.format('%.0f', lane.slot), 'due', string.format('%.0f', lane.due),
    'tail', lane.tail, 'sum', lane.sum, 'day', lane.day, 'used', lane.used)
end

return lanes
