"""``python -m tests.support.intake_process [queue …]``: the intake of a worker, without the worker."""

from __future__ import annotations

import logging
import signal
import sys
import threading

from config.lanes import QUEUES
from config.names import UNACKED, UNACKED_INDEX
from store.connection import connect
from store.places.places import Places
from store.places.shard import Shard
from store.quota.clock import Watch
from worker.celery import app, settings
from worker.celery_parts.consumer import inbox_of
from worker.intake import redis_inbox
from worker.runtime import runtime

#: seconds in which it must have filed what it has taken
STOPS_IN = 10.0


def main() -> None:
    logging.basicConfig(level=logging.INFO)
    # a test need not wait for long until a message is given out again
    redis_inbox.LEFT, redis_inbox.LEFT_INTERVAL = 2.0, 0.5
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    app.loader.import_default_modules()
    keys = (UNACKED, UNACKED_INDEX) if settings.broker == settings.redis_url else None
    places = Places(connect(settings.redis_url, 5.0), Shard("wxcheck", 0), Watch(), settings.api_timeout, inbox=keys)
    inbox = inbox_of(app, settings, places, runtime().statistics)
    inbox.serve(sys.argv[1:] or QUEUES)
    inbox.start()
    print("intake ready.", flush=True)
    stopped.wait()
    inbox.stop(STOPS_IN)


if __name__ == "__main__":
    main()
