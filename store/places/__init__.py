"""The places of the checks: inbox, lane, shelf, in hand, parked, ready, ended. A check is in exactly one of them."""
