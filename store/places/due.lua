-- Lists what has waited in its place for as long as it may; changes nothing.
-- KEYS: 1 checks  2… sorted sets by time
-- ARGV: 1 most entries of each set
-- Returns: for each entry: {number of its set (from 1), entry, its check (JSON) or ''}
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local found = {}
for set = 2, #KEYS do
  for _, entry in ipairs(redis.call('ZRANGE', KEYS[set], '-inf', now, 'BYSCORE', 'LIMIT', 0, ARGV[1])) do
    found[#found + 1] = {set - 1, entry, redis.call('HGET', KEYS[1], entry) or ''}
  end
end
return found
