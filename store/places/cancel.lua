-- Cancels a check wherever it waits; one in hand is cancelled when its run lets it go without an end.
-- Uses: store/places/shard
-- KEYS: as store/places/shard.lua's
-- ARGV: 1 question (JSON): lanes (the check's own), id, ended (cancelled | revoked)
-- Returns: its place until now: lane | shelf | parked | hand (noted) | ready | ended (both: its end is known, and
--          stays) | newer | '' (unknown)
local shard = places_shard(KEYS, ARGV)
local id = shard.question.id
local check, newer = shard.check(id)
if not check then
  return newer and 'newer' or ''
end
local place = check.place
if place == 'lane' or place == 'shelf' or place == 'parked' then
  shard.cause(id, check, {ended = shard.question.ended})
elseif place == 'hand' then
  check.cancelled = true
  shard.keep(id, check, 'hand')
end
return place
