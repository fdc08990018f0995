"""Each publisher on a Redis broker chooses which priorities have a list of their own, and workers read them all.

Tests: status.queues, ops.doctor.lists, config.celery
"""

from __future__ import annotations

import json
import os
from typing import Any

import kombu.transport
import pytest
from celery import Celery
from kombu import Connection
from kombu.transport.redis import Transport as KombuTransport

import wxcheck
from config.celery import celery_configuration
from config.settings import Settings
from status.queues import Queues
from store.places.vouching import vouch
from tests.support.checks import runs, verdict_of, words
from tests.support.forked import WXCHECK, run
from tests.support.processes import eventually
from tests.support.recorder import Recorder
from tests.support.system import APPID, System, plain_client
from worker.celery_parts.transport import Transport

DATABASE = 7
TEN = list(range(10))


@pytest.fixture(autouse=True)
def kombus_own_transport(monkeypatch: pytest.MonkeyPatch) -> None:
    """An application has it; this process may have loaded the workers' app, which replaces it."""
    monkeypatch.setitem(kombu.transport._transport_cache, "redis", KombuTransport)


def client(url: str, **options: Any) -> Celery:
    """An application whose transport has ``options``."""
    app = plain_client(url)
    app.conf.broker_transport_options = options
    return app


def send(app: Celery, *priorities: int) -> list[Any]:
    kwargs = {"queue": wxcheck.TEXT_QUEUE}
    return [
        app.send_task(wxcheck.CHECK_TEXT, kwargs={"content": words()}, priority=priority, **kwargs)
        for priority in priorities
    ]


def process(system: System, *arguments: str) -> Any:
    """The JSON that a command prints of the database where no worker is."""
    environment = {**os.environ, **system.environment, "WXCHECK_REDIS_URL": system.database_url(DATABASE)}
    ran = run([WXCHECK, *arguments, "--json"], system.directory, environment)
    assert ran.stdout, ran.stderr
    said: list[Any] | dict[str, Any] = json.loads(ran.stdout)
    return said


def test_every_priority_of_an_application_that_has_ten_is_checked_and_followed_up(system: System) -> None:
    with client(system.redis_url, priority_steps=TEN) as app:
        for result in send(app, *TEN):
            assert verdict_of(result)["suggest"] == "pass"
        check = app.signature(wxcheck.CHECK_TEXT, kwargs={"content": words()}, queue=wxcheck.TEXT_QUEUE)
        # the application's worker reads kombu's four lists, in one of which a follow-up of any priority has to be
        after = [app.signature("application.publish", queue="application", priority=priority) for priority in TEN]
        for one in after:
            check.link(one)
        check.apply_async(priority=4)
        eventually(lambda: len(runs(system, "publish")) == len(TEN), "all follow-ups run")


def test_what_has_ten_priorities_is_checked_in_their_order(system: System) -> None:
    url = system.database_url(DATABASE)
    with system.database(DATABASE) as store, client(url, priority_steps=TEN) as app, Recorder() as platform:
        vouch(store, APPID)
        for priority in reversed(TEN):
            content = {"content": f"priority {priority}"}
            app.send_task(wxcheck.CHECK_TEXT, kwargs=content, queue=wxcheck.TEXT_QUEUE, priority=priority)
        worker = system.worker(
            "ten", "-c", "2", WXCHECK_REDIS_URL=url, WXCHECK_API_BASE=platform.url, WXCHECK_TEXT_PER_MINUTE="120"
        )
        eventually(lambda: len(platform.arrivals) == len(TEN), "all are checked")
        assert platform.contents() == [f"priority {priority}" for priority in TEN]
        assert worker.stop() == 0


def test_all_that_waits_is_counted_and_purged(system: System) -> None:
    url = system.database_url(DATABASE)
    with system.database(DATABASE) as store, client(url, priority_steps=TEN) as app:
        send(app, *TEN)
        settings = Settings(redis_url=url)
        assert Queues(settings, app).lengths([wxcheck.TEXT_QUEUE]) == {wxcheck.TEXT_QUEUE: 10}
        numbers = process(system, "status")
        assert isinstance(numbers, dict)
        assert {queue["name"]: queue["messages"] for queue in numbers["queues"]}[wxcheck.TEXT_QUEUE] == 10
        options = celery_configuration(settings)["broker_transport_options"]
        with Connection(url, transport=Transport, transport_options=options) as connection:
            assert connection.default_channel.queue_purge(wxcheck.TEXT_QUEUE) == 10
        assert store.keys(f"{wxcheck.TEXT_QUEUE}*") == []


def test_doctor_names_lists_of_its_queues_that_nobody_reads(system: System) -> None:
    url = system.database_url(DATABASE)
    with system.database(DATABASE):
        for options in ({"sep": ":"}, {"global_keyprefix": "shop_"}, {"priority_steps": TEN}):
            with client(url, **options) as app:
                send(app, 3, 3, 4)
        findings = process(system, "doctor")
        found = [one for one in findings if "nobody reads" in one["said"]]
        assert [(one["subject"], one["level"], one["said"]) for one in found] == [
            ("wxcheck.text", "bad", "3 messages wait in the list 'shop_wxcheck.text\\x06\\x163', which nobody reads"),
            ("wxcheck.text", "bad", "3 messages wait in the list 'wxcheck.text:3', which nobody reads"),
        ]
        for one in found:
            assert "sep or global_keyprefix" in one["remedy"]
