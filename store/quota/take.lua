-- Takes a permit for one call of a lane, reserved at its send time; also settles permits whose calls have ended.
-- Uses: store/quota/lane
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
local lanes = quota_lane({}, {})
local wall, run = lanes.clock()
local epoch, ahead = tonumber(ARGV[11]), tonumber(ARGV[8])
local lane, reply = lanes.read(KEYS[1], KEYS[2], KEYS[3], wall, run, {
  name = string.match(KEYS[1], '{(.*)}'), want = ARGV[1], n = tonumber(ARGV[2]), per_day = tonumber(ARGV[3]),
  version = tonumber(ARGV[5]), window = tonumber(ARGV[6]), timeout = tonumber(ARGV[7]), latest = tonumber(ARGV[9]),
  steady = tonumber(ARGV[10]), epoch = epoch, fresh = tonumber(ARGV[14]),
})
if not lane then
  return reply
end
if epoch == lane.epoch then
  for i = 15, math.min(#ARGV, 15 + 64 * 3 - 1), 3 do
    lanes.settle(lane, tonumber(ARGV[i]), tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2]))
  end
end
lanes.turn(lane, tonumber(ARGV[12]), tonumber(ARGV[13]))

local function tell(verb, wait, detail)
  lanes.write(lane)
  return lanes.told(lane, verb, wait, detail)
end

local verb, wait, why = lanes.shut(lane, tonumber(ARGV[4]))
if verb then
  return tell(verb, wait, why)
end
local at
at, wait = lanes.next_permit(lane, ahead)
if not at then
  return tell('wait', wait, 'minute')
end
if ARGV[1] == 'look' then
  return tell('send', at - lane.now, 0)
end
local bucket
bucket, wait = lanes.take(lane, at)
if not bucket then
  return tell('wait', wait, 'minute')
end
return tell('send', at - lane.now, bucket)
