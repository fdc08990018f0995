"""A worker is told that a check goes on whose run Celery's tracing takes for failed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis
from billiard.einfo import ExceptionInfo
from celery.app.trace import TraceInfo, trace_ok_t
from celery.exceptions import Ignore
from celery.states import FAILURE, IGNORED

from store.outbox.outbox import Run, current_run
from tasks import base
from tasks.base import EndingTask
from worker.celery_parts.request import ALONE, GivenBack

LOST = redis.exceptions.ConnectionError("lost")


class Task(EndingTask):
    """One whose end gets into the store where ``commits`` says so."""

    def __init__(self, commits: Callable[[], bool]) -> None:
        self.commits = commits
        self.released: list[str] = []

    def end(self, run: Run, _retval: Any, _task_id: str, _kwargs: Any) -> None:
        run.is_told = True
        run.is_committed = self.commits()

    def ends_in_one_step(self, _request: dict[str, Any], _kwargs: Any) -> bool:
        return True  # asked of the runtime else, which would keep a Redis' time in this process for good

    def leave_to_others(self, _run: Run, task_id: str, _kwargs: Any) -> None:
        self.released.append(task_id)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "STORE_PAUSE", 0)


def traced(task: Task, *, fails: Exception = LOST, **run: bool) -> tuple[str, Any]:
    """State and exception that a worker is told, where Celery says that the task failed, of a run as described."""

    def trace(*_: Any) -> Any:
        current = current_run()
        assert current is not None
        vars(current).update(run)
        try:
            raise fails
        except type(fails):
            return trace_ok_t(ExceptionInfo(), TraceInfo(FAILURE, fails), 0.0, None)

    told = task._traced(trace)("task-id", (), {}, {})
    return told.info.state, exception_of(told)


def exception_of(told: Any) -> Any:
    """As billiard carries it to another process."""
    return getattr(told.retval.exception, "exc", told.retval.exception)


def test_a_check_on_the_shelf_is_done_with_though_its_retry_could_not_be_told() -> None:
    """Else its message would go back, beside the one on the shelf, and cost it no attempt."""
    task = Task(commits=lambda: False)
    state, exception = traced(task, is_shelved=True, is_broken=True)
    assert (state, type(exception)) == (IGNORED, Ignore)
    assert task.released == []


def test_a_failure_of_what_follows_is_told_to_the_task_and_ends_the_check() -> None:
    failure = KeyError("x")
    state, exception = traced(Task(commits=lambda: True), fails=failure)
    assert (state, exception.args) == (FAILURE, failure.args)


@pytest.mark.parametrize(("broken", "why"), [(True, "store"), (False, ALONE)])
def test_an_end_that_is_not_in_the_store_has_the_message_come_back(broken: bool, why: str) -> None:
    task = Task(commits=lambda: False)
    state, exception = traced(task, is_broken=broken)
    assert (state, type(exception)) == (IGNORED, GivenBack)
    assert exception.args[0] == why
    assert task.released == ["task-id"]


def test_an_error_that_leaves_celerys_tracing_is_told_like_any_other() -> None:
    """A child process' consumer would acknowledge the message, and end nothing."""

    def trace(*_: Any) -> Any:
        raise KeyError("x")

    class Backend:
        def prepare_exception(self, error: Exception, _serializer: str) -> Exception:
            return error

    task = Task(commits=lambda: True)
    task.backend = Backend()
    with pytest.warns(RuntimeWarning):
        told = task._traced(trace)("task-id", (), {}, {})
    assert (told.info.state, exception_of(told).args) == (FAILURE, ("x",))
