"""The places of the checks: inbox, lane, shelf, in hand, parked, ready, ended. A check is in exactly one of them.

Workers do not use them yet: fetching (:mod:`worker.fetching`), parking (:mod:`store.parked`), the shelf and the end of
checks (:mod:`store.records`) are to move here.
"""
