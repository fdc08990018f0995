"""The worker's consumer: pushes come as Celery has it, each queue of checks by a flow (:mod:`worker.fetching.flow`)."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from celery import bootsteps
from celery.app.amqp import AMQP
from kombu.common import ignore_errors
from kombu.exceptions import OperationalError

from config.lanes import QUEUE_OF, own_queue
from config.logs import Log
from store.connection import STORE_AWAY
from worker.fetching.flow import Flow
from worker.fetching.reading import ReadingConsumer
from worker.fetching.sorter import Sorter, sorter
from worker.fetching.transport import Channel as RedisChannel
from worker.messages import publish_again, raw_message
from worker.runtime import runtime
from wxcheck import MEDIA_QUEUE, TEXT_QUEUE

if TYPE_CHECKING:
    from collections.abc import Callable

    from kombu import Message, Queue

    from config.lanes import Lane
    from store.quota.permit import Snooze

log = Log(__name__)

#: the lane of each shared queue
LANES: dict[str, Lane] = {queue: lane for lane, queue in QUEUE_OF.items()}
#: shares of a worker's slots, by queue; the rest is for pushes
SHARES = {TEXT_QUEUE: 3, MEDIA_QUEUE: 2}
PUSH_SHARE = 1

#: seconds between two looks for appIds that have a queue of their own
CROWD_LOOK = 1.0
#: seconds between two searches for own queues that nobody has marked
SEARCH = 30.0
#: seconds for which an own queue must have been empty before it is given up
CROWD_KEEP = 3.0
#: seconds for which a channel is kept after its consuming: a fetch under way would be lost with the channel
CHANNEL_KEEP = 5.0


class TaskConsumer(ReadingConsumer):
    """The worker's consumer, which leaves the queues of checks to their flows, but still lists them."""

    flows: Flows | None = None

    def _basic_consume(self, queue: Queue, *args: Any, **kwargs: Any) -> Any:
        if self.flows is not None and queue.name in LANES:
            self.flows.open(queue.name)
            return None
        return super()._basic_consume(queue, *args, **kwargs)

    def cancel_by_queue(self, queue: Any) -> None:
        name = getattr(queue, "name", queue)
        super().cancel_by_queue(queue)
        if self.flows is not None and name in LANES:
            self.flows.close(name)

    def consuming_from(self, queue: Any) -> bool:
        name = getattr(queue, "name", queue)
        return bool(super().consuming_from(queue)) or (self.flows is not None and self.flows.is_open(name))

    def cancel(self) -> None:
        super().cancel()
        if self.flows is not None:
            self.flows.close_all()

    close = cancel


class LaneAMQP(AMQP):  # type: ignore[misc]  # Celery ships no types
    """Celery's AMQP with :class:`TaskConsumer` as the worker's consumer."""

    Consumer = TaskConsumer


class Flows(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery ships no types
    """Opens a flow for each queue of checks that the worker serves, and for each own queue of an appId."""

    requires = ("celery.worker.consumer.tasks:Tasks",)
    name = "Flows"

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self.consumer = consumer
        self._flows: dict[str, Flow] = {}
        #: threads for work that may wait for the store: looks at lanes, and searches for crowds
        self._looks: ThreadPoolExecutor | None = None
        self._searches: ThreadPoolExecutor | None = None
        self._sorter: Sorter | None = None
        self._search_at = 0.0
        #: work under way in the thread of the searches
        self._sorting: set[Lane] = set()
        self._searching = False
        self._sharing = False
        self._starts = 0
        self._stopped = True
        #: appIds that have a queue of their own, by lane
        self.crowds: dict[Lane, set[str]] = {"text": set(), "media": set()}

    def start(self, consumer: Any) -> None:
        if consumer.hub is None:
            log.warning("flows_off", "this pool has no event loop; use threads, processes or solo")
            return
        self._flows = {}
        self._stopped = False
        self._looks = ThreadPoolExecutor(1, thread_name_prefix="lanes")
        self._searches = ThreadPoolExecutor(1, thread_name_prefix="crowds")
        self._sorting.clear()
        self._searching = self._sharing = False
        self.publish_errors = (OperationalError, *consumer.connection_errors)
        self.handle = consumer.create_task_handler()
        consumer.task_consumer.flows = self
        # for a single Mini Program, too: the settings may have had others before
        self._sorter = sorter(runtime().settings)
        self._starts += 1
        self._look_for_crowds(self._starts)

    def stop(self, consumer: Any) -> None:
        self._stopped = True
        for flow in self._flows.values():
            ignore_errors(consumer, flow.close)
        for threads in (self._looks, self._searches):
            if threads is not None:
                threads.shutdown(wait=False, cancel_futures=True)

    def shutdown(self, consumer: Any) -> None:
        self.stop(consumer)
        for flow in self._flows.values():
            ignore_errors(consumer, flow.drop)
        self._flows.clear()

    def open(self, name: str) -> None:
        """Begin to consume a queue."""
        if name in self._flows or self._stopped:
            return
        programs = runtime().settings.programs
        appid = next(iter(programs)) if len(programs) == 1 else None
        self._flows[name] = Flow(self, name, LANES[name], appid, self._slots(without=set()))

    def close(self, name: str) -> None:
        """Stop consuming a queue, and the own queues that were split off it."""
        for own in [own for own in self._flows if own == name or own.startswith(f"{name}.")]:
            self._flows.pop(own).close()

    def close_all(self) -> None:
        for flow in self._flows.values():
            flow.close()

    def is_open(self, name: str) -> bool:
        return name in self._flows

    def call(self, function: Callable[..., None], *args: Any) -> None:
        """Call ``function`` in the hub's thread."""
        self.consumer.hub.call_soon(self._guarded, function, *args)

    def later(self, seconds: float, function: Callable[..., None], *args: Any) -> None:
        """Call ``function`` in the hub's thread after ``seconds``."""
        self.consumer.hub.call_later(seconds, self._guarded, function, *args)

    def look(self, appid: str, lane: Lane, then: Callable[[Snooze | None], None]) -> None:
        """Ask in another thread if a lane is open, and call ``then`` with the answer."""
        self._aside(self._looks, lambda: runtime().quota.look(runtime().settings.programs[appid], lane), then)

    def crowd(self, lane: Lane, appid: str, seconds: float = 0.0) -> None:
        """Give an appId a queue of its own, from which nothing is fetched for ``seconds``."""
        own = self._flows.get(own_queue(QUEUE_OF[lane], appid))
        if own is not None:
            own.busy_at = time.monotonic()
        if appid not in self.crowds[lane]:
            log.info("lane_crowded", "its checks wait in a queue of their own", appid=appid, lane=lane)
            self._open_own(lane, appid, seconds)
            self.crowds[lane] |= {appid}
            self._sort(lane)

    def readdress(self, message: Message, lane: Lane, appid: str) -> bool:
        """Have a message go to the front of its appId's own queue when it is given back.

        Return False if the broker cannot do that, or if this worker does not consume the own queue.
        """
        name = own_queue(QUEUE_OF[lane], appid)
        if not isinstance(message.channel, RedisChannel) or name not in self._flows:
            return False
        message.channel.readdress(message, name)
        return True

    def mark(self, lane: Lane, appid: str) -> None:
        """Have every worker consume an appId's own queue.

        Call this after a message was put there: a worker that finds the queue empty and removes the mark has then not
        overlooked the message.
        """
        self.crowd(lane, appid)
        self._set_mark(lane, appid)

    def move(self, message: Message, lane: Lane, appid: str) -> None:
        """Move a message to its appId's own queue.

        Raises:
            one of STORE_AWAY, one of ``publish_errors``: the message did not get there.
        """
        # before the publishing: while the store is away nothing is published, so nothing is published twice
        runtime().crowds.add(lane, appid)
        publish_again(self.consumer.app, raw_message(message, own_queue(QUEUE_OF[lane], appid)))
        # the message is published: no later error may let it be given back as well
        self._set_mark(lane, appid)

    def share(self, flow: Flow) -> int:
        """Return the number of messages that a flow may have in hand, so that its lane leaves slots to the others."""
        at_work = [other for other in self._flows.values() if other is flow or other.at_work]
        lane = sum(other.lane == flow.lane for other in at_work)
        elsewhere = {other.lane for other in at_work} - {flow.lane}
        return self._slots(without=elsewhere) // max(1, lane)

    def _set_mark(self, lane: Lane, appid: str) -> None:
        try:
            runtime().crowds.add(lane, appid)
        except Exception as error:  # noqa: BLE001 - the next search finds the queue without a mark
            log.warning("crowd_not_marked", type(error).__name__, appid=appid, lane=lane)

    def share_anew(self) -> None:
        """Share the slots anew, because a flow has begun or ended its work. Safe to call from any thread."""
        if not self._sharing:
            self._sharing = True
            self.call(self._share_anew)

    def _share_anew(self) -> None:
        self._sharing = False
        for flow in self._flows.values():
            flow.tell_size()

    def _guarded(self, function: Callable[..., None], *args: Any) -> None:
        if self._stopped and function.__name__ != "_take_back":
            return
        try:
            function(*args)
        except self.consumer.connection_errors:
            raise  # the worker connects anew
        except Exception as error:  # noqa: BLE001 - the error would end the worker; messages in hand stay unacknowledged
            # the text of the error may quote a message
            log.error("flow_failed", f"{type(error).__name__} in {function.__name__}")  # noqa: TRY400

    def _slots(self, without: set[Lane]) -> int:
        """Return the slots of a lane. Lanes without work lend theirs; pushes never do."""
        served = {queue.name for queue in self.consumer.task_consumer.queues}
        parts = sum(SHARES.get(queue, 0) for queue in served) + (PUSH_SHARE if served - set(SHARES) else 0)
        own = sum(SHARES[queue] for queue in served & set(SHARES) if LANES[queue] not in without)
        return max(1, int(self.consumer.controller.concurrency * own / max(1, parts)))

    def _aside(self, threads: ThreadPoolExecutor | None, work: Callable[[], Any], then: Callable[[Any], None]) -> None:
        def run() -> None:
            try:
                found = work()
            except Exception as error:  # noqa: BLE001 - the store may be away, and the next look comes
                log.warning("look_failed", type(error).__name__)
                found = None
            self.call(then, found)

        if threads is not None and not self._stopped:
            threads.submit(run)

    def _look_for_crowds(self, start: int) -> None:
        if start != self._starts:
            return  # the worker has connected anew since
        if not self._searching:
            self._searching = True
            self._aside(self._searches, self._crowds, self._found_crowds)
        self.later(CROWD_LOOK, self._look_for_crowds, start)

    def _crowds(self) -> dict[Lane, set[str]]:
        """Return the appIds with an own queue; every SEARCH seconds also those whose mark was lost with a process."""
        if self._sorter is not None and time.monotonic() > self._search_at:
            self._search_at = time.monotonic() + SEARCH
            for lane, queue in QUEUE_OF.items():
                for appid in self._sorter.waiting(queue, runtime().settings.programs):
                    runtime().crowds.add(lane, appid)
        return {lane: runtime().crowds.members(lane) for lane in self.crowds}

    def _found_crowds(self, crowds: dict[Lane, set[str]] | None) -> None:
        self._searching = False
        if crowds is None:
            return
        for lane, marked in crowds.items():
            # an appId that has left the settings counts too: its checks fail by name, and do not wait for ever
            self.crowds[lane] = marked | self._own_queues(lane)
            for appid in self.crowds[lane]:
                self._open_own(lane, appid)
            if self.crowds[lane]:
                self._sort(lane)
        for name, flow in list(self._flows.items()):
            if name not in LANES:
                self._close_if_empty(name, flow)

    def _own_queues(self, lane: Lane) -> set[str]:
        """Return the appIds whose own queue this worker serves.

        A mark may be set after the marks were read; a check on the shared queue would then overtake the own queue.
        """
        prefix = own_queue(QUEUE_OF[lane], "")
        return {name.removeprefix(prefix) for name in self._flows if name.startswith(prefix)}

    def _sort(self, lane: Lane) -> None:
        """Sort the shared queue in another thread, if the broker allows it."""
        queue, crowded = QUEUE_OF[lane], set(self.crowds[lane])

        def sort() -> None:
            for appid in self._sorter.sort(queue, crowded) if self._sorter else ():
                runtime().crowds.add(lane, appid)

        def sorted_out(_: None) -> None:
            self._sorting.discard(lane)

        several = len(runtime().settings.programs) > 1
        if self._sorter is not None and several and queue in self._flows and lane not in self._sorting:
            self._sorting.add(lane)
            self._aside(self._searches, sort, sorted_out)

    def _open_own(self, lane: Lane, appid: str, seconds: float = 0.0) -> None:
        queue = QUEUE_OF[lane]
        name = own_queue(queue, appid)
        if queue not in self._flows or name in self._flows or self._stopped:
            return
        self._flows[name] = Flow(self, name, lane, appid, self._slots(without=set()))
        if seconds:
            self._flows[name].pause(seconds, "crowded")

    def _close_if_empty(self, name: str, flow: Flow) -> None:
        if not flow.idle or time.monotonic() - flow.busy_at < CROWD_KEEP or flow.size():
            return
        lane: Lane = "text" if name.startswith(TEXT_QUEUE) else "media"
        appid = name.removeprefix(own_queue(QUEUE_OF[lane], ""))
        try:
            runtime().crowds.remove(lane, appid)
            if flow.size():
                runtime().crowds.add(lane, appid)
                return
        except STORE_AWAY as error:
            log.warning("crowd_not_given_up", type(error).__name__, appid=appid, lane=lane)
            return
        self.crowds[lane] -= {appid}
        # the mark is gone: a worker that moves a message from now on sets the mark again
        flow = self._flows.pop(name)
        flow.close()
        # the channel may still be waiting for a message, which then goes back
        self.later(CHANNEL_KEEP, flow.drop)
