"""The lanes that a worker takes from: their limits, and what this process knows of them.

A take names the lanes whose turn it is, and tells which come next, so a worker keeps nothing of the lanes that wait:
neither a connection nor a message, however many Mini Programs there are.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from typing import TYPE_CHECKING

from config.days import seconds_of_day
from config.logs import Log
from store.places.forms import LaneLimits
from store.places.places import LANES_AT_ONCE
from store.quota.permit import LaneView
from store.quota.permits import ASK_AGAIN, ASKED, LOOK_AHEAD, MIDNIGHT_MARGIN, WINDOW

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from config.lanes import Lane
    from config.settings import MiniProgram
    from store.places.forms import Held, LaneReply, Queue
    from store.places.places import Places
    from store.quota.rates import Rates

log = Log(__name__)

#: takes in a row while there are lanes whose limits the caller did not name, or news to tell
ROUNDS = 4

#: seconds for which it holds that nothing was sent in a lane without state; its run gives the check back at once
FOUND_OUT = 5.0

_MICRO = 1_000_000


class OpenLanes:
    """The lanes of one worker. Safe to share between threads, but for :meth:`take`, which is for one thread.

    ``programs``: the Mini Programs by appId. ``call_timeout``: seconds for one call in all, START included.
    """

    def __init__(self, places: Places, programs: Mapping[str, MiniProgram], rates: Rates, call_timeout: float) -> None:
        self._places = places
        self._programs = programs
        self._rates = rates
        self._pause = WINDOW + LOOK_AHEAD + call_timeout
        self._lock = threading.Lock()
        self._views: defaultdict[tuple[Lane, str], LaneView] = defaultdict(LaneView)
        #: microseconds of the pause of a lane without state, and until when that holds
        self._fresh: dict[tuple[Lane, str], tuple[int, float]] = {}
        #: the lanes to name next
        self._next: list[tuple[Lane, str]] = []

    def take(self, room: Mapping[Queue, int], kinds: Sequence[Lane]) -> tuple[list[Held], float | None, list[Queue]]:
        """Take checks into hand, at most ``room`` of each queue.

        Returns:
            the checks; the seconds until it is worth to ask again with the room that is left, None: not before
            something is filed; and the queues in which more is due.

        Raises:
            one of STORE_AWAY: the store does not answer.
        """
        left = dict(room)
        taken: list[Held] = []
        seconds: float | None = 0.0
        for _ in range(ROUNDS):
            lanes = [*self._found_out(), *self._next]
            named = {(kind, appid): self._limits(kind, appid) for kind, appid in lanes if kind in kinds}
            take = self._places.take(left, list(named.values()), kinds)
            for reply in take.lanes:
                self._learn(reply, named[reply.kind, reply.appid])
                if reply.verb == "damaged":
                    said = f"{reply.told[5]}; its checks wait, and it is looked at again in a minute"
                    log.error("lane_damaged", said, appid=reply.appid, lane=reply.kind)
            for held in take.held:
                left[held.queue] -= 1
            taken += take.held
            self._next = list(dict.fromkeys(take.unknown + take.next))[: LANES_AT_ONCE * len(kinds)]
            is_early = bool(take.unknown) or any(left.get(queue, 0) > 0 for queue in take.more)
            seconds = 0.0 if is_early else take.seconds
            if not take.unknown and all(reply.verb != "again" for reply in take.lanes):
                break
        return taken, seconds, take.more

    def found_out(self, kind: Lane, appid: str, used_today: int | None) -> None:
        """Note the platform's count for a lane without state, which a run has asked for; None: it does not tell."""
        is_unused = used_today == 0 and seconds_of_day(time.time()) > self._pause + MIDNIGHT_MARGIN
        with self._lock:
            # what this process has seen before is gone, so calls may have been sent lately
            is_lost = self._views[kind, appid].epoch > 0
            pause = 0 if is_unused and not is_lost else int(self._pause * _MICRO)
            self._fresh[kind, appid] = pause, time.monotonic() + FOUND_OUT

    def asks_for_count(self, kind: Lane, appid: str) -> bool:
        """True if the platform's own count of a lane is to be asked for now, since the lane's state is new."""
        now = time.monotonic()
        with self._lock:
            view = self._views[kind, appid]
            if not view.asks or now < view.ask_at:
                return False
            view.asks, view.ask_at = view.asks - 1, now + ASK_AGAIN
            return True

    def counted(self, kind: Lane, appid: str, used_today: int) -> None:
        """Go on from the platform's count of today, if it is higher than the one that is kept here."""
        with self._lock:
            view = self._views[kind, appid]
            view.asks = 0
            if view.day > 0 and used_today > view.used:
                view.used, view.claims = used_today, True

    def _found_out(self) -> list[tuple[Lane, str]]:
        """Return the lanes of which was found out lately whether they pause."""
        now = time.monotonic()
        with self._lock:
            self._fresh = {lane: fresh for lane, fresh in self._fresh.items() if fresh[1] > now}
            # the latest; the others are looked at by their time
            return list(self._fresh)[-LANES_AT_ONCE:]

    def _limits(self, kind: Lane, appid: str) -> LaneLimits:
        program = self._programs.get(appid)
        if program is None:
            return LaneLimits(kind, appid, is_gone=True)
        per_minute, per_day, version = self._rates.of(program, kind)
        with self._lock:
            view = self._views[kind, appid]
            fresh, _ = self._fresh.get((kind, appid), (-1, 0.0))
            # not each time: a permit that was handed back unused must not count again
            day, used = (view.day, view.used) if fresh >= 0 or view.claims else (0, 0)
            return LaneLimits(
                kind=kind,
                appid=appid,
                per_minute=per_minute,
                per_day=per_day,
                reserve=int(per_day * program.day_reserve),
                version=version,
                epoch=view.epoch,
                day=day,
                used=used,
                fresh=fresh,
            )

    def _learn(self, reply: LaneReply, said: LaneLimits) -> None:
        """Take in what the store tells of a lane. ``said``: what it was told."""
        if not reply.told:
            return
        wait, _, epoch, day, used, why, shown = reply.told
        if not epoch:
            return
        lane = reply.kind, reply.appid
        with self._lock:
            self._fresh.pop(lane, None)
            view = self._views[lane]
            is_new = epoch != view.epoch
            if is_new:
                view.epoch, view.ask_at = epoch, 0.0
                view.asks = ASKED if shown - epoch < self._pause * _MICRO else 0
                # the new state has not heard this process' count of the day
                view.claims = view.day > 0
            elif reply.verb != "again" and (said.day, said.used) == (view.day, view.used):
                view.claims = False  # the store has heard all; a run may have learnt more meanwhile
            view.day, view.used = max((view.day, view.used), (day, used))
        if is_new and why == "pause":
            told = f"what was sent lately is not known; nothing is sent for {wait / _MICRO:.0f} s"
            log.warning("quota_unknown", told, appid=reply.appid, lane=reply.kind)
