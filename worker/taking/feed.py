"""The feed of one worker: takes checks as permits come, and hands each on to be run.

It holds only what may be sent within the look-ahead, and sleeps until the next permit comes or something is filed. Of
what waits it keeps nothing.
"""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING

from config.logs import Log
from store.connection import STORE_AWAY, reason
from worker.taking.hand import InHand
from worker.taking.room import Room

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

    from config.lanes import Lane
    from store.places.forms import Held, Queue
    from store.places.open_lanes import OpenLanes
    from store.places.places import Places
    from store.places.shard import Shard

log = Log(__name__)

#: most seconds between two takes: another worker may have died that knew when the next permit comes
LONGEST = 5.0
#: seconds for which one wait for something that is filed lasts, and so the end of a feed
WAIT = 1.0
#: seconds from a slot that becomes free to the take that fills it: others become free with it
GATHER = 0.005
#: seconds until a check that could not be handed on is taken again
NOT_RUN = 30.0
#: seconds until the next try where the store is away
AWAY = 1.0


class Feed:
    """Takes checks of the queues that are served, ``slots`` at most at a time. Its threads end with :meth:`stop`.

    ``run`` is called with each check in hand, in the feed's thread. ``waiting``: a client of the store's Redis, which
    nobody else uses.
    """

    def __init__(
        self,
        lanes: OpenLanes,
        places: Places,
        shard: Shard,
        waiting: Redis,
        slots: int,
        run: Callable[[InHand], None],
    ) -> None:
        self._lanes = lanes
        self._places = places
        self._wakes: dict[str, Queue] = {shard.key(f"wake:{queue}"): queue for queue in ("text", "media", "push")}
        self._redis = waiting
        self._run = run
        self.room = Room(slots, lambda: self._look_at(time.monotonic() + GATHER))
        self._changed = threading.Condition()
        #: time of the next take; its clock is time.monotonic
        self._due_at = 0.0
        #: something was filed that is not taken yet
        self._is_woken = False
        self._is_stopped = False
        #: queues with room, which a thread waits for
        self._awaited: set[Queue] = set()
        self._is_away = False
        self._threads = [
            threading.Thread(target=self._take_all, name="feed", daemon=True),
            threading.Thread(target=self._wait_all, name="feed waits", daemon=True),
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self, seconds: float) -> None:
        """Take nothing more, once ``seconds`` are over at the latest. What is in hand runs to its end."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(seconds)

    def _look_at(self, at: float) -> None:
        with self._changed:
            self._due_at = min(self._due_at, at)
            self._changed.notify_all()

    def _take_all(self) -> None:
        while True:
            with self._changed:
                while not self._is_stopped and (seconds := self._due_at - time.monotonic()) > 0:
                    self._changed.wait(seconds)
                if self._is_stopped:
                    return
                # whatever is told from here on needs another take
                self._due_at, self._is_woken = math.inf, False
            self._look_at(time.monotonic() + self._take())

    def _take(self) -> float:
        """Take what may be taken now, and hand it on. Return the seconds until it is worth to take again."""
        room = self.room.free()
        kinds: list[Lane] = [queue for queue in room if queue != "push"]
        try:
            held, seconds, more = self._lanes.take(room, kinds)
        except STORE_AWAY as error:
            self._tell_away(error)
            return AWAY
        except Exception as error:  # noqa: BLE001 - the thread goes on: without it nothing would run any more
            log.error("take_failed", f"{type(error).__name__}: {error}; trying on")  # noqa: TRY400 - a script's error
            return AWAY
        self._is_away = False
        for one in held:
            self._hand_on(one)
        is_early = self.room.crowd(set(more))
        with self._changed:
            self._awaited = self.room.awaited()
        return 0.0 if is_early else LONGEST if seconds is None else min(seconds, LONGEST)

    def _hand_on(self, held: Held) -> None:
        self.room.take(held.queue)
        in_hand = InHand(held, self._places, lambda gone: self.room.let_go(gone.queue))
        try:
            self._run(in_hand)
        except Exception as error:  # noqa: BLE001 - the others in hand are run
            # the text of the error may quote the message
            log.error("not_run", f"{type(error).__name__}; tried again in {NOT_RUN:.0f} s", task_id=held.id)  # noqa: TRY400
            in_hand.leave(back=True, at=time.time() + NOT_RUN)

    def _wait_all(self) -> None:
        while (wakes := self._wakes_awaited()) is not None:
            try:
                found = self._redis.blpop(wakes, WAIT)
                if found is not None and self._is_stopped:
                    # another worker is to hear it
                    self._redis.lpush(found[0], 1)
            except Exception as error:  # noqa: BLE001 - the thread goes on: without it what is filed would wait for LONGEST
                if not self._is_stopped:
                    self._tell_away(error)
                time.sleep(AWAY)
            else:
                if found is not None and not self._is_stopped:
                    with self._changed:
                        self._is_woken = True
                    self._look_at(time.monotonic())

    def _wakes_awaited(self) -> list[str] | None:
        """Wait until there is room; return the lists that tell of something in those queues, or None at the end."""
        with self._changed:
            # what has woken this worker is to be taken first
            self._changed.wait_for(lambda: self._is_stopped or (self._awaited and not self._is_woken))
            return None if self._is_stopped else [key for key, queue in self._wakes.items() if queue in self._awaited]

    def _tell_away(self, error: Exception) -> None:
        if not self._is_away:
            log.warning("take_failed", f"{reason(error)}; trying on")
        self._is_away = True
