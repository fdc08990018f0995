"""Messages that this Celery would not write end by name: of old clients, other languages, and of nobody.

Tests: worker.intake.reading, worker.intake.redis_inbox, tasks.refused

A broker is no place of one's own: what else is written into the queues ends by name where it has an id, and is counted.
"""

from __future__ import annotations

import base64
import json
import os
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import kombu.transport
import pytest
from celery import Celery, chain, chord
from celery.canvas import Signature, chunks, xmap, xstarmap
from celery.result import AsyncResult
from kombu import Connection
from kombu.transport.redis import Transport as KombuTransport

import wxcheck
from tests.support.checks import ended, failure_of, picture, runs, send_text, verdict_of, words
from tests.support.forked import WXCHECK, run
from tests.support.processes import PATIENCE, eventually
from tests.support.queues import unacknowledged
from tests.support.system import OTHER_APPID, System, plain_client
from wechat.checks import TEXT_PATH

HUSH = "hush"
#: where no worker fetches
DATABASE = 6


@pytest.fixture(autouse=True)
def kombus_own_transport(monkeypatch: pytest.MonkeyPatch) -> None:
    """An application has it; this process may have loaded the workers' app, which replaces it."""
    monkeypatch.setitem(kombu.transport._transport_cache, "redis", KombuTransport)


def client(system: System, **configuration: Any) -> Celery:
    """An application's Celery that is set as ``configuration`` says."""
    app = plain_client(system.redis_url)
    app.conf.update(configuration)
    return app


@pytest.fixture
def old(system: System) -> Iterator[Celery]:
    """An application that speaks Celery's first protocol."""
    with client(system, task_protocol=1) as app:
        yield app


def task(app: Celery, name: str, *args: Any, **options: Any) -> Signature:
    return app.signature(f"application.{name}", args=args, queue="application", **options)


def text(app: Celery, content: str | None, **kwargs: Any) -> Signature:
    arguments = kwargs if content is None else {"content": content, **kwargs}
    return app.signature(wxcheck.CHECK_TEXT, kwargs=arguments, queue=wxcheck.TEXT_QUEUE)


def media(app: Celery, url: str) -> Signature:
    return app.signature(wxcheck.CHECK_MEDIA, kwargs={"media_url": url}, queue=wxcheck.MEDIA_QUEUE)


def put(system: System, queue: str, **message: Any) -> AsyncResult:
    """Puts a message on a queue as it is told; the result of the id that it has in its properties."""
    task_id = str(uuid.uuid4())
    raw = {
        "body": "[]",
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {},
        "properties": {
            "correlation_id": task_id,
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": queue},
            "delivery_tag": str(uuid.uuid4()),
            **message.pop("properties", {}),
        },
        **message,
    }
    system.redis.lpush(queue, json.dumps(raw))
    return AsyncResult(task_id, app=system.app)


def headers(task_name: str = wxcheck.CHECK_TEXT, **more: Any) -> dict[str, Any]:
    return {"lang": "py", "task": task_name, "id": str(uuid.uuid4()), "retries": 0, **more}


def counted(system: System) -> dict[str, int]:
    """The counts of such messages by the workers."""
    found: dict[Any, Any] = system.redis.hgetall("wxcheck:{statistics}")
    return {name: int(number) for name, number in found.items() if name.startswith("unreadable|")}


def is_counted(system: System, *fields: str) -> None:
    """Waits until all messages of a test are counted: what is left would be the next test's."""
    expected = Counter(f"unreadable|{field}" for field in fields)
    eventually(lambda: counted(system) == expected, f"{expected} is counted")


def told(system: System, *command: str, **settings: str) -> Any:
    """The JSON that a command of the operator's prints."""
    environment = {**os.environ, **system.environment, **settings}
    return json.loads(run([WXCHECK, *command, "--json"], system.directory, environment).stdout)


def refused(result: AsyncResult) -> str:
    failure = failure_of(result)
    assert isinstance(failure, wxcheck.InvalidCheck), failure
    assert HUSH not in failure.message
    return failure.message


# -- Celery's map, starmap and chunks


MAPS: list[tuple[str, Callable[[Signature], Signature]]] = [
    ("map", lambda check: xmap(check, [HUSH, HUSH])),
    ("starmap", lambda check: xstarmap(check, [(HUSH,), (HUSH,)])),
    ("chunks", lambda check: chunks(check, [(HUSH,), (HUSH,)], 1)),
]


@pytest.mark.parametrize("make", [case[1] for case in MAPS], ids=[case[0] for case in MAPS])
@pytest.mark.parametrize("check", [text, media], ids=["texts", "pictures"])
def test_a_map_of_checks_is_refused_without_a_call_and_names_group(
    system: System, make: Callable[[Signature], Signature], check: Any
) -> None:
    signature = make(check(system.app, None) if check is text else system.app.signature(wxcheck.CHECK_MEDIA))
    signature._app = system.app
    result = signature.apply_async(queue=wxcheck.TEXT_QUEUE)
    for part in getattr(result, "results", None) or [result]:
        assert "group" in refused(part)
    assert system.sandbox_stats()["calls"] == {}
    assert system.redis.keys("wxcheck:record:None") == []


# -- Celery's first protocol


def test_a_check_of_the_first_protocol_has_its_verdict(system: System, old: Celery) -> None:
    assert verdict_of(text(old, words("risky")).apply_async())["suggest"] == "risky"
    assert verdict_of(media(old, picture("risky")).apply_async())["suggest"] == "risky"


def test_a_check_of_the_first_protocol_with_another_appid_is_checked_for_that(system: System, old: Celery) -> None:
    assert verdict_of(text(old, words(), appid=OTHER_APPID).apply_async())["appid"] == OTHER_APPID


@pytest.mark.parametrize("check", [text, media], ids=["a text", "a picture"])
def test_what_follows_a_check_of_the_first_protocol_runs(system: System, old: Celery, check: Any) -> None:
    content = words if check is text else picture
    result = chain(check(old, content("risky")), task(old, "publish", "first")).apply_async()
    assert result.get(timeout=PATIENCE) == {"item": "first", "shown": False}
    album = chord([check(old, content()), check(old, content("risky"))])(task(old, "album"))
    assert album.get(timeout=PATIENCE) == ["pass", "risky"]


def test_the_errback_of_a_check_of_the_first_protocol_runs(system: System, old: Celery) -> None:
    def is_hidden(task_id: str) -> bool:
        return any(run["arguments"][0] == task_id for run in runs(system, "hide"))

    for failing in (text(old, ""), media(old, picture("unfetchable"))):
        result = failing.on_error(task(old, "hide", "old")).apply_async()
        assert isinstance(failure_of(result), wxcheck.CheckError)
        eventually(partial(is_hidden, result.id), "it is hidden")


def test_a_countdown_of_the_first_protocol_is_waited_for(system: System, old: Celery) -> None:
    result = text(old, words("risky")).apply_async(countdown=1.5)
    assert verdict_of(result)["suggest"] == "risky"


def test_a_check_of_the_first_protocol_that_waits_in_its_queue_is_shown(system: System) -> None:
    url = system.database_url(DATABASE)
    with system.database(DATABASE), plain_client(url) as waiting:
        waiting.conf.task_protocol = 1
        result = text(waiting, HUSH).apply_async()
        shown = told(system, "show", result.id, WXCHECK_REDIS_URL=url)
        assert (shown["state"], shown["queue"]) == ("inbox", wxcheck.TEXT_QUEUE)


def test_a_message_of_gocelery_has_its_verdict(system: System) -> None:
    """Its body has no kwargs, its properties name another id and another queue."""
    body: dict[str, Any] = {
        "id": str(uuid.uuid4()),
        "task": wxcheck.CHECK_TEXT,
        "args": [words("risky")],
        "kwargs": None,
    }
    body |= {"retries": 0, "eta": None, "expires": None}
    encoded = base64.b64encode(json.dumps(body).encode()).decode()
    raw: dict[str, Any] = {"body_encoding": "base64", "reply_to": str(uuid.uuid4())}
    raw["delivery_info"] = {"priority": 0, "routing_key": "celery", "exchange": "celery"}
    put(system, wxcheck.TEXT_QUEUE, body=encoded, headers=None, properties=raw)
    assert verdict_of(AsyncResult(body["id"], app=system.app))["suggest"] == "risky"


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"args": HUSH}, "body"),
    ({"kwargs": [HUSH]}, "body"),
    ({"task": "wxcheck.check_txt"}, "task"),
    ({"task": None}, "task"),
    ({"eta": HUSH}, "headers"),
    ({"retries": "1"}, "headers"),
]


def test_messages_of_the_first_protocol_that_are_wrong_fail_and_their_errbacks_run(system: System) -> None:
    sent = {}
    for wrong, _ in WRONG:
        task_id = str(uuid.uuid4())
        body = {"id": task_id, "task": wxcheck.CHECK_TEXT, "args": [HUSH], "kwargs": {}, "retries": 0}
        errback = task(system.app, "hide", "wrong")
        put(system, wxcheck.TEXT_QUEUE, body=json.dumps({**body, "errbacks": [errback], **wrong}))
        sent[task_id] = wrong
    for task_id, wrong in sent.items():
        assert refused(AsyncResult(task_id, app=system.app)), wrong
    eventually(lambda: {run["arguments"][0] for run in runs(system, "hide")} == set(sent), "their errbacks run")
    is_counted(system, *(f"{wxcheck.TEXT_QUEUE}|{why}" for _, why in WRONG))


# -- what nobody can decode


UNDECODABLE: list[tuple[str, dict[str, Any], str, str]] = [
    ("pickle", {"content-type": "application/x-python-serialize", "body": HUSH}, "content_type", "serializer"),
    ("yaml", {"content-type": "application/x-yaml", "body": HUSH}, "content_type", "serializer"),
    ("an unknown type", {"content-type": f"{HUSH} {HUSH}", "body": HUSH}, "content_type", "serializer"),
    ("no type", {"content-type": None, "body": HUSH}, "body", "protocol"),
    ("broken JSON", {"body": f'[["{HUSH}"], {{}}'}, "body", "JSON"),
    ("deep JSON", {"body": "[" * 100_000}, "body", "JSON"),
    ("another JSON", {"body": f'"{HUSH}"'}, "body", "protocol"),
    ("no body", {"body": ""}, "body", "protocol"),
    ("a list of two", {"body": f'[["{HUSH}"], {{}}]'}, "body", "protocol"),
    ("arguments that are none", {"headers": headers(), "body": f'["{HUSH}", {{}}, {{}}]'}, "body", "protocol"),
    ("no UTF-8", {"properties": {"body_encoding": "base64"}, "body": "/////w=="}, "body", "JSON"),
    ("no base64", {"properties": {"body_encoding": "base64"}, "body": HUSH + "x"}, "encoding", "base64"),
    ("an unknown encoding", {"properties": {"body_encoding": HUSH}, "body": "[]"}, "encoding", "base64"),
    ("an unknown compression", {"headers": headers(compression=f"{HUSH} {HUSH}")}, "compression", "compression"),
    ("a broken compression", {"headers": headers(compression="gzip"), "body": HUSH}, "compression", "compression"),
    ("an unknown task", {"headers": headers(f"{HUSH} {HUSH}"), "body": "[[], {}, {}]"}, "task", wxcheck.CHECK_TEXT),
    ("a due time that is none", {"headers": headers(eta=HUSH), "body": "[[], {}, {}]"}, "headers", "eta"),
    ("an expiry that is none", {"headers": headers(expires=[1]), "body": "[[], {}, {}]"}, "headers", "expires"),
    ("retries that are none", {"headers": headers(retries=HUSH), "body": "[[], {}, {}]"}, "headers", "retries"),
    ("a time limit", {"headers": headers(timelimit=HUSH), "body": "[[], {}, {}]"}, "headers", "timelimit"),
]


@pytest.mark.parametrize("queue", [wxcheck.TEXT_QUEUE, "wxcheck.push"])
def test_what_cannot_be_read_fails_under_its_id_and_is_counted(system: System, queue: str) -> None:
    sent = []
    for name, message, _, told in UNDECODABLE:
        anew = json.loads(json.dumps(message))
        result = put(system, queue, **anew)
        if "headers" in anew:
            result = AsyncResult(anew["headers"]["id"], app=system.app)
        sent.append((name, result, told))
    for name, result, told in sent:
        assert told in refused(result), name
    is_counted(system, *(f"{queue}|{why}" for _, _, why, _ in UNDECODABLE))
    assert verdict_of(send_text(system.app, words()))["suggest"] == "pass"
    eventually(lambda: not unacknowledged(system.redis), "the messages are done with")
    lines = [line for process in system.started if process.name == "worker" for line in process.output.splitlines()]
    assert [line for line in lines if HUSH in line] == []


STRANGE: list[Any] = [5, -1.5, "x", "", True, [], [5], [None], {}, {"a": 1}, [{"a": 1}], ["x"]]
FOLLOWS = ("callbacks", "errbacks", "chain", "chord")
#: what Celery has in headers, and what it knows of a run by itself
HEADERS = (
    *("lang", "shadow", "group", "group_index", "root_id", "parent_id", "origin", "argsrepr", "kwargsrepr", "stamps"),
    *("stamped_headers", "replaced_task_nesting", "timelimit", "retries", "eta", "expires", "hostname", "get", "tag"),
    *("args", "kwargs", "headers", "delivery_info", "reply_to", "is_eager", "called_directly"),
)


def test_whatever_stands_where_celery_has_something_else_ends_the_check_and_not_the_worker(system: System) -> None:
    """A message that ends its worker ends the next one too."""
    sent = {}
    for value in STRANGE:
        for name in (*FOLLOWS, *HEADERS):
            message = headers() if name in FOLLOWS else headers(**{name: value})
            embedded = {name: value} if name in FOLLOWS else {}
            put(system, wxcheck.TEXT_QUEUE, headers=message, body=json.dumps([[words()], {}, embedded]))
            sent[message["id"]] = (name, value)
    for task_id, case in sent.items():
        assert ended(AsyncResult(task_id, app=system.app)).state in ("SUCCESS", "FAILURE"), case
    eventually(lambda: not unacknowledged(system.redis), "the messages are done with")
    ends = [AsyncResult(task_id, app=system.app).result for task_id in sent]
    failed = sum(isinstance(end, wxcheck.InvalidCheck) for end in ends)
    assert failed > len(STRANGE)
    eventually(lambda: sum(counted(system).values()) == failed, "what could not be run is counted, each once")


def test_a_pickled_check_of_an_application_fails_by_name(system: System) -> None:
    with client(system, task_serializer="pickle", accept_content=["json", "pickle"]) as app:
        result = send_text(app, HUSH)
        assert 'serializer="json"' in refused(result)
        # the client's own signatures say json, whatever the application's default is
        check = wxcheck.check_text(words("risky"))
        check._app = app
        assert verdict_of(check.apply_async())["suggest"] == "risky"
    assert system.calls(TEXT_PATH) == 1
    is_counted(system, f"{wxcheck.TEXT_QUEUE}|content_type")
    (said,) = [one for one in told(system, "status")["troubles"] if one["key"].startswith("messages_")]
    assert (said["key"], said["level"]) == ("messages_content_type", "bad")
    assert said["said"]["en"].startswith(f"1 messages of the last hour in {wxcheck.TEXT_QUEUE} could not be run")
    assert 'serializer="json"' in said["remedy"]["en"]
    assert said["said"]["en"] in [one["said"] for one in told(system, "doctor")]


def test_what_has_no_id_is_dropped_and_counted(system: System) -> None:
    bodies = ["[[], {}, {}]", "{}", '{"task": "nobody"}', "no JSON", '{"id": 5, "task": "nobody"}']
    for body in bodies:
        put(system, wxcheck.TEXT_QUEUE, body=body, properties={"correlation_id": None})
    system.redis.lpush(wxcheck.TEXT_QUEUE, "no message of kombu's")
    is_counted(system, *[f"{wxcheck.TEXT_QUEUE}|no_id"] * len(bodies), f"{wxcheck.TEXT_QUEUE}|no_message")
    assert verdict_of(send_text(system.app, words()))["suggest"] == "pass"
    eventually(lambda: not unacknowledged(system.redis), "their messages are done with")


def test_an_unreadable_part_of_a_chord_fails_the_chord(system: System) -> None:
    header = [text(system.app, words()), system.app.signature("wxcheck.check_txt", queue=wxcheck.TEXT_QUEUE)]
    result = chord(header)(task(system.app, "album").on_error(task(system.app, "hide", "album")))
    assert ended(result).failed()
    eventually(lambda: runs(system, "hide"), "the errback of the body runs")
    is_counted(system, f"{wxcheck.TEXT_QUEUE}|task")


# -- on another broker


def test_on_rabbitmq_they_end_by_name_too(tmp_path: Path) -> None:
    system = System(tmp_path, topology="RabbitMQ")
    try:
        system.sandbox()
        system.worker(queues=wxcheck.TEXT_QUEUE)
        url = system.servers.broker
        with plain_client(url, system.redis_url) as old, Connection(url) as connection:
            with connection.channel() as channel:
                channel.queue_declare("dropped", durable=True, auto_delete=False)
            policy = {"dead-letter-exchange": "", "dead-letter-routing-key": "dropped"}
            assert system.servers.rabbitmq is not None
            system.servers.rabbitmq.control("set_policy", "dropped", r"^wxcheck\.text$", json.dumps(policy))
            old.conf.task_protocol = 1
            assert verdict_of(text(old, words("risky")).apply_async())["suggest"] == "risky"
            sent = []
            with connection.Producer() as producer:
                for kind, encoding, body, more in (
                    ("application/x-python-serialize", "binary", HUSH.encode(), {}),
                    ("application/json", "utf-8", HUSH, {}),
                    ("application/json", HUSH, b"\xff\xfe[]", {}),
                    ("application/json", "utf-8", "[[], {}, {}]", headers("wxcheck.check_txt")),
                    ("application/json", "utf-8", "[[], {}, {}]", headers(compression=f"{HUSH} {HUSH}")),
                ):
                    task_id = more.get("id") or str(uuid.uuid4())
                    properties = {"content_type": kind, "content_encoding": encoding, "correlation_id": task_id}
                    producer.publish(body, routing_key=wxcheck.TEXT_QUEUE, headers=more, **properties)
                    sent.append(AsyncResult(task_id, app=old))
                producer.publish("[[], {}, {}]", routing_key=wxcheck.TEXT_QUEUE, content_type="application/json")
            # one without an id: RabbitMQ keeps it where its users say so
            with connection.SimpleQueue("dropped") as dropped:
                assert dropped.get(timeout=PATIENCE).payload == [[], {}, {}]
            for result in sent:
                assert refused(result)
            reasons = ("content_type", "body", "body", "task", "compression", "no_id")
            is_counted(system, *(f"{wxcheck.TEXT_QUEUE}|{reason}" for reason in reasons))
            assert verdict_of(send_text(old, words()))["suggest"] == "pass"
            with connection.channel() as channel:
                assert channel.queue_declare(wxcheck.TEXT_QUEUE, passive=True).message_count == 0
    finally:
        system.close()
