-- What belongs to the end of a task and happens with it: its result, what follows, and its message is done with.
-- Uses: store/outbox/can_publish, store/outbox/publish, store/outbox/store_result, store/outbox/acknowledge, store/outbox/slice
-- KEYS: 1 result  2 unacknowledged messages  3 their index
-- ARGV: 1 result (JSON), or ''  2 seconds to keep it, 0 for ever  3 delivery tag of the message, or ''  4… pairs of a
--       broker's list and a message
-- Returns: nothing, or the error for which none of it was done
local messages = outbox_slice(ARGV, {4})
local refused = outbox_can_publish({}, messages)
if refused then
  return refused
end
-- what may be done twice comes first: an ACL may let it pass to here
outbox_store_result({KEYS[1]}, {ARGV[1], ARGV[2]})
outbox_publish({}, messages)
outbox_acknowledge({KEYS[2], KEYS[3]}, {ARGV[3]})
