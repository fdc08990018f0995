-- Checks that messages can be published to lists.
-- KEYS: the lists are among them
-- ARGV: 1 number of the first list; all later keys are lists, too
-- Returns: nothing, or the error that one of the lists is something else
for i = ARGV[1], #KEYS do
  local kind = redis.call('TYPE', KEYS[i]).ok
  if kind ~= 'list' and kind ~= 'none' then
    return redis.error_reply('WRONGTYPE ' .. KEYS[i] .. ' is a ' .. kind .. ', where a queue should be')
  end
end
