"""A check ends once: by its run, or where the store does not take the end, by another one.

Tests: tasks.base, tasks.media, worker.run
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from billiard.einfo import ExceptionInfo
from celery.app.trace import TraceInfo, trace_ok_t
from celery.exceptions import Ignore
from celery.states import FAILURE, IGNORED

from store.places.forms import Ended, Held
from tasks import base
from tasks.base import SCRIPT_ATTEMPTS, STORE_ATTEMPTS, WxcheckTask, how_of
from tasks.media import _park
from worker.celery_parts.request import GivenBack, ParkedCheck, raised
from worker.run import Run, current_run
from wxcheck import CheckCancelled, CheckRefused, PushTimeout

LOST = redis.exceptions.ConnectionError("lost")
REFUSED = redis.exceptions.ResponseError("WRONGTYPE")


class Hand:
    """A check in hand whose end ``says`` what the store answers, or raises what it cannot."""

    task_id = "task-1"

    def __init__(self, says: str | Exception) -> None:
        self.held = Held("task-1", "run-1", "{}", {"kind": "text", "appid": "wx1"}, None)
        self.ends: list[Ended] = []
        self.is_moved = self.is_run = self.is_forgotten = False
        self._says = says

    def finish(self, ended: Ended, _settled: Any) -> str:
        self.ends.append(ended)
        if isinstance(self._says, Exception):
            raise self._says
        self.is_moved = True
        return self._says

    def forget(self) -> None:
        self.is_forgotten = True


class Statistics:
    def __init__(self) -> None:
        self.counted: list[str] = []

    def ended(self, *_: Any) -> None:
        self.counted.append("ended")

    def count(self, *parts: str) -> None:
        self.counted.append("|".join(parts))


class Task(WxcheckTask):
    """One without a store of its own."""

    def __init__(self) -> None:
        self.statistics = Statistics()
        letters = SimpleNamespace(letter_of=lambda *_: "")
        settings = SimpleNamespace(is_one_redis=True)
        self.used = SimpleNamespace(dead_letters=letters, statistics=self.statistics, settings=settings)

    @property
    def runtime(self) -> Any:
        return self.used


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "STORE_PAUSE", 0)


def failing(error: Exception) -> Callable[..., Any]:
    """Celery's tracing of a task that fails."""

    def trace(*_: Any) -> Any:
        try:
            raise error
        except type(error):
            return trace_ok_t(ExceptionInfo(), TraceInfo(FAILURE, error), 0.0, None)

    return trace


def traced(task: Task, hand: Hand, trace: Callable[..., Any]) -> tuple[str | None, Any]:
    """State and outcome that a worker is told of a run."""
    told = task._traced(trace, "task-1", (), {}, {"delivery_info": {"in_hand": hand}})
    exception = getattr(told.retval, "exception", None)
    return told.info and told.info.state, getattr(exception, "exc", exception) or told.retval


def test_a_run_that_ends_its_check_tells_its_outcome() -> None:
    task, hand = Task(), Hand("ended")
    assert traced(task, hand, lambda *_: trace_ok_t("a verdict", None, 0.0, None)) == (None, "a verdict")
    assert ([ended.how for ended in hand.ends], task.statistics.counted) == (["done"], ["ended"])


@pytest.mark.parametrize(
    ("failure", "how"),
    [
        (CheckRefused(40003, "", ""), "failed"),
        (PushTimeout("t"), "timeout"),
        (CheckCancelled(), "cancelled"),
        (KeyError("x"), "failed"),
    ],
)
def test_the_mark_of_a_failed_check_says_how_it_ended(failure: Exception, how: str) -> None:
    task, hand = Task(), Hand("ended")
    state, exception = traced(task, hand, failing(failure))
    assert (state, exception.args) == (FAILURE, failure.args)
    assert [ended.how for ended in hand.ends] == [how] == [how_of(failure)]


def test_a_check_that_has_moved_is_not_ended() -> None:
    task, hand = Task(), Hand("ended")

    def trace(*_: Any) -> Any:
        return trace_ok_t(raised(GivenBack("token")), TraceInfo(IGNORED), 0.0, None)

    state, exception = traced(task, hand, trace)
    assert (state, type(exception)) == (IGNORED, GivenBack)
    assert (hand.ends, task.statistics.counted) == ([], [])


def test_an_end_that_the_store_does_not_hear_of_is_left_to_another_run_and_told_to_nobody() -> None:
    task, hand = Task(), Hand(LOST)
    state, exception = traced(task, hand, failing(KeyError("x")))
    assert (state, type(exception)) == (IGNORED, Ignore)
    assert (len(hand.ends), hand.is_moved) == (STORE_ATTEMPTS, True)
    assert task.statistics.counted == ["refused_end"]


def test_an_end_that_another_run_has_told_is_told_to_nobody_again() -> None:
    task, hand = Task(), Hand("lost")
    state, exception = traced(task, hand, failing(KeyError("x")))
    assert (state, type(exception)) == (IGNORED, Ignore)
    assert (len(hand.ends), task.statistics.counted) == (1, [])


def test_a_check_whose_end_the_store_refuses_each_time_fails_and_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []
    monkeypatch.setattr(base, "failed", lambda _app, _left, error: error)
    monkeypatch.setattr(base, "send", lambda _app, what: sent.append(what))
    task, hand = Task(), Hand(REFUSED)
    traced(task, hand, failing(KeyError("x")))
    assert (sent, hand.is_forgotten) == ([REFUSED], True)
    assert len(hand.ends) <= 2 * SCRIPT_ATTEMPTS


def test_a_run_that_lacks_memory_ends_no_check() -> None:
    task, hand = Task(), Hand("ended")

    def trace(*_: Any) -> Any:
        raise MemoryError

    with pytest.raises(MemoryError):
        traced(task, hand, trace)
    assert hand.ends == []


def test_an_error_that_leaves_celerys_tracing_ends_the_check_like_any_other() -> None:
    """The consumer would acknowledge the message, and end nothing."""

    def trace(*_: Any) -> Any:
        raise KeyError("x")

    class Backend:
        def prepare_exception(self, error: Exception, _serializer: str) -> Exception:
            return error

    task, hand = Task(), Hand("ended")
    task.backend = Backend()
    with pytest.warns(RuntimeWarning):
        state, exception = traced(task, hand, trace)
    assert (state, exception.args) == (FAILURE, ("x",))
    assert [ended.how for ended in hand.ends] == ["failed"]


def test_the_run_of_a_thread_is_known_while_it_lasts_and_without_one_no_check_is_sent() -> None:
    seen: list[Run | None] = []

    def trace(*_: Any) -> Any:
        seen.append(current_run())
        return trace_ok_t("a verdict", None, 0.0, None)

    traced(Task(), Hand("ended"), trace)
    assert seen[0] is not None
    assert (seen[0].task_id, seen[0].appid) == ("task-1", "wx1")
    assert current_run() is None
    with pytest.raises(RuntimeError, match="apply_async"):
        Task()("a text")


@pytest.mark.parametrize(
    ("said", "outcome"), [("parked", ParkedCheck), ("ready", ParkedCheck), ("lost", Ignore), ("lane", Ignore)]
)
def test_a_check_is_told_to_wait_for_its_push_only_if_it_does(said: str, outcome: type[Exception]) -> None:
    """Its lease may have ended: then it waits in its lane again."""
    task = SimpleNamespace(
        runtime=SimpleNamespace(settings=SimpleNamespace(push_timeout=60)),
        shown=lambda *_: None,
        move=lambda _run, _step: said,
    )
    run: Any = SimpleNamespace(task_id="task-1", in_hand=SimpleNamespace(park=print), settled=None)
    check: Any = SimpleNamespace(appid="wx1", kind="image")
    with pytest.raises(Ignore) as raised_here:
        _park(task, run, check, "trace")  # type: ignore[arg-type]
    assert raised_here.type is outcome
