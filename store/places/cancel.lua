#!lua flags=allow-oom
-- Cancels checks wherever they wait; one in hand is cancelled when its run lets it go without an end.
-- Uses: store/places/shard
-- KEYS: as store/places/shard.lua's
-- ARGV: 1 question (JSON): lanes (those of the checks), ids, ended (cancelled | revoked)
-- Returns: for each the place until now: lane | shelf | parked | hand (noted) | ready | ended (both: its end is known, and
--          stays) | newer | '' (unknown)
local shard = places_shard(KEYS, ARGV)
local said = {}
for i, id in ipairs(shard.question.ids) do
  local check, newer = shard.check(id)
  said[i] = check and check.place or newer and 'newer' or ''
  if (said[i] == 'lane' or said[i] == 'shelf') and not shard.lane_of(check) then
    said[i] = '' -- another check has come under its id since the caller has looked
  elseif said[i] == 'lane' or said[i] == 'shelf' or said[i] == 'parked' then
    shard.cause(id, check, {ended = shard.question.ended})
  elseif said[i] == 'hand' then
    check.cancelled = true
    shard.keep(id, check, 'hand')
  end
end
return said
