-- Publishes the finish of a check, where it is kept as a message.
-- Uses: store/outbox/publish
-- KEYS: 1 check  2 what is kept of its message
-- ARGV: 1 the list that finishes go to
-- Returns: the rest of its message, for its finish to be made of and published; '' where it is published; or the error
--          for which it is not
local kept = redis.call('GET', KEYS[2]) or ''
-- the check's arguments are on a line of their own
local continuation = kept:match('^[^\n]*')
if redis.call('HGET', KEYS[1], 'kept') ~= 'finish' then
  return continuation
end
return outbox_publish({}, {ARGV[1], continuation}) or ''
