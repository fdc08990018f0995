-- Takes everything that a check needs for its call, in one step: the access token, a permit, and a record of the
-- sending.
-- Uses: store/tokens/take, store/quota/take, store/records/lease, store/outbox/slice
-- KEYS: 1 token  2 quota  3 ring  4 record  5 lanes
-- ARGV: 1 seconds that a renewal of the token may take, or '' for a call without a token  2 run  3 seconds from the
--       permit's send time to the end of the call and of the work after it  4 seconds to keep the record if nobody ends
--       the check  5 digest of the check  6… as store/quota/take.lua's
-- Returns: {answer of store/tokens/take.lua, or {'none'}, answer of store/quota/take.lua, answer of
--          store/records/lease.lua}; without the last if there is no permit; the first alone if there is no token to use
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
