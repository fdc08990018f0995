"""A thread of each worker that brings on what waited long enough: checks whose push never came, finishes that hang,
checks on the shelf whose time has come. Any number may sweep at once; each thing is done once.
"""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from celery import bootsteps

from config.logs import Log
from store.connection import STORE_AWAY
from store.due.due import look
from store.redis_check import faults_of
from store.redis_needs import needs
from store.watch.presence import INTERVAL as BEAT_INTERVAL
from store.watch.presence import beat, leave
from store.watch.redis_health import told
from store.watch.servers import Servers
from worker.celery_parts.rate_command import show_rates
from worker.celery_parts.revocations import Revocations
from worker.messages import publish_again
from worker.runtime import publish_finish, runtime

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery import Celery
    from redis import Redis

    from store.parked.parked import Parking
    from store.shelf.shelf import Shelf

log = Log(__name__)

#: seconds between two sweeps
INTERVAL = 1.0
#: of each kind, in one sweep: a sweep must not take long; what is over comes in the next
BATCH = 200
#: seconds between two looks for dead letters that were kept for long enough
DECAY_INTERVAL = 60.0
#: seconds that stopping waits for a sweep under way
STOP_SECONDS = 10


def sweep(app: Celery, store: Redis, parking: Parking, shelf: Shelf) -> int:
    """One sweep; how many checks it brought on.

    Raises:
        RedisError: the store is away; leases bring up again what was in hand.
    """
    found = look(store, BATCH)
    overdue = parking.overdue(found.checks)
    for parked in overdue:
        identity = {"task_id": parked.task_id, "trace_id": parked.trace_id, "appid": parked.appid}
        log.warning("check_overdue", "its finish goes out", **identity)
        _bring_on(parked.task_id, partial(publish_finish, app, parked))
    due = shelf.due(found.shelved)
    for shelved in due:
        if _bring_on(shelved.task_id, partial(publish_again, app, shelved.message)):
            shelf.returned(shelved)
            parking.statistics.moved("shelf")
    return len(overdue) + len(due)


def _bring_on(task_id: str, publish: Callable[[], None]) -> bool:
    """Publishes one message; where that fails, be it the broker or the record, the others still get their turn."""
    try:
        publish()
    except Exception as error:  # noqa: BLE001 - the lease brings it up again, and the log says so each time
        # the text of the error may quote the record
        log.error("not_brought_on", f"{type(error).__name__}; it is tried again", task_id=task_id)  # noqa: TRY400
        return False
    return True


def _warn_of_redis() -> None:
    """Tells once what is wrong with the Redis that holds checks, with the remedy; it may have come after the worker."""
    for url, (setting, access) in needs(runtime().settings, "worker").items():
        for fault in faults_of(url, setting, access):
            log.error("redis_refuses", fault)
    for role, client in runtime().redises():
        for fault in told(client):
            log.warning("redis_unsafe", f"{role}: {fault}")


def _beat(worker: Any, servers: Servers) -> None:
    """Says that the worker runs, and what it consumes at present."""
    queues = sorted(worker.app.amqp.queues.consume_from)
    pool = type(worker.pool).__module__.rpartition(".")[2]
    beat(runtime().store, worker.hostname, "worker", servers, queues, pool, worker.concurrency)


class Sweeper(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery ships no types
    """Starts the thread when the worker's pool is up, and ends it before the pool ends."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, worker: Any) -> None:
        self._thread = threading.Thread(target=self._run, args=(worker,), name="sweeper", daemon=True)
        self._thread.start()

    def stop(self, worker: Any) -> None:
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(STOP_SECONDS)
        try:
            leave(runtime().store, worker.hostname)
        except STORE_AWAY as error:
            log.info("not_left", f"{type(error).__name__}; the worker counts as running for some seconds more")

    terminate = stop

    def _run(self, worker: Any) -> None:
        app = worker.app
        away = False
        warned = False
        heartbeat = runtime().settings.heartbeat_file
        revocations = Revocations()
        servers = Servers(runtime().settings)
        decay_at = beat_at = 0.0
        while not self._stopped.wait(INTERVAL):
            try:
                if time.monotonic() > beat_at:
                    beat_at = time.monotonic() + BEAT_INTERVAL
                    _beat(worker, servers)
                more = True
                while more and not self._stopped.is_set():
                    more = sweep(app, runtime().store, runtime().parking, runtime().shelf) >= BATCH
                    if heartbeat is not None:
                        heartbeat.touch()
                for parked in revocations.cancelled(runtime().parking):
                    identity = {"task_id": parked.task_id, "trace_id": parked.trace_id, "appid": parked.appid}
                    log.info("check_revoked", "its finish goes out", **identity)
                    _bring_on(parked.task_id, partial(publish_finish, app, parked))
                if time.monotonic() > decay_at:
                    decay_at = time.monotonic() + DECAY_INTERVAL
                    runtime().dead_letters.decay()
                if not warned:
                    _warn_of_redis()
                    warned = True
                show_rates(app)
                away = False
            except Exception as error:  # noqa: BLE001 - a thread that ends would end all time-outs; each fault is told
                if not away:
                    log.warning("sweep_failed", f"{type(error).__name__}: {error}; trying on")
                away = True
