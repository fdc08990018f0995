-- The rest of a list, however long it is: Lua's own unpack refuses some thousands of values, and the script fails.
-- KEYS: the list
-- ARGV: 1 number of the first value of the rest
-- Returns: a list
local rest = {}
for i = ARGV[1], #KEYS do
  rest[#rest + 1] = KEYS[i]
end
return rest
