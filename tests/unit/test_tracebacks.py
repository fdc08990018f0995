"""An exception that a task raises on purpose costs Celery no traceback, and a fault has its own."""

from __future__ import annotations

import pickle

import celery.app.trace
import pytest
from celery import Celery
from celery.exceptions import Ignore

from worker.celery_parts.request import GivenBack, ParkedCheck, raised
from worker.celery_parts.tracebacks import Outcome, use_brief_tracebacks
from wxcheck import CheckCancelled, PushTimeout


def outcome_of(error: Exception) -> Outcome:
    try:
        raise error
    except type(error):
        return Outcome()


@pytest.mark.parametrize(
    "error",
    [Ignore(), GivenBack("minute", 1.0, "wx1"), ParkedCheck("t1", 1.0, 2.0), PushTimeout("t1"), CheckCancelled()],
    ids=repr,
)
def test_where_a_task_ended_on_purpose_is_not_looked_for(error: Exception) -> None:
    for outcome in (outcome_of(error), raised(error)):
        assert (outcome.type, outcome.tb, outcome.traceback) == (type(error), None, "")
        assert outcome.exception.exc is error


def test_a_fault_has_its_traceback() -> None:
    outcome = outcome_of(ValueError("wrong"))
    assert "outcome_of" in outcome.traceback
    assert outcome.tb is not None


def test_it_comes_from_another_process_as_it_was() -> None:
    outcome = pickle.loads(pickle.dumps(raised(GivenBack("minute", 1.0, "wx1"))))  # noqa: S301 - our own
    assert outcome.exception.args == ("minute", 1.0, "wx1")
    assert isinstance(outcome.exception, GivenBack)


def test_celery_uses_it_for_what_its_tasks_raise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(celery.app.trace, "ExceptionInfo", celery.app.trace.ExceptionInfo)
    use_brief_tracebacks()
    with Celery("test", set_as_current=False) as app:

        @app.task(name="parks")
        def parks() -> None:
            raise ParkedCheck("t1", 1.0, 2.0)

        traced = celery.app.trace.build_tracer("parks", parks, app=app)("task-id", (), {}, {})
    assert isinstance(traced.retval, Outcome)
    assert traced.retval.tb is None
