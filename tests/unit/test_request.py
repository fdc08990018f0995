"""A worker shows a message without its arguments, whoever sent it, and tells how its check went on."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace
from typing import Any

import pytest
from billiard.einfo import ExceptionInfo
from celery.worker.request import Request
from kombu import Message

import wxcheck
from tasks.media import check_media
from tasks.text import check_text
from worker.celery import app
from worker.celery_parts.request import CheckRequest, ParkedCheck, raised

CONTENT = "what a user wrote"


class Eventer:
    """Takes down what a worker tells the world."""

    enabled = True

    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, Any]]] = []

    def send(self, event: str, **fields: Any) -> None:
        self.told.append((event, fields))


def received(
    task: Any = check_text, queue: str = "text", cause: dict[str, Any] | None = None, **options: Any
) -> CheckRequest:
    """A check in hand, sent by a client that knows nothing but its name.

    ``queue``: the one that it was taken from. ``cause``: its end, if that is known.
    """
    message = app.amqp.create_task_message("task-1", "wxcheck.check_text", (CONTENT,), {"title": CONTENT})
    assert CONTENT in message.headers["argsrepr"]
    in_hand = Message(
        body=json.dumps(message.body),
        headers=message.headers,
        content_type="application/json",
        content_encoding="utf-8",
        delivery_tag="1",
        delivery_info={"exchange": "", "routing_key": "wxcheck.text"},
        properties=message.properties,
    )
    in_hand.in_hand = SimpleNamespace(held=SimpleNamespace(queue=queue, cause=cause))
    return CheckRequest(in_hand, app=app, task=task, hostname="here", **options)


def test_events_show_no_arguments() -> None:
    request = received()
    assert CONTENT not in request.argsrepr + request.kwargsrepr


def test_inspect_and_flower_show_no_arguments() -> None:
    assert CONTENT not in repr(received().info())
    assert CONTENT not in repr(received().info(safe=False))


def test_a_check_in_hand_is_described_by_values_that_json_can_hold_and_its_run_finds_it() -> None:
    request = received()
    assert request.request_dict["delivery_info"]["in_hand"] is request.message.in_hand
    described = json.loads(json.dumps(request.info()))
    assert set(described["delivery_info"]) == {"exchange", "routing_key", "priority", "redelivered"}


def test_the_records_that_celery_logs_carry_no_arguments() -> None:
    # Celery puts these into each record's 'data', which a handler may print
    headers = received().request_dict
    assert CONTENT not in headers["argsrepr"] + headers["kwargsrepr"]


@pytest.mark.parametrize(("queue", "is_dropped"), [("text", True), ("push", False)])
def test_a_check_whose_wait_is_over_runs_though_it_was_revoked(
    queue: str, is_dropped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dropped it would leave its chain hanging."""
    # Celery's own would store a result
    monkeypatch.setattr(Request, "revoked", lambda _: True)
    assert received(queue=queue).revoked() is is_dropped


@pytest.mark.parametrize(
    ("failure", "event"),
    [(wxcheck.CheckCancelled(), "task-cancelled"), (wxcheck.PushTimeout("trace-1"), "task-failed")],
    ids=["cancelled", "failed"],
)
def test_a_cancelled_check_tells_so_in_place_of_its_failure(failure: Exception, event: str) -> None:
    eventer = Eventer()
    request = received(check_media, "push", eventer=eventer, on_ack=lambda *_: None)
    try:
        raise failure
    except type(failure):
        request.on_failure(ExceptionInfo(), return_ok=True)
    assert [(told, fields["uuid"]) for told, fields in eventer.told] == [(event, "task-1")]


@pytest.mark.parametrize(
    ("cause", "told"),
    [(None, ["task-started"]), ({"ended": "done", "push": "{}"}, []), ({"ended": "timeout"}, [])],
    ids=["to be sent", "pushed", "overdue"],
)
def test_a_run_that_only_tells_an_end_tells_of_no_start(cause: dict[str, Any] | None, told: list[str]) -> None:
    eventer = Eventer()
    request = received(check_media, "media", cause, eventer=eventer, on_ack=lambda *_: None)
    request.on_accepted(1, time.monotonic())
    assert [event for event, _ in eventer.told] == told


def test_a_check_that_is_parked_tells_so_and_is_done_with() -> None:
    eventer = Eventer()
    acknowledged: list[object] = []
    request = received(check_media, "media", eventer=eventer, on_ack=lambda *_: acknowledged.append(1))
    request.on_failure(raised(ParkedCheck("trace-1", 10.0, 1870.0)), return_ok=True)
    assert eventer.told == [
        ("task-waiting", {"uuid": "task-1", "trace_id": "trace-1", "since": 10.0, "deadline": 1870.0})
    ]
    assert acknowledged
