"""A kept message has all of the message that came, but what concerned its way here."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from celery import Celery
from celery.canvas import Signature
from kombu import Message

from worker.messages import appid_of, digest_in, digest_of, keep, renewed, time_in, with_retries
from wxcheck import CHECK_MEDIA, CHECK_TEXT

URL = "https://a.example/hush.jpg"


def message(*args: Any, name: str = CHECK_MEDIA, headers: dict[str, Any] | None = None, **kwargs: Any) -> Message:
    """The message of a check that came with all that a message can carry."""
    with Celery("test", broker="memory://", set_as_current=False) as app:
        made = app.amqp.as_task_v2(
            "task-1",
            name,
            args,
            kwargs,
            root_id="root-1",
            parent_id="parent-1",
            group_id="group-1",
            group_index=3,
            chord=Signature("application.album"),
            chain=[Signature("application.publish", args=(1,), options={"queue": "application"})],
            callbacks=[Signature("application.publish")],
            errbacks=[Signature("application.hide")],
            reply_to="reply-1",
            time_limit=10,
            soft_time_limit=5,
            ignore_result=True,
        )
    return Message(
        body=json.dumps(made.body, default=dict),
        headers={**made.headers, **(headers or {})},
        properties={**made.properties, "priority": 5, "delivery_tag": "tag-1", "delivery_info": {"exchange": ""}},
        content_type="application/json",
        content_encoding="utf-8",
    )


def test_a_kept_message_has_its_canvas_its_headers_and_its_priority() -> None:
    came = message(URL, "image", headers={"x_tenant": "t-1", "wxcheck_sent_at": 17.5, "stamps": {"tenant": "t-1"}})
    kept = json.loads(keep(came, "wxcheck.media"))
    assert kept["queue"] == "wxcheck.media"
    assert kept["body"] == came.body
    assert kept["headers"].items() >= {"id": "task-1", "x_tenant": "t-1", "wxcheck_sent_at": 17.5}.items()
    assert kept["headers"]["timelimit"] == [10, 5]
    assert (kept["headers"]["group"], kept["headers"]["group_index"], kept["headers"]["ignore_result"]) == (
        *("group-1", 3),
        True,
    )
    assert kept["properties"] == {"correlation_id": "task-1", "reply_to": "reply-1", "priority": 5}


def test_nothing_is_kept_of_the_way_by_which_a_message_came() -> None:
    eta = datetime.now(UTC).isoformat()
    came = message(URL, headers={"compression": "gzip", "redelivered": True, "eta": eta, "expires": eta})
    kept = json.loads(keep(came, "wxcheck.media"))
    assert not {"compression", "redelivered", "eta"} & set(kept["headers"])
    assert kept["headers"]["expires"] == eta


def test_a_body_of_bytes_is_kept_as_text() -> None:
    came = message(URL)
    text = keep(came, "wxcheck.media")
    came.body = came.body.encode()
    assert keep(came, "wxcheck.media") == text


def test_a_retry_changes_its_number_alone() -> None:
    text = keep(message(URL), "wxcheck.media")
    before, after = json.loads(text), json.loads(with_retries(text, 2))
    assert (before["headers"].pop("retries"), after["headers"].pop("retries")) == (0, 2)
    assert before == after


def test_a_message_waits_for_a_new_signature_once() -> None:
    text = keep(message(URL), "wxcheck.media")
    once = renewed(text)
    assert once is not None
    assert renewed(once) is None
    assert renewed(with_retries(once, 1)) is None


@pytest.mark.parametrize(
    ("said", "at"),
    [
        ("1970-01-01T00:01:00+00:00", 60.0),
        ("1970-01-01T08:01:00+08:00", 60.0),
        ("1970-01-01T00:01:00", 60.0),
        (None, None),
    ],
)
def test_a_time_is_read_as_utc_where_it_names_no_offset(said: Any, at: float | None) -> None:
    assert time_in(message(URL, headers={"eta": said}), "eta") == at


@pytest.mark.parametrize(
    ("name", "args", "kwargs", "appid"),
    [
        (CHECK_TEXT, ("x",), {"appid": "wx2"}, "wx2"),
        (CHECK_TEXT, ("x", None, None, None, None, None, "wx2"), {}, "wx2"),
        (CHECK_MEDIA, (URL, "image", None, None, "wx2"), {}, "wx2"),
        (CHECK_MEDIA, (URL, "image"), {}, "wx1"),
        (CHECK_MEDIA, (URL,), {"appid": 7}, "wx1"),
    ],
)
def test_the_appid_is_read_wherever_it_may_stand(
    name: str, args: tuple[Any, ...], kwargs: dict[str, Any], appid: str
) -> None:
    assert appid_of(name, args, kwargs, "wx1") == appid


def test_the_digest_is_that_of_task_and_arguments_and_none_of_what_cannot_be_read() -> None:
    assert digest_in(message(URL, media_type="image")) == digest_of(CHECK_MEDIA, [URL], {"media_type": "image"})
    broken = message(URL)
    broken.body = "{"
    assert digest_in(broken) == ""
