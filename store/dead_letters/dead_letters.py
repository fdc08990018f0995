"""Checks that failed for a reason that a person can mend, with all that it takes to run them again.

A letter is kept in the same step in which its check ends, and taken off in the step that replays it, so a check is
replayed once. Its message is the one that the application sent, chain, links and chord included.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from kombu.utils import json

from config.days import DAY
from store import keys
from store.outbox.outbox import Also
from store.records.digest import digest_of
from store.scripts import script
from wechat.errcodes import Meaning, meaning
from wxcheck import SENT_AT_HEADER, CheckRefused, MediaUnavailable, PlatformUnavailable, PushTimeout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

    from store.outbox.outbox import Run

#: letters, and bytes of them, that are kept at most; beyond, the oldest goes
MOST = 10_000
MOST_BYTES = 64 << 20
#: letters that are read, or dropped, in one step
BATCH = 200


class DeadLetter(NamedTuple):
    """One of them, as ``wxcheck dead`` lists it."""

    task_id: str
    #: class and arguments of the failure
    failure: str
    said: list[Any]
    appid: str | None
    task: str
    #: when it failed, in seconds since the epoch
    failed_at: float
    #: whether its content was kept, without which it cannot be replayed
    has_content: bool


def can_be_mended(failure: object) -> bool:
    """Whether a person can do something about it, after which the same check may pass."""
    if isinstance(failure, CheckRefused):
        return meaning(failure.errcode) is Meaning.STOP  # the appId is refused, not the content
    return isinstance(failure, (PlatformUnavailable, PushTimeout, MediaUnavailable))


class DeadLetters:
    """The dead letters of all processes.

    ``days``: to keep one, 0 keeps none. ``with_content``: whether texts and URLs are kept, without which a check is
    listed only.
    """

    def __init__(self, redis: Redis, days: float, *, with_content: bool) -> None:
        self._redis = redis
        self._seconds = days * DAY
        self._with_content = with_content
        self._bury = script(redis, "store/dead_letters/keep")
        self._replay = script(redis, "store/dead_letters/replay")
        self._decay = script(redis, "store/dead_letters/decay")
        self._drop = script(redis, "store/dead_letters/drop")

    def keeps(self, failure: object) -> bool:
        """Whether a check that ended so is kept."""
        return self._seconds > 0 and can_be_mended(failure)

    def keep(self, run: Run, task_id: str, message: dict[str, Any], failure: BaseException) -> None:
        """Has the end that ``run`` is about to commit keep ``message``, as :mod:`worker.messages` makes it."""
        letter: dict[str, Any] = {
            "message": message,
            "failure": type(failure).__name__,
            "said": list(failure.args),
            "appid": run.appid,
            "failed_at": round(time.time(), 3),
        }
        if not self._with_content:
            letter["message"] = {"name": message["name"]}
        run.also.append(
            Also(
                self._bury,
                [keys.DEAD, keys.DEAD_LETTERS, keys.DEAD_BYTES, keys.COUNTERS],
                [task_id, json.dumps(letter), MOST, MOST_BYTES],
            )
        )

    def letters(self) -> Iterator[DeadLetter]:
        """All of them, the newest first."""
        start = 0
        while task_ids := cast("list[str]", self._redis.zrevrange(keys.DEAD, start, start + BATCH - 1)):
            start += BATCH
            texts = cast("list[str | None]", self._redis.hmget(keys.DEAD_LETTERS, task_ids))
            for task_id, text in zip(task_ids, texts, strict=True):
                if text is not None:
                    yield _letter(task_id, json.loads(text))

    def letter(self, task_id: str) -> DeadLetter | None:
        """The one of this check."""
        text = cast("str | None", self._redis.hget(keys.DEAD_LETTERS, task_id))
        return _letter(task_id, json.loads(text)) if text is not None else None

    def drop(self, task_id: str) -> bool:
        """Throws one away; False where it is none of them."""
        return bool(self._drop(keys=[keys.DEAD, keys.DEAD_LETTERS, keys.DEAD_BYTES], args=[task_id]))

    def replay(self, task_id: str) -> bool:
        """Runs a check again with its whole continuation; False where it is none of them, without its content,
        or a check with other content is under way by its task id."""
        text = cast("str | None", self._redis.hget(keys.DEAD_LETTERS, task_id))
        message = json.loads(text)["message"] if text is not None else {}
        if "rest" not in message:
            return False
        # its age counts anew: it is a person's decision to check it now
        message["rest"].setdefault("headers", {})[SENT_AT_HEADER] = time.time()
        script_keys = [keys.DEAD, keys.DEAD_LETTERS, keys.DEAD_BYTES]
        script_keys += [keys.shelved(task_id), keys.SHELF, keys.record(task_id)]
        digest = digest_of(message["name"], message["args"], message["kwargs"])
        args = [task_id, cast("str", text), json.dumps(message), digest]
        return bool(self._replay(keys=script_keys, args=args))

    def decay(self) -> None:
        """Drops those that were kept for long enough."""
        script_keys = [keys.DEAD, keys.DEAD_LETTERS, keys.DEAD_BYTES]
        while int(self._decay(keys=script_keys, args=[self._seconds, BATCH])) >= BATCH:
            pass


def _letter(task_id: str, letter: dict[str, Any]) -> DeadLetter:
    message = letter["message"]
    return DeadLetter(
        task_id=task_id,
        failure=letter["failure"],
        said=letter["said"],
        appid=letter["appid"],
        task=message["name"],
        failed_at=letter["failed_at"],
        has_content="rest" in message,
    )
