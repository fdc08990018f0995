"""The rest of a check's message has all that its finish needs, and nothing of the run that was."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

from celery import Celery
from celery.app.task import Context
from celery.canvas import Signature

from store.parked.parked import Kept
from worker.messages import HIDDEN, decode_kept, keep_message, publish, rest_of, unfinished_message, without_this_run


def context(**more: Any) -> Context:
    """The request of a check that came with all that a message can carry."""
    chain = [Signature("application.publish", args=(1,), options={"queue": "application"})]
    return Context(
        id="task-1",
        task="wxcheck.check_media",
        args=["https://a.example/hush.jpg"],
        kwargs={"media_type": "image"},
        root_id="root-1",
        parent_id="parent-1",
        group="group-1",
        group_index=3,
        chord=Signature("application.album"),
        chain=chain,
        callbacks=[Signature("application.publish")],
        errbacks=[Signature("application.hide")],
        headers={"x_tenant": "t-1", "wxcheck_sent_at": 17.5},
        stamped_headers=["tenant"],
        stamps={"tenant": "t-1"},
        reply_to="reply-1",
        correlation_id="task-1",
        delivery_info={"priority": 5, "routing_key": "wxcheck.media"},
        retries=2,
        expires="2026-01-01T00:00:00",
        timelimit=[10, 5],
        ignore_result=False,
        **more,
    )


def kept(*, with_arguments: bool) -> Kept:
    with Celery("test", broker="memory://", set_as_current=False) as app:
        task = SimpleNamespace(app=app, name="wxcheck.check_media", request=context())
        return keep_message(task, "wx1", "t1", "image", with_arguments=with_arguments)


def test_the_rest_of_a_message_is_json_without_its_arguments() -> None:
    rest, kind, arguments = decode_kept(kept(with_arguments=False))
    assert (kind, arguments) == ("image", None)
    assert "hush" not in json.dumps(rest)
    assert rest["task_id"] == "task-1"
    assert (rest["root_id"], rest["parent_id"]) == ("root-1", "parent-1")
    assert (rest["group_id"], rest["group_index"]) == ("group-1", 3)
    assert rest["chord"]["task"] == "application.album"
    assert [step["task"] for step in rest["chain"]] == ["application.publish"]
    assert [step["task"] for step in rest["link"]] == ["application.publish"]
    assert [step["task"] for step in rest["link_error"]] == ["application.hide"]
    assert rest["headers"]["x_tenant"] == "t-1"
    assert rest["reply_to"] == "reply-1"
    assert rest["shadow"] == "wxcheck.check_media"


def test_the_finish_begins_anew_without_the_bounds_of_the_first_run() -> None:
    rest = decode_kept(kept(with_arguments=False)).rest
    assert rest["retries"] == 0
    assert rest.get("priority") is None
    assert not {"expires", "time_limit", "soft_time_limit"} & set(rest)


def test_a_check_that_may_be_replayed_keeps_its_arguments_beside_the_rest() -> None:
    encoded = kept(with_arguments=True)
    message = unfinished_message(encoded)
    assert message["rest"]["priority"] == 5
    assert (message["name"], message["queue"]) == ("wxcheck.check_media", "wxcheck.media")
    assert "hush" in json.dumps([message["args"], message["kwargs"]])
    assert "hush" not in json.dumps(message["rest"])
    assert not {"shadow", "kind", "arguments"} & set(message["rest"])
    assert "hush" not in json.dumps(decode_kept(encoded).rest)


def test_of_a_check_whose_arguments_were_not_kept_only_the_name_is_known() -> None:
    assert unfinished_message(kept(with_arguments=False)) == {"name": "wxcheck.check_media"}


def test_a_check_that_goes_to_the_shelf_keeps_its_retries_and_its_bounds() -> None:
    rest = rest_of(context())
    assert rest["retries"] == 2
    assert (rest["expires"], rest["time_limit"], rest["soft_time_limit"]) == ("2026-01-01T00:00:00", 10, 5)


def test_a_check_that_is_replayed_loses_the_bounds_of_the_first_run_and_nothing_else() -> None:
    rest = rest_of(context())
    replayed = without_this_run(rest)
    assert set(rest) - set(replayed) == {"expires", "time_limit", "soft_time_limit"}
    assert rest | replayed == rest


def test_a_result_that_is_ignored_stays_ignored() -> None:
    request = context()
    request.ignore_result = True
    assert rest_of(request)["ignore_result"] is True


def test_a_continuation_is_published_under_the_same_task_id_with_nothing_shown() -> None:
    with Celery("test", broker="memory://", set_as_current=False) as app, app.connection_for_read() as connection:
        rest = decode_kept(kept(with_arguments=True)).rest
        publish(app, "wxcheck.finish", "wxcheck.push", rest, kwargs={"trace_id": "hush"})
        message = app.amqp.queues["wxcheck.push"](connection.default_channel).get(no_ack=True)
    headers = message.headers
    assert (headers["id"], headers["task"]) == ("task-1", "wxcheck.finish")
    assert (headers["root_id"], headers["parent_id"]) == ("root-1", "parent-1")
    assert (headers["argsrepr"], headers["kwargsrepr"]) == (HIDDEN["argsrepr"], HIDDEN["kwargsrepr"])
    assert headers["x_tenant"] == "t-1"
    assert "hush" not in json.dumps(headers)
    assert message.properties["priority"] == 5
    args, kwargs, embedded = message.payload
    assert (args, kwargs) == ([], {"trace_id": "hush"})
    assert [step["task"] for step in embedded["chain"]] == ["application.publish"]
    assert embedded["chord"]["task"] == "application.album"
