-- Takes a permit for one call of a lane, reserved at its send time; also settles permits whose calls have ended.
-- Uses: store/quota/birth
-- KEYS: 1 quota  2 ring  3 lanes
-- ARGV: 1 'take' | 'look' (takes nothing)  2 calls a minute  3 calls a day  4 calls of the day kept back from this
--       caller  5 version of the rate  6 window  7 time-out of a call  8 look-ahead  9 the latest that Redis' clock can
--       show by the caller's own  10 the time by Redis' clock from which on the caller has seen it go evenly  11 epoch
--       of the permits to settle  12 a day and 13 its calls that the caller has seen  14 for a lane without state: the
--       pause if the caller knows that calls may have been sent, 0 if the caller knows that none were, else -1
--       15… three for each permit to settle, of 64 at most: bucket, age of the answer or -1 (never sent), day
-- Times are integers, in microseconds.
-- Returns: each but the last ends in the time that Redis' clock shows: {'send', wait, now, epoch, day, used, bucket}
--        | {'wait', time to stay away, now, epoch, day, used, why}; why: minute day reserve closed pause
--        | {'stop', 0, now, epoch, day, used, the platform's refusal (JSON)}
--        | {'again', 0, now, epoch, day, used, 0}: the caller knows another state, and may have more to say
--        | {'absent'}: no state, ARGV 14 is -1, and nobody here can tell that nothing was sent
-- Always: at the send time of each permit at most N permits count, itself included. A permit counts until one window
--         after the latest moment at which its call can have arrived: the answer, or send time and time-out. Send times
--         never decrease. Without state, and after a restart of Redis, nothing is sent for a window, a look-ahead and a
--         time-out.
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

local hash, ring = KEYS[1], KEYS[2]
local want, n, per_day, reserve, version = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local window, timeout, ahead = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local latest, steady = tonumber(ARGV[9]), tonumber(ARGV[10])

local function bytes(from, to)
  -- the counts of buckets from..to, SIZE at most
  if to < from then
    return ''
  end
  local first, last = from % SIZE, to % SIZE
  if first <= last then
    return redis.call('GETRANGE', ring, first, last)
  end
  return redis.call('GETRANGE', ring, first, SIZE - 1) .. redis.call('GETRANGE', ring, 0, last)
end

local function total(from, to)
  -- most counts are 0 in a lane that is seldom used
  local all, of_all = bytes(from, to), 0
  local i = string.find(all, '[^%z]')
  while i do
    of_all = of_all + string.byte(all, i)
    i = string.find(all, '[^%z]', i + 1)
  end
  return of_all
end

local function clear(from, to)
  -- buckets from..to, fewer than SIZE
  local first, last = from % SIZE, to % SIZE
  if first > last then
    redis.call('SETRANGE', ring, 0, string.rep('\0', last + 1))
    last = SIZE - 1
  end
  redis.call('SETRANGE', ring, first, string.rep('\0', last - first + 1))
end

local function put(bucket, count)
  redis.call('SETRANGE', ring, bucket % SIZE, string.char(count))
end

local function midnight(day)
  return day * DAY - SHANGHAI
end

local clock = redis.call('TIME')
local wall = clock[1] * 1000000 + clock[2]
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
local known, read, base, shown, last, slot, due, tail, sum, day, used, epoch, opens, closed_until, stopped, refusal, cut, cut_until, n_known, n_version, short =
  unpack(redis.call('HMGET', hash, 'run', 'read', 'base', 'shown', 'now', 'slot', 'due', 'tail', 'sum', 'day', 'used', 'epoch', 'opens',
    'closed_until', 'stopped', 'refusal', 'cut', 'cut_until', 'n', 'version', 'short'))
read, base, shown = tonumber(read or 0), tonumber(base or 0), tonumber(shown or 0)
last, slot, due = tonumber(last or 0), tonumber(slot or 0), tonumber(due or 0)
tail, sum, used, opens = tonumber(tail or 0), tonumber(sum or 0), tonumber(used or 0), tonumber(opens or 0)
local today = math.floor((wall - CLOCK_MARGIN + SHANGHAI) / DAY)
day = tonumber(day or today)
-- values that a clock far ahead has written
if day > today + 1 then
  day = today
end
closed_until, stopped = tonumber(closed_until or 0), tonumber(stopped or 0)
closed_until = closed_until <= wall + 2 * DAY and closed_until or 0
stopped = stopped <= wall + DAY and stopped or 0

local whole = known == run and redis.call('STRLEN', ring) == SIZE
if whole and ARGV[11] ~= epoch and ARGV[11] ~= '0' then
  return {'again', 0, last, tonumber(epoch), day, used, 0, wall}
end

-- The lane's time goes on with Redis' clock, as far as the caller has seen that clock go evenly, and no further than
-- the latest that the clock can show by the caller's own. At 'read' on Redis' clock the lane's time was 'base'; 'shown'
-- is Redis' clock at the last call. A caller that has seen the clock go evenly since 'read' accounts for all the time
-- passed. Any other caller accounts for the time since the last call, or since its own first look, and leaves the rest
-- to others. Time that nobody accounts for soon is left out.
local now = wall
if whole then
  local till = wall > latest + SLACK and latest or wall
  if steady <= read then
    now = math.max(last, base + till - read)
  else
    now = last + math.max(0, till - math.max(steady, shown))
  end
  if (till == wall and steady <= read) or wall < read or wall - read > KEPT or base + wall - read - now > UNTOLD then
    read, base = wall, now
  end
else
  read, base = wall, now
end
-- somebody may yet account for this time: nothing counts as older than it is
local seen = math.max(now, base + wall - read)

local first = math.floor((now - window) / BUCKET)
if not whole then
  local pause = window + LOOK_AHEAD + timeout
  if not known then
    if stopped > wall then
      return {'stop', 0, 0, 0, 0, 0, refusal, wall}
    end
    if closed_until > wall then
      return {'wait', closed_until - wall, 0, 0, 0, 0, 'closed', wall}
    end
    if tonumber(ARGV[14]) >= 0 then
      pause = tonumber(ARGV[14])
    else
      -- in the step that makes the state: of many callers at once, none finds the lane neither new nor made. A caller
      -- that has used the lane knows that the lane is not new
      if want == 'look' or ARGV[11] ~= '0' then
        return {'absent'}
      end
      pause = quota_birth({KEYS[3]}, {string.match(hash, '{(.*)}'), pause})
      if pause > 0 then
        return {'absent'}
      end
    end
  end
  redis.call('SET', ring, string.rep('\0', SIZE))
  opens = seen + pause
  epoch, sum, tail, slot, due = wall, 0, first, now, 0
  redis.call('HSET', hash, 'run', run, 'epoch', string.format('%.0f', epoch), 'opens', string.format('%.0f', opens),
    'day', day)
end
epoch = tonumber(epoch)

-- permits that no longer count
if first > tail then
  if first - tail >= SIZE then
    sum = 0
    redis.call('SET', ring, string.rep('\0', SIZE))
  else
    local gone = total(tail, first - 1)
    if gone > 0 then
      sum = sum - gone
      clear(tail, first - 1)
    end
  end
  tail = first
end

-- permits whose calls have ended
if tonumber(ARGV[11]) == epoch then
  for i = 15, math.min(#ARGV, 15 + 64 * 3 - 1), 3 do
    local bucket, age = tonumber(ARGV[i]), tonumber(ARGV[i + 1])
    local count = bucket >= tail and bucket < tail + SIZE and string.byte(bytes(bucket, bucket)) or 0
    if count > 0 then
      local to = age >= 0 and math.floor((seen - age) / BUCKET) or -1
      if to < tail then
        put(bucket, count - 1)
        sum = sum - 1
      elseif to < bucket then
        -- if many calls ended at once, some count a little longer
        local there = string.byte(bytes(to, to))
        while there == FULL and to < bucket do
          to = to + 1
          there = string.byte(bytes(to, to))
        end
        if to < bucket then
          put(bucket, count - 1)
          put(to, there + 1)
        end
      end
      if age < 0 and tonumber(ARGV[i + 2]) == day then
        used = math.max(0, used - 1)
      end
    end
  end
end

-- the day
if today > day then
  day = today
  -- calls that may have arrived since midnight
  local from = math.max(tail, math.floor((now - (wall - midnight(day)) - CLOCK_MARGIN) / BUCKET))
  used = total(from, tail + SIZE - 1)
end
local day_seen, used_seen = tonumber(ARGV[12]), tonumber(ARGV[13])
if day_seen > today + 1 then
  day_seen = 0
end
if day_seen > day then
  day, used = day_seen, used_seen
elseif day_seen == day then
  used = math.max(used, used_seen)
end

-- the latest rate counts, whoever asks
if version >= tonumber(n_version or 0) then
  if tonumber(n_known or 0) ~= n or tonumber(n_version or 0) ~= version then
    redis.call('HSET', hash, 'n', n, 'version', version)
    if version > tonumber(n_version or 0) then
      -- the next call need not wait as long as the old rate asked; no send time lies farther ahead
      slot, due = math.min(slot, now + LOOK_AHEAD), math.min(due, now + LOOK_AHEAD)
    end
  end
else
  n = tonumber(n_known)
end
if cut_until and tonumber(cut_until) > wall then
  n = math.max(1, n - math.floor(n * tonumber(cut) / 10))
end

local function tell(verb, wait, detail)
  redis.call('HSET', hash, 'read', string.format('%.0f', read), 'base', string.format('%.0f', base),
    'shown', string.format('%.0f', wall), 'now', string.format('%.0f', now),
    'slot', string.format('%.0f', slot), 'due', string.format('%.0f', due), 'tail', tail, 'sum', sum, 'day', day, 'used', used)
  return {verb, wait, now, epoch, day, used, detail, wall}
end

if stopped > wall then
  return tell('stop', 0, refusal)
end
if now < opens and ARGV[14] == '0' and sum == 0 and used == 0 then
  -- the lane was paused by a caller who could not tell that nothing was sent
  opens = now
  redis.call('HSET', hash, 'opens', string.format('%.0f', opens))
end
if now < opens then
  return tell('wait', opens - now, 'pause')
end
if closed_until > wall then
  return tell('wait', closed_until - wall, 'closed')
end
if used >= per_day then
  return tell('wait', midnight(day + 1) + CLOCK_MARGIN - wall, 'day')
end
if used >= per_day - reserve then
  return tell('wait', midnight(day + 1) + CLOCK_MARGIN - wall, 'reserve')
end

-- the first moment from the next slot on at which fewer than n permits count
local asked = math.max(now, slot)
local at = asked
local count = sum
local bucket = tail
local limit = tail + SIZE
while bucket < limit do
  local chunk = bytes(bucket, math.min(bucket + 15, limit - 1))
  for i = 1, #chunk do
    local over = (bucket + 1) * BUCKET + window
    if over > at then
      if count < n then
        limit = 0
        break
      end
      at = over
    end
    count = count - string.byte(chunk, i)
    bucket = bucket + 1
  end
end
if at > now + ahead then
  if at > asked and not short then
    redis.call('HSET', hash, 'short', 1)
  end
  return tell('wait', at - ahead - now, 'minute')
end
if want == 'look' then
  return tell('send', at - now, 0)
end
bucket = math.floor((at + seen - now + timeout) / BUCKET)
count = string.byte(bytes(bucket, bucket))
while count == FULL and bucket < tail + SIZE - 1 do
  -- a later bucket counts longer, never shorter
  bucket = bucket + 1
  count = string.byte(bytes(bucket, bucket))
end
if count == FULL then
  -- the ring takes no more until its oldest bucket no longer counts
  return tell('wait', BUCKET, 'minute')
end
put(bucket, count + 1)
sum = sum + 1
used = used + 1
local behind = due > 0 and at - due or 0
if at == asked and not short then
  behind = math.min(behind, math.max(slot - due, IDLE))
end
if short then
  redis.call('HDEL', hash, 'short')
end
due = at - math.min(behind, SHORT) + math.floor(window / n)
slot = math.max(due, at + math.floor(window / (n * CATCH_UP)))
return tell('send', at - now, bucket)
