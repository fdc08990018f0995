"""The platform's quotas, kept over any number of workers: a permit for each call.

A *lane* is one appId's texts, or its media. The calls that *arrive* at the platform must stay within the quota, so a
permit is taken before the call and counts until one window after the latest moment at which the call can have arrived:
the answer, or without an answer the planned send and the time-out. Redis reserves the send times, evenly spaced, and
the caller sleeps until its own. ``docs/quotas.md`` proves the bound.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import redis.exceptions

from config.days import seconds_of_day
from config.lanes import LANES
from config.logs import Log
from store import keys
from store.connection import STORE_AWAY
from store.quota import clock
from store.quota.permit import LaneView, Permit, Reserved, Snooze
from store.records.records import KEEP_SENDING, MARGIN, record_state
from store.scripts import script
from wechat.errcodes import Meaning
from wxcheck import CheckRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis
    from redis.commands.core import Script

    from config.lanes import Lane
    from config.settings import MiniProgram
    from store.outbox.outbox import Arguments, Run
    from store.quota.rates import Rates
    from store.records.records import RecordState
    from wechat.answers import Answer

log = Log(__name__)

#: seconds of the window in which the platform counts
WINDOW = 60.0
#: seconds that a send time may lie ahead; a backfill looks less far ahead, so that users' posts come first
LOOK_AHEAD = 0.3
LOOK_AHEAD_LOW = 0.2
#: seconds after its send time within which a call must have begun; else its permit goes back unused
START = 1.0
#: number of times to ask for the platform's count of a new lane, until the platform tells it; seconds between two times
ASKED, ASK_AGAIN = 3, 10.0
#: Celery's priorities on Redis, where 0 is the highest: from this one on a check belongs to a backfill
BACKFILL_PRIORITY = 6
#: seconds before a message is fetched again after the store was away
STORE_PAUSE = 1.0
#: seconds for which a process takes "no permit" for granted
NONE_SECONDS = 1.0
#: seconds that count as none
NOTHING = 0.001
#: most permits that one script call settles
SETTLE = 64
#: seconds for which an appId is not called after the platform refused it altogether
STOP_SECONDS = 10
#: seconds of a lowered rate after the platform has refused a call: somebody else spends the same quota
CUT_SECONDS = 600

#: seconds after midnight in Shanghai in which the platform's count of the new day misses calls of the last minute
MIDNIGHT_MARGIN = 60

_CLOSED_FOR = {Meaning.SNOOZE_SECOND: "second", Meaning.SNOOZE_MINUTE: "minute", Meaning.SNOOZE_DAY: "day"}


class _Question(NamedTuple):
    """A call of a script about one lane."""

    script: Script
    keys: list[str]
    #: arguments of the script before those of ``take.lua``
    before: Arguments
    #: take | look
    want: str
    appid: str
    lane: Lane
    low: bool
    #: arguments 2 to 8 of ``take.lua``
    limits: list[int]


class _Reply(NamedTuple):
    """Answers of ``store/tokens/take.lua``, ``store/quota/take.lua`` and ``store/records/lease.lua``."""

    token: list[Any]
    permit: list[Any] | None
    record: list[str] | None


class _Answer(NamedTuple):
    #: None: the lane has no state to look at, or there is no token for the call
    said: Permit | Snooze | None
    token: list[Any]
    record: RecordState | None


class Quota:
    """Hands out permits, and settles them after their calls.

    ``redis`` must not repeat a script by itself, since a permit must never be settled twice. ``call_timeout``: seconds
    for one call in all. ``counted``: returns the platform's count of a lane's calls today, or None if the platform does
    not tell.
    """

    def __init__(
        self, redis: Redis, rates: Rates, call_timeout: float, counted: Callable[[str, Lane], int | None]
    ) -> None:
        self._redis = redis
        self._watch = clock.Watch()
        self._rates = rates
        self._counted = counted
        self._timeout = call_timeout + START
        self._views: dict[tuple[str, Lane], LaneView] = {}
        self._take = script(redis, "store/quota/take")
        self._reserve = script(redis, "store/quota/reserve")
        self._close = script(redis, "store/quota/close")
        self._stop = script(redis, "store/quota/stop")

    @property
    def pause(self) -> float:
        """Seconds for which a lane sends nothing after Redis has forgotten its calls."""
        return WINDOW + LOOK_AHEAD + self._timeout

    def reserve(
        self, program: MiniProgram, lane: Lane, run: Run, *, token_lease: float | None = None, low: bool = False
    ) -> Reserved:
        """Reserve one call for ``run``, with its access token and the lease of its record, in one round trip.

        The caller waits until the permit's ``send_at``, and settles the permit in any case.

        ``token_lease``: seconds that a renewal of the shared token may take; None: the call needs no token. ``low``:
        for a check of low priority.

        Raises:
            Snooze: there is no permit within the look-ahead.
            CheckRefused: the platform refuses this appId altogether.
            one of STORE_AWAY: Redis does not answer, so nothing may be sent.
        """
        comes_at, believed_until = self._view(program.appid, lane).none_until[low]
        now = time.monotonic()
        if now < believed_until - NOTHING:
            raise Snooze(comes_at - now, "minute")  # as another check was told
        question = self._question("take", program, lane, low=low)
        said, token, record = self._ask(self._of_call(question, run, token_lease))
        if said is not None:
            self._compare(program.appid, lane)
        if isinstance(said, Snooze):
            raise said
        return Reserved(said, token, record)

    def look(self, program: MiniProgram, lane: Lane) -> Snooze | None:
        """Return the Snooze that a check would get now, or None; takes no permit."""
        said, *_ = self._ask(self._question("look", program, lane))
        return said if isinstance(said, Snooze) else None

    def counted_today(self, program: MiniProgram, lane: Lane) -> int:
        """Return the number of a lane's calls today, as counted here."""
        self._ask(self._question("look", program, lane))
        return self._view(program.appid, lane).used

    def go_by(self, program: MiniProgram, lane: Lane, used: int) -> None:
        """Go on from the platform's count for the day of :meth:`counted_today`, if it is higher."""
        if self._view(program.appid, lane).claim(used):
            self._ask(self._question("look", program, lane))

    def keep_time(self) -> None:
        """Read Redis' clock, to notice when it is put forward or back. Call about once a second."""
        self._watch.read(self._redis.time)

    def answered(self, permit: Permit) -> None:
        """Settle ``permit``: the answer of its call is here, so it counts for one window from now."""
        self._end(permit, time.monotonic())

    def unused(self, permit: Permit) -> None:
        """Settle ``permit``: nothing was sent with it."""
        self._end(permit, None)

    def close(self, appid: str, lane: Lane, why: Meaning, answer: Answer) -> Snooze:
        """Close a lane, as the platform's ``answer`` demands, and return the Snooze to raise."""
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
        """Stop every call for an appId for a while, and return the failure to raise."""
        refusal = json.dumps([answer.errcode, answer.errmsg, answer.rid])
        for lane in LANES:
            self._stop(keys=[keys.quota(appid, lane)], args=[STOP_SECONDS, refusal])
        log.error("appid_stopped", answer.errmsg, appid=appid, errcode=answer.errcode, rid=answer.rid)
        return CheckRefused(answer.errcode, answer.errmsg, answer.rid)

    def _compare(self, appid: str, lane: Lane) -> None:
        """Ask for the platform's count of today if the lane's state is new, and go on from it if it is higher."""
        view = self._view(appid, lane)
        with view.lock:
            now = time.monotonic()
            if not view.asks or now < view.ask_at:
                return
            view.asks, view.ask_at = view.asks - 1, now + ASK_AGAIN
        try:
            used = self._counted(appid, lane)
        except STORE_AWAY:
            return
        if used is not None:
            view.asks = 0
            view.claim(used)

    def _view(self, appid: str, lane: Lane) -> LaneView:
        return self._views.setdefault((appid, lane), LaneView())

    def _end(self, permit: Permit, at: float | None) -> None:
        view = self._view(*permit.key)
        with view.lock:
            if permit.epoch == view.epoch:
                view.ended.append((permit.bucket, at, permit.day))

    def _question(self, want: str, program: MiniProgram, lane: Lane, *, low: bool = False) -> _Question:
        """Return the question about a lane for ``store/quota/take.lua`` alone."""
        per_minute, per_day, version = self._rates.of(program, lane)
        reserve = int(per_day * program.day_reserve) if low else 0
        ahead = LOOK_AHEAD_LOW if low else LOOK_AHEAD
        appid = program.appid
        return _Question(
            script=self._take,
            keys=[keys.quota(appid, lane), keys.ring(appid, lane), keys.LANES],
            before=[],
            want=want,
            appid=appid,
            lane=lane,
            low=low,
            limits=[
                *(max(1, round(per_minute * WINDOW / 60)), per_day, reserve, version),
                *(_micro(WINDOW), _micro(self._timeout), _micro(ahead)),
            ],
        )

    def _of_call(self, question: _Question, run: Run, token_lease: float | None) -> _Question:
        """Return the question, asked together with token and record by ``store/quota/reserve.lua``."""
        quota, ring, lanes = question.keys
        return question._replace(
            script=self._reserve,
            keys=[keys.token(question.appid), quota, ring, keys.record(run.task_id or ""), lanes],
            before=[token_lease or "", run.token, self._timeout + MARGIN, KEEP_SENDING, run.digest],
        )

    def _ask(self, asked: _Question) -> _Answer:
        """Hand over the permits whose calls have ended, ask, and ask again until the script has an answer."""
        view = self._view(asked.appid, asked.lane)
        fresh = -1
        while True:
            if not self._watch.knows(clock.ours()):
                self.keep_time()
            # both clocks are read before the call: Redis runs the script later, so the estimate of its clock is on the
            # safe side
            began, before = clock.ours(), time.monotonic()
            latest, steady = self._watch.at(began)
            with view.lock:
                ended = [view.ended.popleft() for _ in range(min(SETTLE, len(view.ended)))]
                epoch = view.epoch
                # not each time: a permit that was handed back unused must not count again
                claims = fresh >= 0 or view.claims
                day, used = (view.day, view.used) if claims else (0, 0)
                view.claims = False
            settled: list[int | str] = []
            for bucket, at, of_day in ended:
                settled += (bucket, -1 if at is None else max(0, int((before - at) * 1e6)), of_day)
            args = [*asked.before, asked.want, *asked.limits, latest, steady, epoch, day, used, fresh]
            try:
                before, reply = self._run(asked, args, settled, before)
            except STORE_AWAY:
                if claims:
                    view.claims = True
                raise
            after = time.monotonic()
            if reply.permit is None:
                with view.lock:
                    # the script did not get the ended permits
                    view.claims |= claims
                    if view.epoch == epoch:
                        view.ended.extendleft(reversed(ended))
                return _Answer(None, reply.token, None)
            verb, *told = reply.permit
            if told:
                self._watch.add(began, clock.ours(), told[-1])
                self._learn(view, *told[2:5], shown=told[-1])
            if verb == "again":
                continue
            if verb != "absent":
                break
            if asked.want == "look":
                return _Answer(None, reply.token, None)
            fresh = self._fresh(asked.appid, asked.lane, lost=epoch > 0)
        if verb == "wait" and told[5] == "pause" and fresh > 0:
            said = f"what was sent lately is not known; nothing is sent for {told[0] / 1e6:.0f} s"
            log.warning("quota_unknown", said, appid=asked.appid, lane=asked.lane)
        found = self._read(asked, verb, told, before, after)
        return _Answer(found, reply.token, record_state(reply.record) if reply.record else None)

    def _read(self, asked: _Question, verb: str, told: list[Any], before: float, after: float) -> Permit | Snooze:
        """Return the permit or the refusal that ``take.lua`` has told, between ``before`` and ``after`` (monotonic).

        Raises:
            CheckRefused: the platform refuses this appId altogether.
        """
        wait, _now, epoch, day, _used, detail, _clock = told
        seconds = wait / 1e6
        if verb == "stop":
            raise CheckRefused(*json.loads(detail))
        if verb == "wait":
            if detail == "minute":
                # a permit may come sooner: answers come in, a rate is raised
                believed = (after + seconds, after + min(seconds, NONE_SECONDS))
                self._view(asked.appid, asked.lane).none_until[asked.low] = believed
            return Snooze(seconds, detail)
        return Permit(
            key=(asked.appid, asked.lane),
            epoch=epoch,
            bucket=detail,
            day=day,
            ahead=seconds,
            send_at=after + seconds,
            begin_by=before + seconds + START,
            over_by=before + seconds + self._timeout,
        )

    def _learn(self, view: LaneView, epoch: int, day: int, used: int, *, shown: int) -> None:
        if epoch:
            view.learn(epoch, day, used, asks=ASKED if shown - epoch < _micro(self.pause) else 0)

    def _run(self, asked: _Question, args: Arguments, settled: list[int | str], before: float) -> tuple[float, _Reply]:
        """Run the script of a question, and return the time before the call and the reply."""
        try:
            said = asked.script(keys=asked.keys, args=[*args, *settled])
        except redis.exceptions.ConnectionError:
            # most likely the idle connection was closed. The ended permits are never handed over a second time, since
            # Redis may have settled them all the same; unsettled ones count until their time-out
            before = time.monotonic()
            said = asked.script(keys=asked.keys, args=args)
        if asked.script is self._take:
            return before, _Reply([], said, None)
        return before, _Reply(*said, *[None] * (3 - len(said)))

    def _fresh(self, appid: str, lane: Lane, *, lost: bool) -> int:
        """Return the microseconds for which a lane without state must pause."""
        # 0: the platform itself says that nothing was sent
        return 0 if not lost and self._unused_today(appid, lane) else _micro(self.pause)

    def _unused_today(self, appid: str, lane: Lane) -> bool:
        return seconds_of_day(time.time()) > self.pause + MIDNIGHT_MARGIN and self._counted(appid, lane) == 0


def _micro(seconds: float) -> int:
    return int(seconds * 1_000_000)
