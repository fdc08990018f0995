"""Counts of the processes for those who watch: calls, verdicts, failures, pushes, by the minute and by the hour.

A process adds up in memory and writes once a second, so a check costs no further round trip. A killed process loses at
most the counts of its last second; the counters of :mod:`store.watch.counters` are exact.

A field is parts joined by ``|``:

    calls|APPID|LANE|sent       a call went out
    calls|APPID|LANE|given_back a check waits again, for its call has found a quota used up
    calls|APPID|LANE|refused    the platform refused a call
    calls|APPID|LANE|retried    a call, or one for its access token, had no usable answer
    verdict|KIND|SUGGEST|LABEL  a check ended with a verdict
    failed|CLASS|ERRCODE        a check failed; without an errcode the last part is empty
    push|WHAT                   matched, early, repeated, late, orphaned, missing
    request|OUTCOME             an answer of the endpoints (:mod:`wechat.push.outcomes`)
    unreadable|QUEUE|WHY        a message could not be run (:mod:`worker.intake.reading`, or ``transport``)
    delay|SECONDS               a matched push came within so many seconds, or later than all of DELAYS: +Inf
    delay_sum                   milliseconds of all these delays
    moved|PLACE                 a check left a queue, the shelf, or due (parked checks) for good
    refused_end                 the store refused to end a check whose ending is known; the end is tried again

Every part has a bound: an unknown value is ``other``.
"""

from __future__ import annotations

import json
import threading
from collections import Counter, deque
from typing import TYPE_CHECKING

from config.lanes import QUEUES
from config.names import UNREADABLE
from store import keys
from store.scripts import script
from wechat.errcodes import is_known
from wechat.verdicts import LABELS
from wxcheck import CheckError, CheckRefused, MediaUnavailable, PlatformUnavailable

if TYPE_CHECKING:
    from redis import Redis


#: seconds between two writes
INTERVAL = 1.0
#: seconds to keep a minute, and an hour: the last hour and the last day are shown
KEEP_MINUTE, KEEP_HOUR = 2 * 3600, 26 * 3600
#: most failures that are kept in the store, and most failures of a process that wait to be written
NEWEST = 100
#: upper bounds of the push delays, in seconds
DELAYS = (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800)

OTHER = "other"


class Statistics:
    """The counts of this process. Safe to share between threads."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._write = script(redis, "store/watch/count")
        self._lock = threading.Lock()
        self._counted: Counter[str] = Counter()
        self._failures: deque[str] = deque(maxlen=NEWEST)

    def count(self, *parts: str, number: int = 1) -> None:
        """Add to the field of these parts."""
        with self._lock:
            self._counted["|".join(parts)] += number

    def unreadable(self, queue: str, why: str) -> None:
        """Count a message of ``queue`` that could not be run."""
        self.count("unreadable", queue if queue in QUEUES else OTHER, why if why in UNREADABLE else OTHER)

    def delay(self, seconds: float) -> None:
        """Count a push that came ``seconds`` after the platform's answer."""
        self.count("delay", str(next((bound for bound in DELAYS if seconds <= bound), "+Inf")))
        self.count("delay_sum", number=max(0, round(seconds * 1000)))

    def failure(self, failure: object, task_id: str, appid: str | None) -> None:
        """Count a failed check, and keep its failure without any of its content."""
        name = type(failure).__name__ if isinstance(failure, CheckError) else OTHER
        errcode, rid = _said(failure)
        told = {"name": name, "errcode": errcode, "rid": rid, "appid": appid, "task_id": task_id}
        known = "" if errcode is None else str(errcode) if is_known(errcode) else OTHER
        with self._lock:
            self._counted[f"failed|{name}|{known}"] += 1
            self._failures.append(json.dumps(told))

    def ended(self, ended: object, task_id: str, appid: str | None) -> None:
        """Count a check that ended, with a verdict or a failure."""
        if isinstance(ended, BaseException):
            self.failure(ended, task_id, appid)
        elif isinstance(ended, dict) and "suggest" in ended:
            label = str(ended["label"]) if ended["label"] in LABELS else OTHER
            self.count("verdict", ended["kind"], ended["suggest"], label)

    def write(self) -> None:
        """Add the counts to the store.

        Raises:
            one of STORE_AWAY: the store does not answer; the counts are kept for the next time.
        """
        with self._lock:
            counted, self._counted = self._counted, Counter()
            failures = list(self._failures)
            self._failures.clear()
        if not counted:
            return
        args: list[str | int] = [KEEP_MINUTE, KEEP_HOUR, NEWEST, len(failures), *failures]
        for field, number in counted.items():
            args += (field, number)
        try:
            self._write(keys=[keys.STATISTICS, keys.LATEST, keys.FAILURES], args=args)
        except Exception:
            with self._lock:
                self._counted.update(counted)
                self._failures.extendleft(reversed(failures[: NEWEST - len(self._failures)]))
            raise


def _said(failure: object) -> tuple[int | None, str | None]:
    """Return errcode and rid of a failure, each None if the failure has none."""
    if isinstance(failure, CheckRefused):
        return failure.errcode, failure.rid
    if isinstance(failure, MediaUnavailable):
        return failure.errcode, None
    if isinstance(failure, PlatformUnavailable) and isinstance(failure.reason, int):
        return failure.reason, None
    return None, None
