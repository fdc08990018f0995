-- Publishes messages, all of them or none.
-- ARGV: pairs of a broker's list and a message
-- Returns: nothing, or the error that one of the lists is something else
-- what has been written when an error comes stays written
for i = 1, #ARGV, 2 do
  local kind = redis.call('TYPE', ARGV[i]).ok
  if kind ~= 'list' and kind ~= 'none' then
    return redis.error_reply('WRONGTYPE ' .. ARGV[i] .. ' is a ' .. kind .. ', where a queue should be')
  end
end
for i = 1, #ARGV, 2 do
  redis.call('LPUSH', ARGV[i], ARGV[i + 1])
end
