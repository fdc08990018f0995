"""No output at DEBUG level, no event and no page of Flower shows a secret, or content of users."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from celery import chain, chord
from celery.events import EventReceiver
from celery.result import AsyncResult

import wxcheck
from store.places.shard import SHARD
from tests.support.checks import (
    V2,
    cancel,
    ended,
    failure_of,
    media_push,
    parked,
    push,
    send_media,
    send_text,
    time_comes,
    waiting,
)
from tests.support.ports import free_port
from tests.support.processes import PATIENCE, eventually
from tests.support.system import AES_KEY, APPID, PUSH_TOKEN, SECRET, System

#: in every text
WRITTEN = f"hushtext{uuid.uuid4().hex}"
#: in every URL
LINKED = f"hushlink{uuid.uuid4().hex}"
#: in a magic value that the sandbox quotes as the keyword that it found: a delay that is a number of its own
QUOTED = "000173942"

#: seconds; long enough to look at a check that runs
SLOW = 2


class Events:
    """Everything that workers tell the world while the test runs."""

    def __init__(self, system: System) -> None:
        self.captured: list[str] = []
        self.kinds: set[str] = set()
        self._connection = system.app.connection_for_read()
        self._receiver = EventReceiver(self._connection, handlers={"*": self._take}, app=system.app)
        self._thread = threading.Thread(target=self._receiver.capture, kwargs={"wakeup": False})
        self._thread.start()

    def _take(self, event: dict[str, Any]) -> None:
        self.kinds.add(event["type"])
        self.captured.append(json.dumps(event, default=str, ensure_ascii=False))

    def close(self) -> None:
        self._receiver.should_stop = True
        self._thread.join(PATIENCE)
        self._connection.close()


class Observed:
    """A system at DEBUG level, with a worker of either pool and with Flower."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.tokens: set[str] = set()
        self.told: dict[str, str] = {}
        port = free_port()
        self.flower_url = f"http://127.0.0.1:{port}"
        command = ["celery", "-A", "worker", "flower", f"--port={port}", "--address=127.0.0.1", "--logging=debug"]
        self.processes = [
            system.sandbox("--log-level", "debug"),
            system.endpoint("--log-level", "debug"),
            system.run("flower", command, FLOWER_UNAUTHENTICATED_API="true"),
            system.application(),
        ]
        self.workers = [
            system.worker("threads", "-P", "threads", "-c", "4", "--loglevel=DEBUG"),
            system.worker("solo", "-P", "solo", "--loglevel=DEBUG"),
        ]
        self.processes += self.workers
        self.events = Events(system)
        eventually(lambda: self._answers("/api/workers"), "Flower answers")

    def _answers(self, path: str) -> bool:
        try:
            return requests.get(self.flower_url + path, timeout=PATIENCE).ok
        except requests.ConnectionError:
            return False

    def look_at_flower(self, when: str, task_ids: list[str]) -> None:
        """Keeps what a browser and a program would get."""
        names = list(requests.get(f"{self.flower_url}/api/workers?refresh=1", timeout=30).json())
        listed = "draw=1&start=0&length=1000&search[value]=&order[0][column]=0&order[0][dir]=asc&columns[0][data]=name"
        paths = ["/workers", "/tasks", f"/tasks/datatable?{listed}", "/broker", "/api/tasks", "/api/workers"]
        paths += [f"/worker/{name}" for name in names] + [f"/task/{task_id}" for task_id in task_ids]
        paths += [f"/api/task/info/{task_id}" for task_id in task_ids]
        for path in paths:
            answer = requests.get(self.flower_url + path, timeout=30)
            assert answer.status_code == 200, path
            self.told[f"Flower's {path.split('?')[0]} {when}"] = answer.text

    def sees_both_checks_run(self) -> bool:
        self.inspect("while checks run")
        active = self.told["inspect active while checks run"]
        return wxcheck.CHECK_TEXT in active and wxcheck.CHECK_MEDIA in active

    def inspect(self, when: str) -> None:
        """Keeps what ``celery inspect`` tells."""
        inspection = self.system.app.control.inspect(timeout=1)
        for what in ("active", "reserved", "scheduled", "query_task"):
            reply = inspection.query_task([]) if what == "query_task" else getattr(inspection, what)()
            self.told[f"inspect {what} {when}"] = json.dumps(reply, default=str)

    def keep_token(self) -> None:
        token = self.system.redis.hget(SHARD.of_lane("text", APPID)[-1], "value")
        assert token
        self.tokens.add(str(token))


@pytest.fixture
def observed(tmp_path: Path) -> Iterator[Observed]:
    system = System(tmp_path)
    observed = None
    try:
        observed = Observed(system)
        yield observed
    finally:
        if observed is not None:
            observed.events.close()
        system.close()


def text(*directives: str) -> str:
    return f"{WRITTEN} {uuid.uuid4().hex} sandbox:{','.join(directives or ('pass',))} {WRITTEN}"


def url(*directives: str) -> str:
    sandbox = f"sandbox={','.join(directives or ('pass',))}"
    return f"https://img.example.com/{uuid.uuid4().hex}.jpg?key={LINKED}&{sandbox}"


def by_client(system: System, check: Any, *args: Any, **kwargs: Any) -> Any:
    signature = check(*args, **kwargs)
    signature._app = system.app
    return signature


def everything(system: System) -> list[AsyncResult]:
    """Checks of every kind and outcome, by name and by the client; those that have to be ended."""
    app = system.app
    publish = app.signature("application.publish", queue="application")
    album = app.signature("application.album", queue="application")
    hide = app.signature("application.hide", queue="application")
    quoted = f"slow=0.{QUOTED}"
    named = app.signature(wxcheck.CHECK_TEXT, args=(text("risky", quoted),), kwargs=dict(V2), queue=wxcheck.TEXT_QUEUE)
    flows = [
        chain(by_client(system, wxcheck.check_text, text("risky", quoted), **V2), publish).apply_async(),
        chain(named.clone(), publish).apply_async(),
        chain(by_client(system, wxcheck.check_media, url("risky")), publish).apply_async(),
        chord([named.clone(), by_client(system, wxcheck.check_text, text("risky", quoted), **V2)])(album),
        chord([by_client(system, wxcheck.check_media, url()), by_client(system, wxcheck.check_media, url("early"))])(
            album
        ),
    ]
    faults = ["pass", "-1*1", "http=502*1", "reset*1", "html*1", "40001*1", "87020", "99999"]
    texts = [send_text(app, text(fault)) for fault in faults]
    texts += [
        send_text(app, text("risky", quoted), **V2, title=WRITTEN, nickname=WRITTEN),
        send_text(app, text("no_result"), **V2),
        send_text(app, WRITTEN * 10_000),
        send_text(app, WRITTEN * 100, **V2),
        send_text(app, WRITTEN + "\x00"),
        send_text(app, WRITTEN + "\ud800"),
        send_text(app, [WRITTEN]),
        send_text(app, text(), unknown=WRITTEN),
        send_text(app, text(), title=WRITTEN),
        app.send_task(wxcheck.CHECK_TEXT, args=[text()], queue=wxcheck.TEXT_QUEUE, link_error=hide),
        app.send_task(wxcheck.CHECK_TEXT, args=[WRITTEN] * 9, queue=wxcheck.TEXT_QUEUE, link_error=hide),
    ]
    pictures = [send_media(app, url(fault)) for fault in [*faults, "early", "repeat=2", "unfetchable"]]
    pictures += [
        send_media(app, f"ftp://{LINKED}/a.jpg"),
        send_media(app, f"https://a.example/{LINKED * 60}"),
        send_media(app, [LINKED]),
        send_media(app, {"url": LINKED}),
        send_media(app, url(), unknown=LINKED),
        send_media(app, url("details=3"), **V2),
    ]
    return flows + texts + pictures


def check_everything(observed: Observed) -> list[AsyncResult]:
    """Checks of every kind, and looks at them before, while and after they run."""
    system = observed.system
    ended(send_text(system.app, text()))
    observed.keep_token()

    slow: list[AsyncResult] = []

    def sees_both_checks_run() -> bool:
        # enough of them that either worker runs both kinds, slow enough to be looked at; more where all have ended
        if all(check.ready() for check in slow):
            slow.extend(send_text(system.app, text(f"slow={SLOW}")) for _ in range(10))
            slow.extend(send_media(system.app, url(f"slow={SLOW}")) for _ in range(10))
            time.sleep(0.5)
        return observed.sees_both_checks_run()

    eventually(sees_both_checks_run, "inspect meets a check of either kind while it runs")
    observed.look_at_flower("while checks run", [])

    system.invalidate_tokens()
    results = everything(system)
    lost = send_media(system.app, url("lost"))
    timed_out = send_media(system.app, url("lost"))
    for result in (lost, timed_out):
        parked(system, waiting(result))
    observed.look_at_flower("while checks wait", [lost.id])
    assert cancel(system, lost.id) == "parked"
    time_comes(system, SHARD.key("parked"), timed_out.id)
    assert type(failure_of(timed_out)) is wxcheck.PushTimeout
    push(system, media_push("f" * 32))
    for result in slow + results:
        ended(result)
    observed.keep_token()

    given_back = send_text(system.app, text("44991*1"))
    eventually(lambda: system.redis.hget(SHARD.of_lane("text", APPID)[1], "closed_until"), "the lane is closed")
    system.open_lanes()
    ended(given_back)
    stopped = send_text(system.app, text("40125"))
    ended(stopped)
    return [*slow, *results, lost, timed_out, given_back, stopped]


def test_what_users_wrote_and_what_is_secret_is_shown_nowhere(observed: Observed) -> None:
    checks = check_everything(observed)

    def flower_knows_all() -> bool:
        seen = requests.get(f"{observed.flower_url}/api/tasks", timeout=30).json()
        return all(check.id in seen for check in checks)

    eventually(flower_knows_all, "Flower has seen every check")
    observed.look_at_flower("at the end", [check.id for check in checks])
    observed.inspect("at the end")
    for process in reversed(observed.processes):
        process.stop()

    told = {process.name: process.output for process in observed.processes}
    told |= observed.told
    told |= {f"event {number}, {event[:60]}": event for number, event in enumerate(observed.events.captured)}
    hidden = {
        "a text": WRITTEN,
        "a URL": LINKED,
        "the keyword that a verdict quotes": QUOTED,
        "the AppSecret": SECRET,
        "the push token": PUSH_TOKEN,
        "the AES key": AES_KEY,
        **{f"access token {number}": token for number, token in enumerate(observed.tokens)},
    }
    assert [
        f"{what} in {name}" for name, said in told.items() for what, secret in hidden.items() if secret in said
    ] == []

    # there was something to be found: all levels, all kinds, in both pools, with a verdict that quotes
    assert len(observed.tokens) == 2
    assert any(QUOTED in json.dumps(check.result, default=str) for check in checks)
    assert {check.state for check in checks} == {"SUCCESS", "FAILURE"}
    kinds = {"task-received", "task-started", "task-succeeded", "task-failed", "task-retried", "task-waiting"}
    assert kinds <= observed.events.kinds
    for worker in observed.workers:
        assert "DEBUG" in worker.output
        for task in (wxcheck.CHECK_TEXT, wxcheck.CHECK_MEDIA):
            assert f"Task {task}[" in worker.output
    assert any("push_matched" in worker.output for worker in observed.workers)
