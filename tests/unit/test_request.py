"""How a worker shows a message: never with its arguments, whoever sent it."""

from __future__ import annotations

import json

from kombu import Message

from tasks.text import check_text
from worker.app import app
from worker.request import CheckRequest

CONTENT = "what a user wrote"


def received() -> CheckRequest:
    """A check as a client sends it that knows nothing but its name."""
    message = app.amqp.create_task_message("task-1", "wxcheck.check_text", (CONTENT,), {"title": CONTENT})
    assert CONTENT in message.headers["argsrepr"]
    return CheckRequest(
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
        task=check_text,
        hostname="here",
    )


def test_events_show_no_arguments() -> None:
    request = received()
    assert CONTENT not in request.argsrepr + request.kwargsrepr


def test_inspect_and_flower_show_no_arguments() -> None:
    assert CONTENT not in repr(received().info())
    assert CONTENT not in repr(received().info(safe=False))


def test_the_records_that_celery_logs_carry_no_arguments() -> None:
    # Celery puts these into each record's 'data', which a handler may print
    headers = received().request_dict
    assert CONTENT not in headers["argsrepr"] + headers["kwargsrepr"]
