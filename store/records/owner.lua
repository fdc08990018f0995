-- Tells whose a record is: an application may give two checks one task id.
-- ARGV: 1 state of the record, or false  2 digests in the record, or false  3 digest of the asking check, or ''
-- Returns: the digests for the record, the newest first; and 'same' (the record is the asking check's, or nobody's)
--        | 'taken' (a check with other content is under way under this task id)
--        | 'free' (a check with other content has ended: the record tells nothing about the asking check)
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
-- some earlier digests stay, since the messages of those checks may yet come again
return string.sub(mine .. ' ' .. of, 1, 10 * #mine), 'free'
