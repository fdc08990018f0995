-- Checks that messages can be published to lists.
-- ARGV: pairs of a broker's list and a message
-- Returns: nothing, or the error that one of the lists is something else
for i = 1, #ARGV, 2 do
  local kind = redis.call('TYPE', ARGV[i]).ok
  if kind ~= 'list' and kind ~= 'none' then
    return redis.error_reply('WRONGTYPE ' .. ARGV[i] .. ' is a ' .. kind .. ', where a queue should be')
  end
end
