"""A worker shows a message without its arguments, whoever sent it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from billiard.einfo import ExceptionInfo
from kombu import Message

import wxcheck
from tasks.media import check_media
from tasks.push import finish
from tasks.text import check_text
from worker.celery import app
from worker.celery_parts.request import CheckRequest, FinishRequest, ParkedCheck, raised
from worker.fetching.in_hand import InHand

CONTENT = "what a user wrote"


class Eventer:
    """Takes down what a worker tells the world."""

    enabled = True

    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, Any]]] = []

    def send(self, event: str, **fields: Any) -> None:
        self.told.append((event, fields))


def received(kind: type[CheckRequest] = CheckRequest, task: Any = check_text, **options: Any) -> CheckRequest:
    """A check as a client sends it that knows nothing but its name."""
    message = app.amqp.create_task_message("task-1", "wxcheck.check_text", (CONTENT,), {"title": CONTENT})
    assert CONTENT in message.headers["argsrepr"]
    return kind(
        Message(
            body=json.dumps(message.body),
            headers=message.headers,
            content_type="application/json",
            content_encoding="utf-8",
            delivery_tag="1",
            delivery_info={"exchange": "", "routing_key": "wxcheck.text"},
            properties=message.properties,
        ),
        app=app,
        task=task,
        hostname="here",
        **options,
    )


def test_events_show_no_arguments() -> None:
    request = received()
    assert CONTENT not in request.argsrepr + request.kwargsrepr


def test_inspect_and_flower_show_no_arguments() -> None:
    assert CONTENT not in repr(received().info())
    assert CONTENT not in repr(received().info(safe=False))


def test_a_message_in_the_hands_of_a_flow_is_described_by_values_that_json_can_hold() -> None:
    request = received()
    request.request_dict["delivery_info"].update(in_hand=InHand(), tag="1", process=1)
    described = json.loads(json.dumps(request.info()))
    assert set(described["delivery_info"]) == {"exchange", "routing_key", "priority", "redelivered"}


def test_the_records_that_celery_logs_carry_no_arguments() -> None:
    # Celery puts these into each record's 'data', which a handler may print
    headers = received().request_dict
    assert CONTENT not in headers["argsrepr"] + headers["kwargsrepr"]


@pytest.mark.parametrize(
    ("failure", "event"),
    [(wxcheck.CheckCancelled(), "task-cancelled"), (wxcheck.PushTimeout("trace-1"), "task-failed")],
    ids=["cancelled", "failed"],
)
def test_a_cancelled_check_tells_so_in_place_of_its_failure(failure: Exception, event: str) -> None:
    eventer = Eventer()
    request = received(FinishRequest, finish, eventer=eventer, on_ack=lambda *_: None)
    try:
        raise failure
    except type(failure):
        request.on_failure(ExceptionInfo(), return_ok=True)
    assert [(told, fields["uuid"]) for told, fields in eventer.told] == [(event, "task-1")]


def test_a_check_that_is_parked_tells_so_and_is_done_with() -> None:
    eventer = Eventer()
    acknowledged: list[object] = []
    request = received(CheckRequest, check_media, eventer=eventer, on_ack=lambda *_: acknowledged.append(1))
    request.on_failure(raised(ParkedCheck("trace-1", 10.0, 1870.0)), return_ok=True)
    assert eventer.told == [
        ("task-waiting", {"uuid": "task-1", "trace_id": "trace-1", "since": 10.0, "deadline": 1870.0})
    ]
    assert acknowledged
