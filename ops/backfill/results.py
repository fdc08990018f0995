"""The results of checks, from the result backend; a Redis is asked for many at once."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from celery import states
from celery.backends.redis import RedisBackend

from ops.backfill.output import UNKNOWN, Row
from status.check_facts import failure_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery import Celery

#: results in one question to a Redis, and in one look at any other backend
MANY, FEW = 500, 100

Meta = dict[str, Any]


class Results:
    """Reads results by task id."""

    def __init__(self, app: Celery) -> None:
        self._backend = app.backend
        # the run itself waits for the backend, and says so
        self._backend.always_retry = False
        #: most results in one look; None: no bound
        self.most = None if isinstance(self._backend, RedisBackend) else FEW

    def known(self, task_ids: list[str]) -> Iterator[tuple[str, Meta]]:
        """Yield task id and result of each check that the backend knows, ended or not.

        Raises:
            an error that :func:`worker.ending.backend.passes`: the backend is away.
        """
        if self.most is not None:
            for task_id in task_ids:
                meta = self._backend.get_task_meta(task_id, cache=False)
                if meta["status"] != states.PENDING:
                    yield task_id, meta
            return
        for begin in range(0, len(task_ids), MANY):
            some = task_ids[begin : begin + MANY]
            found = self._backend.mget([self._backend.get_key_for_task(task_id) for task_id in some])
            for task_id, payload in zip(some, found, strict=True):
                if payload is not None:
                    yield task_id, self._backend.decode_result(payload)


def has_ended(meta: Meta) -> bool:
    return meta["status"] in states.READY_STATES


def row_of_result(id_: str, line: int, kind: str, task_id: str, meta: Meta) -> Row:
    """Return the row of a check that has ended."""
    at, result = _moment(meta.get("date_done")), meta.get("result")
    if meta["status"] == states.SUCCESS and isinstance(result, dict) and {"suggest", "label"} <= set(result):
        suggest, label, version = result["suggest"], result["label"], result.get("version")
        return Row(id_, line, task_id, suggest, label, result.get("kind", kind), version, at=at)
    failure = failure_of(result)
    name = failure["name"] if isinstance(result, BaseException) else str(meta["status"])
    return Row(id_, line, task_id, kind=kind, failure=name, errcode=failure["errcode"], at=at)


def unknown_row(id_: str, line: int, kind: str, task_id: str) -> Row:
    """Return the row of a check that may have been sent, and that left no trace."""
    return Row(id_, line, task_id, kind=kind, failure=UNKNOWN, at=_moment(None))


def invalid_row(id_: str, line: int) -> Row:
    """Return the row of a line that is no check."""
    return Row(id_, line, None, failure="InvalidCheck", at=_moment(None))


def _moment(done: object) -> str:
    if isinstance(done, str):
        done = datetime.fromisoformat(done)
    if not isinstance(done, datetime):
        done = datetime.now(UTC)
    return (done if done.tzinfo else done.replace(tzinfo=UTC)).isoformat(timespec="milliseconds")
