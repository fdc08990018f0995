-- Writes everything that belongs to the end of a task: its result, its follow-up messages, its acknowledgement.
-- Uses: store/outbox/can_publish, store/outbox/publish, store/outbox/store_result, store/outbox/acknowledge, store/outbox/slice
-- KEYS: 1 result  2 unacknowledged messages  3 their index
-- ARGV: 1 result (JSON), or ''  2 seconds to keep the result, 0 for ever  3 delivery tag of the message, or ''
--       4… pairs of a broker's list and a message
-- Returns: nothing, or the error for which none of it was done
local messages = outbox_slice(ARGV, {4})
local refused = outbox_can_publish({}, messages)
if refused then
  return refused
end
-- repeatable writes come first: an ACL may stop the script after them
outbox_store_result({KEYS[1]}, {ARGV[1], ARGV[2]})
outbox_publish({}, messages)
outbox_acknowledge({KEYS[2], KEYS[3]}, {ARGV[3]})
