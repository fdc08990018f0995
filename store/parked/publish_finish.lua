-- Publishes the finish of a check, if it is kept as a message.
-- Uses: store/outbox/publish
-- KEYS: 1 check  2 kept message
-- ARGV: 1 the list for finishes
-- Returns: '' if the finish is published; else the rest of the check's message, from which the caller makes the finish;
--          or the error of the publishing
local kept = redis.call('GET', KEYS[2]) or ''
-- the check's arguments are on a line of their own
local continuation = kept:match('^[^\n]*')
if redis.call('HGET', KEYS[1], 'kept') ~= 'finish' then
  return continuation
end
return outbox_publish({}, {ARGV[1], continuation}) or ''
