"""Keeps the platform's quotas, over any number of workers: a permit for each call.

A *lane* is one appId's texts, or its media. What must stay within the quota is what *arrives* at the platform, so a
permit is taken before the call and counts until one window after the latest moment at which the call can have arrived:
the answer, or where none came the planned send and the time-out. The send times are reserved in Redis, evenly spaced,
and the caller sleeps until its own. ``docs/quotas.md`` proves the bound.
"""

from __future__ import annotations

import json
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import redis.exceptions

from config.days import seconds_of_day
from config.logs import Log
from store import keys
from store.connection import STORE_AWAY
from store.quota import clock
from store.quota.permit import LaneView, Permit, Snooze, Start
from store.records.records import KEEP_SENDING, MARGIN
from store.scripts import script
from wechat.errcodes import Meaning
from wxcheck import CheckRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

    from config.lanes import Lane
    from config.settings import MiniProgram
    from store.quota.rates import Rates
    from wechat.answers import Answer

log = Log(__name__)

#: seconds in which the platform counts
WINDOW = 60.0
#: seconds that a send time may lie ahead; a backfill looks less far ahead, so that users' posts come first
LOOK_AHEAD = 0.3
LOOK_AHEAD_LOW = 0.2
#: seconds after its send time within which a call must have begun; else its permit goes back unused
START = 1.0
#: how often the platform is asked for the count of a new lane where it does not tell it, and seconds between
ASKED, ASK_AGAIN = 3, 10.0
#: Celery's priorities on Redis, where 0 is the highest: from here on a check is a backfill
BACKFILL_PRIORITY = 6
#: seconds before a message is fetched again that came back because the store is away
STORE_PAUSE = 1.0
#: seconds for which a process believes that there is no permit
NONE_SECONDS = 1.0
#: seconds that are none
NOTHING = 0.001
#: settled permits that one call takes along
SETTLE = 64
#: seconds for which an appId that the platform refuses altogether is not called again
STOP_SECONDS = 10
#: seconds for which less is sent after the platform has refused a call: somebody else spends the same quota
CUT_SECONDS = 600

#: seconds after midnight in Shanghai in which the platform's count of the day says too little of the last minute
MIDNIGHT_MARGIN = 60

_CLOSED_FOR = {Meaning.SNOOZE_SECOND: "second", Meaning.SNOOZE_MINUTE: "minute", Meaning.SNOOZE_DAY: "day"}


class Quota:
    """Hands out permits, and takes back what became of them.

    ``redis`` must not repeat a script by itself: permits must never be settled twice.
    ``call_timeout``: seconds that one call may take in all. ``counted``: how many calls of a lane the platform counts
    for today, or None where it does not tell.
    """

    def __init__(
        self, redis: Redis, rates: Rates, call_timeout: float, counted: Callable[[str, Lane], int | None]
    ) -> None:
        self._redis = redis
        self._watch = clock.Watch()
        self._rates = rates
        self._counted = counted
        self._timeout = call_timeout + START
        self._known: dict[tuple[str, Lane], LaneView] = {}
        self._take = script(redis, "store/quota/take")
        self._start = script(redis, "store/quota/reserve")
        self._close = script(redis, "store/quota/close")
        self._stop = script(redis, "store/quota/stop")

    @property
    def pause(self) -> float:
        """Seconds for which nothing is sent after what was sent has been forgotten."""
        return WINDOW + LOOK_AHEAD + self._timeout

    def take(self, program: MiniProgram, lane: Lane, *, low: bool = False) -> Permit:
        """Reserves one call; wait until its ``send_at``, and settle it in any case.

        ``low``: for a check of low priority.

        Raises:
            Snooze: there is no permit within the look-ahead.
            CheckRefused: the platform refuses this appId altogether.
            one of STORE_AWAY: Redis does not answer, so nothing may be sent.
        """
        permit = self._reserve(program, lane, low=low)
        if permit is None:
            raise Snooze(0.0, "pause")
        return permit

    def start(self, program: MiniProgram, lane: Lane, start: Start, *, low: bool = False) -> Permit | None:
        """Reserves one call as :meth:`take` does, with what else it needs in the same step. None, and nothing is
        reserved, where there is no shared token to use; ``start`` says why."""
        return self._reserve(program, lane, low=low, start=start)

    def _reserve(self, program: MiniProgram, lane: Lane, *, low: bool, start: Start | None = None) -> Permit | None:
        comes_at, believed_until = self._of(program.appid, lane).none_until[low]
        now = time.monotonic()
        if now < believed_until - NOTHING:
            raise Snooze(comes_at - now, "minute")  # as another check was told
        permit = self._ask("take", program, lane, low=low, start=start)
        if permit is not None:
            self._compare(program.appid, lane)
        if isinstance(permit, Snooze):
            raise permit
        return permit

    def look(self, program: MiniProgram, lane: Lane) -> Snooze | None:
        """Whether a check would get a permit now; takes none."""
        found = self._ask("look", program, lane, low=False)
        return found if isinstance(found, Snooze) else None

    def counted_today(self, program: MiniProgram, lane: Lane) -> int:
        """How many calls of a lane are counted here for today."""
        self._ask("look", program, lane, low=False)
        return self._of(program.appid, lane).used

    def go_by(self, program: MiniProgram, lane: Lane, used: int) -> None:
        """Goes on from what the platform counts for the day of :meth:`counted_today`, if that is more."""
        if self._of(program.appid, lane).claim(used):
            self._ask("look", program, lane, low=False)

    def keep_time(self) -> None:
        """Reads Redis' clock, so that it is seen when it is put forward or back; to be called about once a second."""
        before = clock.ours()
        seconds, microseconds = self._redis.time()
        self._watch.add(before, clock.ours(), seconds * 1_000_000 + microseconds)

    def answered(self, permit: Permit) -> None:
        """Says that the call of ``permit`` is over, for its answer is here: it counts for one window from now."""
        self._end(permit, time.monotonic())

    def unused(self, permit: Permit) -> None:
        """Says that nothing was sent with ``permit``."""
        self._end(permit, None)

    def close(self, appid: str, lane: Lane, why: Meaning, answer: Answer) -> Snooze:
        """Closes a lane, as the platform's ``answer`` asks for; the Snooze to raise."""
        until, cut = self._close(keys=[keys.quota(appid, lane)], args=[_CLOSED_FOR[why], CUT_SECONDS])
        seconds = max(0.0, until / 1e6 - time.time())
        log.warning(
            "lane_closed",
            f"closed for {seconds:.0f} s, then at {100 - 10 * cut} % of its rate for a while",
            appid=appid,
            lane=lane,
            errcode=answer.errcode,
            rid=answer.rid,
        )
        return Snooze(seconds, "closed")

    def stop(self, appid: str, answer: Answer) -> CheckRefused:
        """Stops every call for an appId for a while; the failure to raise."""
        refusal = json.dumps([answer.errcode, answer.errmsg, answer.rid])
        lanes: tuple[Lane, ...] = ("text", "media")
        for lane in lanes:
            self._stop(keys=[keys.quota(appid, lane)], args=[STOP_SECONDS, refusal])
        log.error("appid_stopped", answer.errmsg, appid=appid, errcode=answer.errcode, rid=answer.rid)
        return CheckRefused(answer.errcode, answer.errmsg, answer.rid)

    def _compare(self, appid: str, lane: Lane) -> None:
        """Where the state is new, it goes on from what the platform counts for today, if that is more."""
        known = self._of(appid, lane)
        with known.lock:
            now = time.monotonic()
            if not known.asks or now < known.ask_at:
                return
            known.asks, known.ask_at = known.asks - 1, now + ASK_AGAIN
        try:
            used = self._counted(appid, lane)
        except STORE_AWAY:
            return
        if used is not None:
            known.asks = 0
            known.claim(used)

    def _of(self, appid: str, lane: Lane) -> LaneView:
        return self._known.setdefault((appid, lane), LaneView())

    def _end(self, permit: Permit, at: float | None) -> None:
        known = self._of(*permit.key)
        with known.lock:
            if permit.epoch == known.epoch:
                known.ended.append((permit.bucket, at, permit.day))

    def _ask(
        self, want: str, program: MiniProgram, lane: Lane, *, low: bool, start: Start | None = None
    ) -> Permit | Snooze | None:
        """None: there is no state to look at, or no token for the call."""
        per_minute, per_day, version = self._rates.of(program, lane)
        reserve = int(per_day * program.day_reserve) if low else 0
        ahead = LOOK_AHEAD_LOW if low else LOOK_AHEAD
        appid = program.appid
        known = self._of(appid, lane)
        fresh = -1
        while True:
            if not self._watch.knows(clock.ours()):
                self.keep_time()
            # the clocks are read before the call: Redis runs it later, and then less is taken for sure
            began, before = clock.ours(), time.monotonic()
            latest, steady = self._watch.at(began)
            with known.lock:
                ended = [known.ended.popleft() for _ in range(min(SETTLE, len(known.ended)))]
                epoch = known.epoch
                # not each time: what was handed back unused must not count again
                claims = fresh >= 0 or known.claims
                day, used = (known.day, known.used) if claims else (0, 0)
                known.claims = False
            settled: list[int | str] = []
            for bucket, at, of_day in ended:
                settled += (bucket, -1 if at is None else max(0, int((before - at) * 1e6)), of_day)
            args: list[int | str | float] = [
                *(want, max(1, round(per_minute * WINDOW / 60)), per_day, reserve, version),
                *(_micro(WINDOW), _micro(self._timeout), _micro(ahead)),
                *(latest, steady, epoch, day, used, fresh),
            ]
            lane_keys = [keys.quota(appid, lane), keys.ring(appid, lane), keys.LANES]
            try:
                before, answer = self._run_take(lane_keys, args, settled, before, start)
            except STORE_AWAY:
                if claims:
                    known.claims = True
                raise
            after = time.monotonic()
            if answer is None:
                with known.lock:
                    # they were not handed over
                    known.claims |= claims
                    if known.epoch == epoch:
                        known.ended.extendleft(reversed(ended))
                return None
            said, *reply = answer
            if reply:
                self._watch.add(began, clock.ours(), reply[-1])
                self._learn(known, *reply[2:5], shown=reply[-1])
            if said == "again":
                continue
            if said != "absent":
                break
            if want == "look":
                return None
            fresh = self._fresh(appid, lane, lost=epoch > 0)
        wait, _now, epoch, day, _used, last_word, _clock = reply
        if said == "stop":
            raise CheckRefused(*json.loads(last_word))
        if said == "wait":
            if last_word == "pause" and fresh > 0:
                told = f"what was sent lately is not known; nothing is sent for {wait / 1e6:.0f} s"
                log.warning("quota_unknown", told, appid=appid, lane=lane)
            if last_word == "minute":
                # it may be sooner: answers come in, a rate is raised
                known.none_until[low] = (after + wait / 1e6, after + min(wait / 1e6, NONE_SECONDS))
            return Snooze(wait / 1e6, last_word)
        seconds = wait / 1e6
        return Permit(
            key=(appid, lane),
            epoch=epoch,
            bucket=last_word,
            day=day,
            ahead=seconds,
            send_at=after + seconds,
            begin_by=before + seconds + START,
            over_by=before + seconds + self._timeout,
        )

    def _learn(self, known: LaneView, epoch: int, day: int, used: int, *, shown: int) -> None:
        if epoch:
            known.learn(epoch, day, used, asks=ASKED if shown - epoch < _micro(self.pause) else 0)

    def _run_take(
        self,
        lane_keys: list[str],
        args: list[int | str | float],
        settled: list[int | str],
        before: float,
        start: Start | None,
    ) -> tuple[float, list[Any] | None]:
        """When the call began, and what quota_take.lua says; None where that was not asked, for want of a token."""
        run = partial(self._take, keys=lane_keys)
        if start is not None:
            token, record = keys.token(start.appid), keys.record(start.task_id)
            of_call: list[int | str | float] = [
                start.token_lease or "",
                start.run,
                self._timeout + MARGIN,
                KEEP_SENDING,
                start.digest,
            ]
            quota, ring, lanes = lane_keys
            run, args = partial(self._start, keys=[token, quota, ring, record, lanes]), [*of_call, *args]
        try:
            reply = run(args=[*args, *settled])
        except redis.exceptions.ConnectionError:
            # it was closed while it was idle, most likely. What was handed over is never handed over again, for it
            # may have been taken all the same; those permits count until their time-out
            before = time.monotonic()
            reply = run(args=args)
        if start is None:
            return before, reply
        start.token, permit, start.standing = (*reply, None, None)[:3]
        return before, permit

    def _fresh(self, appid: str, lane: Lane, *, lost: bool) -> int:
        """For how long a lane without state must pause, in microseconds."""
        # 0: the platform itself says that nothing was sent
        return 0 if not lost and self._unused_today(appid, lane) else _micro(self.pause)

    def _unused_today(self, appid: str, lane: Lane) -> bool:
        return seconds_of_day(time.time()) > self.pause + MIDNIGHT_MARGIN and self._counted(appid, lane) == 0


def _micro(seconds: float) -> int:
    return int(seconds * 1_000_000)
