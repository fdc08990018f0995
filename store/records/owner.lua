-- Whose a record is: an application may give two checks one task id.
-- ARGV: 1 state of the record, or false  2 digests that it holds, or false  3 digest of the check that asks, or ''
-- Returns: the digests that it shall hold, the newest first; and 'same' (it is that check's, or nobody's) | 'taken' (a
--          check with other content is under way by this id) | 'free' (one with other content has ended: the record
--          tells nothing of the check that asks)
local state, of, mine = ARGV[1], ARGV[2] or '', ARGV[3]
if mine == '' or of == '' then
  return mine == '' and of or mine, 'same'
end
if string.sub(of, 1, #mine) == mine then
  return of, 'same'
end
if state ~= 'done' then
  return of, 'taken'
end
-- some of those before are kept, for their messages may yet come again
return string.sub(mine .. ' ' .. of, 1, 10 * #mine), 'free'
