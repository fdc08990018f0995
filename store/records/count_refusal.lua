-- Counts that the store has refused to end a check.
-- KEYS: 1 record
-- ARGV: 1 seconds to keep a record that holds nothing else
-- Returns: the number of refusals
local refused = redis.call('HINCRBY', KEYS[1], 'refused', 1)
if redis.call('HEXISTS', KEYS[1], 'state') == 0 then
  redis.call('EXPIRE', KEYS[1], ARGV[1])
end
return refused
