#!lua flags=allow-oom
-- Drops dead letters whose time is over.
-- Uses: store/dead_letters/drop
-- KEYS: as store/dead_letters/drop.lua's
-- ARGV: 1 seconds to keep a letter  2 most letters to drop
-- Returns: the number of dropped letters
local old = redis.call('ZRANGE', KEYS[1], '-inf', redis.call('TIME')[1] - ARGV[1], 'BYSCORE', 'LIMIT', 0, ARGV[2])
for _, task_id in ipairs(old) do
  dead_letters_drop(KEYS, {task_id})
end
return #old
