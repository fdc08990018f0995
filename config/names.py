"""Names that the project's own processes share; the public ones are in the client module :mod:`wxcheck`."""

from __future__ import annotations

PUSH_QUEUE = "wxcheck.push"

#: the endpoint enqueues it for each push: ``appid``, ``push``, ``received_at`` (seconds since the epoch)
RECEIVE_PUSH = "wxcheck.receive_push"
#: ends a parked check, under the check's own task id: ``appid``, ``trace_id``, ``kind``
FINISH = "wxcheck.finish"
#: cancels a check that waits for its push: ``task_id``
CANCEL = "wxcheck.cancel"
#: ends what cannot be run, under its own id: ``said``, and what it is counted by: ``queue``, ``why``
REFUSE = "wxcheck.refuse"

#: why a message could not be run (:mod:`worker.fetching.reading`; the last one: :mod:`worker.fetching.transport`)
UNREADABLE = ("content_type", "compression", "encoding", "body", "headers", "task", "no_id", "no_message")

#: keys of a Redis broker in which kombu keeps what was taken and not acknowledged (:mod:`store.keys`)
UNACKED, UNACKED_INDEX = "wxcheck:unacked", "wxcheck:unacked_index"

#: characters of an ``errmsg`` of the platform, of an answer as of a push, that are kept: it goes into logs and results
MAX_ERRMSG = 300
