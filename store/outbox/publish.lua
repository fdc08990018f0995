-- Publishes messages, all of them or none.
-- Uses: store/outbox/can_publish
-- ARGV: pairs of a broker's list and a message
-- Returns: nothing, or the error that one of the lists is something else
-- the check comes first, since Redis undoes no write when a script fails
local refused = outbox_can_publish({}, ARGV)
if refused then
  return refused
end
for i = 1, #ARGV, 2 do
  redis.call('LPUSH', ARGV[i], ARGV[i + 1])
end
