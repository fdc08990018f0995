"""The sweeper: a thread of each worker that does the jobs of :data:`JOBS` again and again.

Some of them bring on checks whose time has come: checks whose push never came, finishes that hang, checks on the shelf.
Any number of sweepers may run at once; each check is brought on once.
"""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

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
from worker.celery_parts.revocations import SCANNED, Revocations
from worker.messages import publish_again
from worker.runtime import Runtime, publish_finish, runtime

if TYPE_CHECKING:
    from collections.abc import Callable

    from store.parked.parked import Parked

log = Log(__name__)

#: seconds between two rounds
INTERVAL = 1.0
#: seconds that stopping waits for a round under way
STOP_SECONDS = 10


@dataclass(frozen=True)
class Sweep:
    """The things that the jobs of one worker work with."""

    #: Celery's worker
    worker: Any
    runtime: Runtime
    servers: Servers
    revocations: Revocations = field(default_factory=Revocations)
    stopped: threading.Event = field(default_factory=threading.Event)


class Job(NamedTuple):
    """One thing that each sweeper does."""

    do: Callable[[Sweep, Any], None]
    #: seconds between two times; an infinite one is done once
    interval: float
    #: things that the job deals with in one step at most, so that no step takes long; None: the job has no loop
    bound: int | None


def tell_presence(sweep: Sweep, _bound: None) -> None:
    """Record that the worker runs, with the queues that it consumes at present."""
    worker = sweep.worker
    queues = sorted(worker.app.amqp.queues.consume_from)
    pool = type(worker.pool).__module__.rpartition(".")[2]
    beat(sweep.runtime.store, worker.hostname, "worker", sweep.servers, queues, pool, worker.concurrency)


def bring_on_due(sweep: Sweep, bound: int) -> None:
    """Bring on all checks that are due, ``bound`` of each kind at a time; the heartbeat file tells of each step."""
    heartbeat = sweep.runtime.settings.heartbeat_file
    more = True
    while more and not sweep.stopped.is_set():
        more = bring_on(sweep.worker.app, sweep.runtime, bound) >= bound
        if heartbeat is not None:
            heartbeat.touch()


def cancel_revoked(sweep: Sweep, bound: int) -> None:
    """End the wait of checks that were revoked; look at ``bound`` parked checks for a stamp."""
    for parked in sweep.revocations.cancelled(sweep.runtime.parking, bound):
        log.info("check_revoked", "its finish goes out", **_identity(parked))
        _publishes(parked.task_id, partial(publish_finish, sweep.worker.app, parked))


def drop_old_letters(sweep: Sweep, bound: int) -> None:
    """Drop the dead letters that were kept for long enough, ``bound`` in one step."""
    sweep.runtime.dead_letters.decay(bound)


def warn_of_redis(sweep: Sweep, _bound: None) -> None:
    """Log each fault of a Redis that holds checks, with its remedy; Redis may have come after the worker."""
    for url, (setting, access) in needs(sweep.runtime.settings, "worker").items():
        for fault in faults_of(url, setting, access):
            log.error("redis_refuses", fault)
    for role, client in sweep.runtime.redises():
        for fault in told(client):
            log.warning("redis_unsafe", f"{role}: {fault}")


def show_the_rates(sweep: Sweep, _bound: None) -> None:
    """Show the rates that were set at run time, to Flower and ``inspect``."""
    show_rates(sweep.worker.app)


def bring_on(app: Any, runtime: Runtime, bound: int) -> int:
    """Bring on at most ``bound`` checks of each kind. Return their number.

    Raises:
        RedisError: the store is away; leases bring the checks in hand up again.
    """
    found = look(runtime.store, bound)
    overdue = runtime.parking.overdue(found.checks)
    for parked in overdue:
        log.warning("check_overdue", "its finish goes out", **_identity(parked))
        _publishes(parked.task_id, partial(publish_finish, app, parked))
    due = runtime.shelf.take(found.shelved)
    for shelved in due:
        if _publishes(shelved.task_id, partial(publish_again, app, shelved.message)):
            runtime.shelf.remove(shelved)
            runtime.statistics.moved("shelf")
    return len(overdue) + len(due)


def _publishes(task_id: str, publish: Callable[[], None]) -> bool:
    """Publish one message. Return False if broker or record fails: the other messages still get their turn."""
    try:
        publish()
    except Exception as error:  # noqa: BLE001 - the lease brings it up again, and the log says so each time
        # the text of the error may quote the record
        log.error("not_brought_on", f"{type(error).__name__}; it is tried again", task_id=task_id)  # noqa: TRY400
        return False
    return True


def _identity(parked: Parked) -> dict[str, str]:
    return {"task_id": parked.task_id, "trace_id": parked.trace_id, "appid": parked.appid}


#: every job, in the order of a round
JOBS = (
    Job(tell_presence, interval=BEAT_INTERVAL, bound=None),
    Job(bring_on_due, interval=INTERVAL, bound=200),
    Job(cancel_revoked, interval=INTERVAL, bound=SCANNED),
    Job(drop_old_letters, interval=60.0, bound=200),
    Job(warn_of_redis, interval=math.inf, bound=None),
    Job(show_the_rates, interval=INTERVAL, bound=None),
)


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
        sweep = Sweep(worker, runtime(), Servers(runtime().settings), stopped=self._stopped)
        next_at = dict.fromkeys(JOBS, 0.0)
        failing: set[Job] = set()
        while not self._stopped.wait(INTERVAL):
            for job in JOBS:
                now = time.monotonic()
                if now < next_at[job]:
                    continue
                try:
                    job.do(sweep, job.bound)
                except Exception as error:  # noqa: BLE001 - a thread that ends would end all time-outs
                    if job not in failing:
                        said = f"{job.do.__name__}: {type(error).__name__}: {error}; trying on"
                        log.warning("sweep_failed", said)
                    failing.add(job)  # and tried again in the next round
                else:
                    failing.discard(job)
                    next_at[job] = now + job.interval
