"""The sweeper: a thread of each worker that does the jobs of :data:`JOBS` again and again.

One of them brings on checks whose time in their place is over: on the shelf, parked, stale, in the hands of a lost run.
Any number of sweepers may run at once; each check is brought on once.
"""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from celery import bootsteps

from config.celery import SOCKET_TIMEOUT
from config.logs import Log
from config.redis_url import is_redis
from store.connection import STORE_AWAY, connect
from store.places.places import BATCH, RELAYED_AT_ONCE
from store.redis_check import faults_of
from store.redis_needs import needs
from store.watch.presence import INTERVAL as BEAT_INTERVAL
from store.watch.presence import beat, leave
from store.watch.redis_health import told
from store.watch.servers import Servers
from worker.celery_parts.rate_command import show_rates
from worker.celery_parts.revocations import Revocations
from worker.ending.relay import bring_out_left
from worker.runtime import Runtime, runtime

if TYPE_CHECKING:
    from collections.abc import Callable

log = Log(__name__)

#: seconds between two rounds
INTERVAL = 1.0
#: of checks that got no push, and of pushes that no check claimed: how they are counted, by the place that they leave
WITHOUT = {"parked": "missing", "early_due": "orphaned"}
#: dead letters that are dropped in one step
LETTERS = 200
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

    do: Callable[[Sweep], None]
    #: seconds between two times; an infinite one is done once
    interval: float


def tell_presence(sweep: Sweep) -> None:
    """Record that the worker runs, with the queues that it consumes at present."""
    worker = sweep.worker
    queues = sorted(worker.app.amqp.queues.consume_from)
    pool = type(worker.pool).__module__.rpartition(".")[2]
    beat(sweep.runtime.store, worker.hostname, "worker", sweep.servers, queues, pool, worker.concurrency)


def bring_on_due(sweep: Sweep) -> None:
    """Bring on all checks that are due, BATCH of each kind at a time; the heartbeat file tells of each step."""
    heartbeat, shared = sweep.runtime.settings.heartbeat_file, sweep.runtime
    more = True
    while more and not sweep.stopped.is_set():
        moved = shared.places.bring_on()
        for place, number in moved.items():
            shared.statistics.count("moved", place)
            if place == "parked":
                log.warning("check_overdue", f"{number} without a push; each fails with PushTimeout", count=number)
            for _ in range(number if place in WITHOUT else 0):
                shared.statistics.count("push", WITHOUT[place])
        more = any(number >= BATCH for number in moved.values())
        if heartbeat is not None:
            heartbeat.touch()


def bring_out(sweep: Sweep) -> None:
    """Bring out what runs that died have left in the outbox, RELAYED_AT_ONCE entries at a time."""
    app, shared = sweep.worker.app, sweep.runtime
    while not sweep.stopped.is_set() and bring_out_left(app, shared.places, shared.settings) >= RELAYED_AT_ONCE:
        pass


def cancel_revoked(sweep: Sweep) -> None:
    """End the wait of checks that were revoked."""
    shared = sweep.runtime
    for task_id in sweep.revocations.cancel(shared.places, shared.store, shared.shard):
        log.info("check_revoked", "it waits for nothing any more", task_id=task_id)


def drop_old_letters(sweep: Sweep) -> None:
    """Drop the dead letters that were kept for long enough."""
    sweep.runtime.dead_letters.decay(LETTERS)


def warn_of_redis(sweep: Sweep) -> None:
    """Log each fault of a Redis that holds checks, with its remedy; Redis may have come after the worker."""
    settings = sweep.runtime.settings
    for url, (setting, access) in needs(settings, "worker").items():
        for fault in faults_of(url, setting, access):
            log.error("redis_refuses", fault)
    # one Redis is named by what it is in the first place: the store
    roles = {settings.backend: "the result backend", settings.broker: "the broker", settings.redis_url: "the store"}
    for url, role in roles.items():
        for fault in told(connect(url, SOCKET_TIMEOUT, retries=1)) if is_redis(url) else ():
            log.warning("redis_unsafe", f"{role}: {fault}")


def show_the_rates(sweep: Sweep) -> None:
    """Show the rates that were set at run time, to Flower and ``inspect``."""
    show_rates(sweep.worker.app)


def close_idle(sweep: Sweep) -> None:
    """Close the connections to the platform that no call has used lately."""
    sweep.runtime.calls.close_idle()


#: every job, in the order of a round
JOBS = (
    Job(tell_presence, interval=BEAT_INTERVAL),
    Job(bring_on_due, interval=INTERVAL),
    Job(bring_out, interval=INTERVAL),
    Job(cancel_revoked, interval=INTERVAL),
    Job(drop_old_letters, interval=60.0),
    Job(warn_of_redis, interval=math.inf),
    Job(show_the_rates, interval=INTERVAL),
    Job(close_idle, interval=5.0),
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
                    job.do(sweep)
                except Exception as error:  # noqa: BLE001 - a thread that ends would end all time-outs
                    if job not in failing:
                        said = f"{job.do.__name__}: {type(error).__name__}: {error}; trying on"
                        log.warning("sweep_failed", said)
                    failing.add(job)  # and tried again in the next round
                else:
                    failing.discard(job)
                    next_at[job] = now + job.interval
