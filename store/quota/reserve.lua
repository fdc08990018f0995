-- What a check needs for its call, in one step: the access token, a permit, and a record that says that it is sent now.
-- Uses: store/tokens/take, store/quota/take, store/records/lease, store/outbox/slice
-- KEYS: 1 token  2 quota  3 ring  4 record  5 lanes
-- ARGV: 1 seconds that a renewal of the token may take, or '' where the call needs none  2 run  3 seconds that a call may
--       take from its permit's send time, and some for what follows from its answer  4 seconds to keep the record, should
--       nobody end it  5 digest of the check  6… as quota_take.lua's
-- Returns: {what token_take.lua says, or {'none'}, what quota_take.lua says, what begin.lua says}; without the last one
--          where there is no permit, with the first alone where there is no token to use
-- Always: no permit without a token, and no record without a permit.
local token = {'none'}
if ARGV[1] ~= '' then
  token = tokens_take({KEYS[1]}, {ARGV[1]})
  if token[1] ~= 'use' then
    return {token}
  end
end
local permit = quota_take({KEYS[2], KEYS[3], KEYS[5]}, outbox_slice(ARGV, {6}))
if permit[1] ~= 'send' then
  return {token, permit}
end
return {token, permit, records_lease({KEYS[4]}, {ARGV[2], permit[2] / 1000000 + ARGV[3], ARGV[4], ARGV[5]})}
