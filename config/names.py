"""Names that the project's own processes share; the public ones are in the client module :mod:`wxcheck`."""

from __future__ import annotations

PUSH_QUEUE = "wxcheck.push"

#: task that the endpoint sends for each push: ``appid``, ``push``, ``received_at`` (seconds since the epoch)
RECEIVE_PUSH = "wxcheck.receive_push"
#: task that fails a message that cannot be run, under the message's own id: ``said``; ``queue`` and ``why`` are counted
REFUSE = "wxcheck.refuse"
#: Celery's own tasks for ``xmap``, ``xstarmap`` and ``chunks``
MAPS = ("celery.map", "celery.starmap", "celery.chunks")

#: reasons for which a message cannot be run (:mod:`worker.intake.reading`; the last: :mod:`worker.intake.redis_inbox`)
UNREADABLE = ("content_type", "compression", "encoding", "body", "headers", "task", "no_id", "no_message")

#: keys of a Redis broker in which kombu keeps messages that are taken and not acknowledged (:mod:`store.keys`)
UNACKED, UNACKED_INDEX = "wxcheck:unacked", "wxcheck:unacked_index"

#: characters that are kept of an ``errmsg``, from an answer or a push: logs and results quote it
MAX_ERRMSG = 300
