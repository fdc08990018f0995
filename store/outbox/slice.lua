-- Returns the rest of a list, however long: Lua's own unpack fails on some thousands of values.
-- KEYS: the list
-- ARGV: 1 number of the first value of the rest
-- Returns: a list
local rest = {}
for i = ARGV[1], #KEYS do
  rest[#rest + 1] = KEYS[i]
end
return rest
