"""The client hides arguments, and its failures survive every result backend.

Tests: wxcheck
"""

from __future__ import annotations

import ast
import inspect
import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, chain
from celery.canvas import Signature

import wxcheck
from wxcheck import check_media, check_text

FAILURES: list[wxcheck.CheckError] = [
    wxcheck.InvalidCheck("content: empty"),
    wxcheck.StaleCheck(7000.5, 6600),
    wxcheck.CheckRefused(61010, "用户未在近两小时访问小程序 rid: a-b-c", "a-b-c"),
    wxcheck.CheckRefused(40164, "invalid ip 127.0.0.1"),
    wxcheck.PlatformUnavailable(-1),
    wxcheck.PlatformUnavailable("HTTP 502"),
    wxcheck.MediaUnavailable(-1008, "下载错误"),
    wxcheck.MediaUnavailable(43104, "appid not match with openid"),
    wxcheck.PushTimeout("65f0-1-2"),
    wxcheck.CheckCancelled(),
]


def test_every_failure_of_the_tree_is_tried_here() -> None:
    assert {type(failure) for failure in FAILURES} == set(wxcheck.CheckError.__subclasses__())
    assert {failure.__name__ for failure in wxcheck.CheckError.__subclasses__()} < set(wxcheck.__all__)


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
def test_a_failure_is_the_same_again_after_its_arguments_were_json(failure: wxcheck.CheckError) -> None:
    again = type(failure)(*json.loads(json.dumps(failure.args)))
    assert again.args == failure.args
    assert vars(again) == vars(failure)
    assert str(again) == str(failure)


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
def test_a_failure_is_the_same_again_after_celerys_result_backend(failure: wxcheck.CheckError) -> None:
    with Celery("test", backend="cache+memory://", set_as_current=False) as app:
        stored = app.backend.prepare_exception(failure, serializer="json")
        again = app.backend.exception_to_python(json.loads(json.dumps(stored)))
    assert type(again) is type(failure)
    assert again.args == failure.args
    assert vars(again) == vars(failure)


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
def test_the_arguments_of_a_failure_are_those_of_its_constructor_in_order(failure: wxcheck.CheckError) -> None:
    if isinstance(failure, wxcheck.CheckCancelled):
        assert failure.args == ()
        return
    names = list(inspect.signature(type(failure)).parameters)
    assert failure.args == tuple(getattr(failure, name) for name in names)


def test_a_text_is_a_signature_with_name_queue_and_what_was_given() -> None:
    check = check_text("汉字", openid="o1", scene=2, title="t", nickname="n", appid="wxa")
    assert isinstance(check, Signature)
    assert (check.task, check.options["queue"]) == ("wxcheck.check_text", "wxcheck.text")
    assert check.args == ()
    assert check.kwargs == {
        "content": "汉字",
        "openid": "o1",
        "scene": 2,
        "title": "t",
        "nickname": "n",
        "appid": "wxa",
    }


def test_a_picture_is_a_signature_too() -> None:
    check = check_media("https://a.example/b.jpg", "audio", openid="o1", scene=1)
    assert (check.task, check.options["queue"]) == ("wxcheck.check_media", "wxcheck.media")
    assert check.kwargs == {"media_url": "https://a.example/b.jpg", "media_type": "audio", "openid": "o1", "scene": 1}


def test_what_is_left_out_is_not_sent_so_that_the_step_before_can_give_it() -> None:
    assert check_text().kwargs == {}
    assert check_media().kwargs == {"media_type": "image"}


def test_an_empty_text_is_sent_and_refused_rather_than_taken_from_the_step_before() -> None:
    assert check_text("").kwargs == {"content": ""}


@pytest.mark.parametrize(
    "check", [check_text("hush", openid="hush", scene=1, title="hush"), check_media("https://a.example/hush")]
)
def test_arguments_are_kept_out_of_what_a_message_shows(check: Signature) -> None:
    with Celery("test", broker="memory://", set_as_current=False) as app, app.connection_for_read() as connection:
        check._app = app
        sent = check.apply_async()
        message = app.amqp.queues[check.options["queue"]](connection.default_channel).get(no_ack=True)
    assert message.headers["id"] == sent.id
    assert message.headers["task"] == check.task
    assert "hush" not in json.dumps(message.headers)
    assert "hush" not in json.dumps(message.properties)
    assert "hush" in json.dumps(message.payload)


def test_a_check_is_json_whatever_its_application_sends_by_itself() -> None:
    with Celery("test", broker="memory://", set_as_current=False) as app, app.connection_for_read() as connection:
        app.conf.task_serializer = "pickle"
        for check in (check_text("a"), check_media("https://a.example/b.jpg")):
            check._app = app
            check.apply_async()
            message = app.amqp.queues[check.options["queue"]](connection.default_channel).get(no_ack=True)
            assert message.content_type == "application/json"


def test_a_check_says_since_when_it_waits() -> None:
    check = check_text("a")
    before = time.time()
    with Celery("test", broker="memory://", set_as_current=False) as app, app.connection_for_read() as connection:
        check._app = app
        check.apply_async(headers={"x_tenant": "t-1"})
        message = app.amqp.queues["wxcheck.text"](connection.default_channel).get(no_ack=True)
    assert before <= message.headers[wxcheck.SENT_AT_HEADER] <= time.time()
    assert message.headers["x_tenant"] == "t-1"


def test_a_check_that_says_itself_since_when_it_waits_is_believed() -> None:
    check = check_text("a").set(headers={wxcheck.SENT_AT_HEADER: 17.5})
    with Celery("test", broker="memory://", set_as_current=False) as app, app.connection_for_read() as connection:
        check._app = app
        check.apply_async()
        message = app.amqp.queues["wxcheck.text"](connection.default_channel).get(no_ack=True)
    assert message.headers[wxcheck.SENT_AT_HEADER] == 17.5


def test_a_check_in_a_chain_survives_being_sent_as_json() -> None:
    flow = chain(Signature("a.upload"), check_media(media_type="audio"), Signature("a.publish"))
    again = Signature.from_dict(json.loads(json.dumps(flow)))
    assert again.tasks[1]["options"]["queue"] == "wxcheck.media"
    assert again.tasks[1]["options"]["kwargsrepr"] == "{…}"


def test_the_module_needs_nothing_but_celery() -> None:
    source = Path(inspect.getsourcefile(wxcheck) or "").read_text(encoding="utf-8")
    imported: set[Any] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imported |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or ".").split(".")[0])
    assert imported - set(sys.stdlib_module_names) == {"celery"}
