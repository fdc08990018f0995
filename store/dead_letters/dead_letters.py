"""Checks that failed for a reason that a person can mend, with everything needed to run them again.

The step that ends a check keeps its letter, and the step that replays a letter removes it, so a check is replayed once.
The message in it is the application's own, with chain, links and chord.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard, cast

from kombu.utils import json

from config.days import DAY
from store import keys
from store.scripts import script
from wechat.errcodes import Meaning, meaning
from wxcheck import CheckError, CheckRefused, MediaUnavailable, PlatformUnavailable, PushTimeout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

#: most letters that are kept, and most bytes of them; beyond, the oldest letter goes
MOST_LETTERS = 10_000
MOST_BYTES = 64 << 20
#: letters that are read, or dropped, in one step
BATCH = 200


class DeadLetter(NamedTuple):
    """A dead letter, as ``wxcheck dead`` lists it."""

    task_id: str
    #: class and arguments of the failure
    failure: str
    said: list[Any]
    appid: str | None
    task: str
    #: time of the failure, in seconds since the epoch
    failed_at: float
    #: true: the content was kept; false: the check cannot be replayed
    has_content: bool


def can_be_mended(failure: object) -> TypeGuard[CheckError]:
    """True if a person can mend the cause of ``failure``, so that the same check may then pass."""
    if isinstance(failure, CheckRefused):
        return meaning(failure.errcode) is Meaning.STOP  # the platform refuses the appId, not the content
    return isinstance(failure, (PlatformUnavailable, PushTimeout, MediaUnavailable))


class DeadLetters:
    """The dead letters of all processes.

    ``days``: time to keep a letter; 0 keeps none. ``with_content``: keep texts and URLs too; a letter without them is
    only listed.
    """

    def __init__(self, redis: Redis, days: float, *, with_content: bool) -> None:
        self._redis = redis
        self._seconds = days * DAY
        self._with_content = with_content
        self._decay = script(redis, "store/dead_letters/decay")
        self._drop = script(redis, "store/dead_letters/drop")

    def letter_of(self, task: str, message: str, appid: str, failure: object) -> str:
        """Return the letter of a check, as it is kept: its task's name and its message; '' for none.

        It ends with ``failure``.
        """
        if self._seconds <= 0 or not can_be_mended(failure):
            return ""
        letter: dict[str, Any] = {
            "task": task,
            "failure": type(failure).__name__,
            "said": list(failure.args),
            "appid": appid,
            "failed_at": round(time.time(), 3),
        }
        if self._with_content:
            letter["message"] = message
        return str(json.dumps(letter))

    def letters(self) -> Iterator[DeadLetter]:
        """Yield all letters, the newest first."""
        start = 0
        while task_ids := cast("list[str]", self._redis.zrevrange(keys.DEAD, start, start + BATCH - 1)):
            start += BATCH
            texts = cast("list[str | None]", self._redis.hmget(keys.DEAD_LETTERS, task_ids))
            for task_id, text in zip(task_ids, texts, strict=True):
                if text is not None:
                    yield _letter(task_id, json.loads(text))

    def letter(self, task_id: str) -> DeadLetter | None:
        """Return the letter of a check, or None."""
        text = cast("str | None", self._redis.hget(keys.DEAD_LETTERS, task_id))
        return _letter(task_id, json.loads(text)) if text is not None else None

    def message(self, task_id: str) -> str | None:
        """Return the message of a check for a replay, as it was kept; None if there is none."""
        text = cast("str | None", self._redis.hget(keys.DEAD_LETTERS, task_id))
        return json.loads(text).get("message") if text is not None else None

    def drop(self, task_id: str) -> bool:
        """Throw the letter of a check away; False if there is none."""
        return bool(self._drop(keys=[keys.DEAD, keys.DEAD_LETTERS, keys.DEAD_BYTES], args=[task_id]))

    def decay(self, bound: int = BATCH) -> None:
        """Drop the letters whose time is over."""
        script_keys = [keys.DEAD, keys.DEAD_LETTERS, keys.DEAD_BYTES]
        while int(self._decay(keys=script_keys, args=[self._seconds, bound])) >= bound:
            pass


def _letter(task_id: str, letter: dict[str, Any]) -> DeadLetter:
    return DeadLetter(
        task_id=task_id,
        failure=letter["failure"],
        said=letter["said"],
        appid=letter["appid"],
        task=letter["task"],
        failed_at=letter["failed_at"],
        has_content="message" in letter,
    )
