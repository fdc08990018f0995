-- Ends a message that belongs to no check of its own: publishes what follows, and stores no result.
-- Uses: store/outbox/store_end
-- KEYS: 1 unacknowledged messages  2 their index
-- ARGV: 1 delivery tag of the message, or ''  2… pairs of a broker's list and a message
-- Returns: nothing, or the error for which none of it was done
-- Always: a second call, after the first answer was lost, publishes nothing more.
if ARGV[1] ~= '' and redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then
  return
end
local settled = {'', 0}
for i = 1, #ARGV do
  settled[i + 2] = ARGV[i]
end
return outbox_store_end({'', KEYS[1], KEYS[2]}, settled)
