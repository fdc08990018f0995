"""Flower shows checks in a browser and changes their rate, and no page shows content or a secret.

Tests: worker.celery_parts.rate_command
"""

from __future__ import annotations

import re
import shlex
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Literal

import pytest
import requests
from celery.result import AsyncResult

import wxcheck
from store.places.shard import SHARD
from tests.support.browser import DESKTOP, PHONE, Browser, Device, Window
from tests.support.checks import (
    V2,
    cancel,
    failure_of,
    media_push,
    parked,
    picture,
    push,
    runs,
    send_media,
    send_text,
    verdict_of,
    waiting,
    words,
)
from tests.support.compose import SERVICES, environment_of, interpolated
from tests.support.ports import free_port
from tests.support.processes import PATIENCE, Running, eventually
from tests.support.system import AES_KEY, APPID, PUSH_TOKEN, SECRET, System

LOGIN = ("operator", "hushhush")
#: by which Redis lets the processes in
REDIS_PASSWORD = "redisPasswordOfTheTests"

WORKERS = {"text@one": "wxcheck.text", "media@two": "wxcheck.media,wxcheck.push"}

#: in what users wrote, and nowhere else
WRITTEN = f"hushtext{uuid.uuid4().hex}"
#: in a magic value that the sandbox quotes as the keyword that it found: a delay that is a number of its own
QUOTED = "000173942"


class Flower:
    """A running Flower."""

    def __init__(self, running: Running, url: str) -> None:
        self.running = running
        self.url = url

    def state(self, task_id: str) -> str | None:
        """For waiting only: what a person sees is read from the page."""
        answer = requests.get(f"{self.url}/api/task/info/{task_id}", auth=LOGIN, timeout=PATIENCE)
        return str(answer.json()["state"]) if answer.ok else None

    def shows(self, check: AsyncResult, state: str) -> None:
        eventually(lambda: self.state(check.id) == state, f"Flower has {check.id} as {state}")


def started(system: System, name: str, command: str, **environment: str) -> Flower:
    """Starts Flower; its own port and address are those of this machine."""
    port = free_port()
    arguments = [*shlex.split(command), f"--port={port}", "--address=127.0.0.1"]
    return Flower(system.run(name, arguments, **environment), f"http://127.0.0.1:{port}")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[System, Flower, Flower]]:
    """Two workers and an application's, on a Redis that asks for a password, with the service of the compose file and
    with a Flower that may change something; both have subscribed to events."""
    system = System(tmp_path_factory.mktemp("flower"), MEDIA_PER_MINUTE="1234")
    try:
        system.redis.execute_command("ACL", "SETUSER", "worker", "on", f">{REDIS_PASSWORD}", "~*", "&*", "+@all")
        system.environment["WXCHECK_REDIS_URL"] = system.redis_url.replace("://", f"://worker:{REDIS_PASSWORD}@")
        celery = ["celery", "-A", "worker", "worker", "--loglevel=INFO"]
        workers = [system.run(name, [*celery, "-Q", queues, "-n", name]) for name, queues in WORKERS.items()]
        command = re.sub(r"--(address|port)=\S+", "", interpolated(SERVICES["flower"]["command"], {}))
        declared = environment_of("flower", {"FLOWER_BASIC_AUTH": ":".join(LOGIN)})
        options = {name: value for name, value in declared.items() if name.startswith("FLOWER_")}
        composed = started(system, "flower-composed", command, **options)
        writable = started(system, "flower", "celery -A worker flower", FLOWER_BASIC_AUTH=":".join(LOGIN))
        system.sandbox()
        system.endpoint()
        system.application("-E")  # tells of its tasks from the first one on; without it, once Flower has asked for it
        for worker in workers:
            worker.wait_for(" ready.")
        for flower in (composed, writable):
            flower.running.wait_for("Visit me")

        def see_events() -> bool:
            probe = send_text(system.app, words())
            verdict_of(probe)
            return all(flower.state(probe.id) for flower in (composed, writable))

        eventually(see_events, "Flower sees events")
        yield system, composed, writable
    finally:
        for running in system.started:
            if running.name != "redis":
                running.process.terminate()  # all at once: one after the other they take seconds
        system.close()


@pytest.fixture(scope="module")
def system(place: tuple[System, Flower, Flower]) -> System:
    return place[0]


@pytest.fixture(scope="module")
def composed(place: tuple[System, Flower, Flower]) -> Flower:
    return place[1]


@pytest.fixture(scope="module")
def writable(place: tuple[System, Flower, Flower]) -> Flower:
    return place[2]


@contextmanager
def looking(
    browser: Browser,
    flower: Flower,
    device: Device = DESKTOP,
    scheme: Literal["light", "dark"] = "light",
    faults: tuple[str, ...] = (),
) -> Iterator[Window]:
    """A window of an operator with the password. Nothing may go wrong in it but the ``faults``, and it asks no other
    host for anything."""
    with browser.window(flower.url, device, scheme=scheme, login=LOGIN) as window:
        yield window
        assert window.foreign == []
        assert len(window.faults) == len(faults), window.faults
        assert all(part in fault for part, fault in zip(faults, window.faults, strict=True)), window.faults


def found(window: Window, sought: str, *task_ids: str) -> list[dict[str, str]]:
    """Types ``sought`` into the search of the tasks' page: the rows of these tasks, which must be all that it finds."""
    window.go("/tasks")
    window.page.get_by_role("searchbox").fill(sought)
    window.page.get_by_text(f"Showing 1 to {len(task_ids)} of {len(task_ids)} tasks").wait_for()
    heads = [head.strip().lower() for head in window.page.locator(".dataTables_scrollHead th").all_inner_texts()]
    rows = [window.page.locator(f'tr[id="{task_id}"] td').all_inner_texts() for task_id in task_ids]
    return [dict(zip(heads, row, strict=True)) for row in rows]


def fields(window: Window, task_id: str) -> dict[str, str]:
    """The values on the page of a task, by the words beside them."""
    window.go(f"/task/{task_id}")
    names, values = (window.page.locator(f".task-details-card {tag}").all_inner_texts() for tag in ("dt", "dd"))
    return {name.strip(): value.strip() for name, value in zip(names, values, strict=True)}


def limits(window: Window, worker: str) -> list[str]:
    """The tasks on the page of a worker, as its limits tell them."""
    window.go(f"/worker/{worker}")
    window.page.get_by_role("tab", name="Limits").click()
    window.page.locator("#limits-table").wait_for()
    return window.page.locator("#limits-table td:first-child").all_inner_texts()


def test_a_check_is_found_by_its_id_waits_and_ends_under_the_same_id(
    system: System, composed: Flower, browser: Browser
) -> None:
    check = send_media(system.app, picture("lost"))
    parked(system, waiting(check))
    composed.shows(check, "WAITING")
    with looking(browser, composed) as window:
        (row,) = found(window, check.id, check.id)
        assert (row["name"], row["state"], row["worker"]) == ("wxcheck.check_media", "WAITING", "media@two")
        told = fields(window, check.id)
        assert (told["Name"], told["Status"]) == ("wxcheck.check_media", "WAITING")

        push(system, media_push(waiting(check), result={"suggest": "risky", "label": 20002}))
        verdict_of(check)
        composed.shows(check, "SUCCESS")
        (row,) = found(window, f"{check.id} state:SUCCESS", check.id)
        assert (row["name"], row["state"]) == ("wxcheck.check_media", "SUCCESS")
        assert "'suggest': 'risky', 'label': 20002" in row["result"]
        told = fields(window, check.id)
        assert (told["Name"], told["Status"]) == ("wxcheck.check_media", "SUCCESS")
        assert "'suggest': 'risky', 'label': 20002" in told["Result"]


def test_a_check_that_is_cancelled_or_revoked_while_it_waits_ends_as_cancelled_and_a_failed_one_says_why(
    system: System, composed: Flower, browser: Browser
) -> None:
    failed = send_media(system.app, picture("unfetchable"))
    cancelled, revoked = (send_media(system.app, picture("lost")) for _ in range(2))
    for check in (cancelled, revoked):
        parked(system, waiting(check))
        composed.shows(check, "WAITING")
    assert cancel(system, cancelled.id) == "parked"
    system.app.control.revoke(revoked.id)

    def has_ended(task_id: str) -> bool:
        return composed.state(task_id) != "WAITING"

    for check in (cancelled, revoked):
        # to the application it is a failure, by name
        assert type(failure_of(check)) is wxcheck.CheckCancelled
        eventually(partial(has_ended, check.id), "Flower has seen how it ended")
    with looking(browser, composed) as window:
        for row in found(window, "state:CANCELLED", cancelled.id, revoked.id):
            assert (row["name"], row["state"]) == ("wxcheck.check_media", "CANCELLED")
            assert row["exception"] == "CheckCancelled()"
        assert fields(window, cancelled.id)["Status"] == "CANCELLED"
        composed.shows(failed, "FAILURE")
        (row,) = found(window, failed.id, failed.id)
        assert (row["name"], row["state"]) == ("wxcheck.check_media", "FAILURE")
        assert row["exception"].startswith("MediaUnavailable(-1008")


def test_every_workers_page_tells_the_rates_and_the_compose_file_has_no_button(
    system: System, composed: Flower, browser: Browser
) -> None:
    with looking(browser, composed) as window:
        for worker in WORKERS:
            told = limits(window, worker)
            assert "wxcheck.check_text [rate_limit=4000/m]" in told
            assert "wxcheck.check_media [rate_limit=1234/m]" in told
            assert window.page.get_by_role("button", name="Apply").count() == 0


def test_the_button_changes_the_rate_of_every_worker_and_not_beyond_the_quota(
    system: System, writable: Flower, browser: Browser, tmp_path: Path
) -> None:
    def press(window: Window, number: int) -> str:
        """Types a number into the text check's field and presses its button; what Flower says to that."""
        limits(window, "text@one")
        row = window.page.locator("#limits-table tr").filter(has_text=wxcheck.CHECK_TEXT)
        row.get_by_label("Rate limit for").fill(str(number))
        row.get_by_role("button", name="Apply").click()
        said = window.page.locator(".toast.show:not(.showing) .toast-body")
        said.wait_for()
        return str(said.text_content())

    def in_force(rate: str) -> bool:
        # briefly: where both replies come at once it waits for a third one
        told = system.app.control.inspect([*WORKERS], timeout=2).registered("rate_limit") or {}
        return all(f"{wxcheck.CHECK_TEXT} [rate_limit={rate}]" in told.get(name, []) for name in WORKERS)

    def goes_by(window: Window, worker: str, rate: str) -> bool:
        return f"wxcheck.check_text [rate_limit={rate}]" in limits(window, worker)

    with looking(browser, writable, faults=("403",)) as window:
        # a browser that is first asked for the password on a worker's page gives it to no button of that page
        window.go("/")
        assert press(window, 10).startswith("600/m for all workers, those that start later too")
        window.picture("flower-limits-desktop-light", tmp_path)
        for worker in WORKERS:
            eventually(partial(goes_by, window, worker, "600/m"), f"{worker} goes by 600/m")
        assert "'600' is 36000 calls a minute, and the quota is 4000" in press(window, 600)
        eventually(lambda: in_force("600/m"), "both go by 600/m")
        assert "4000/m of the settings" in press(window, 0)
        eventually(lambda: in_force("4000/m"), "both are back at 4000/m")


def test_no_page_shows_what_users_wrote_or_a_secret(system: System, composed: Flower, browser: Browser) -> None:
    publish = system.app.signature("application.publish", queue="application")
    user = {**V2, "title": WRITTEN, "nickname": WRITTEN}
    text = f"{WRITTEN} sandbox:risky,slow=0.{QUOTED}"
    check = system.app.send_task(
        wxcheck.CHECK_TEXT, kwargs={"content": text, **user}, queue=wxcheck.TEXT_QUEUE, link=publish
    )
    risky = verdict_of(check)
    assert QUOTED in str(risky["detail"])
    media = send_media(system.app, f"https://img.example.com/{WRITTEN}.jpg?sandbox=pass")
    bad = send_text(system.app, [WRITTEN])
    verdict_of(media)
    assert type(failure_of(bad)) is wxcheck.InvalidCheck
    eventually(lambda: runs(system, "publish"), "the follow-up ran")
    (run,) = runs(system, "publish")
    assert QUOTED in str(run["arguments"])
    tasks = [check.id, media.id, bad.id, run["task_id"]]
    eventually(lambda: all(map(composed.state, tasks)), "Flower knows all of them")
    hidden = {
        "a text": WRITTEN,
        "the keyword that a verdict quotes": QUOTED,
        "a user": V2["openid"],
        "the AppSecret": SECRET,
        "the push token": PUSH_TOKEN,
        "the AES key": AES_KEY,
        "an access token": str(system.redis.hget(SHARD.key(f"token:{APPID}"), "value")),
        "Redis' password": REDIS_PASSWORD,
        "Flower's password": LOGIN[1],
    }
    workers = [f"/worker/{name}" for name in WORKERS]
    with looking(browser, composed) as window:
        for path in ["/workers", "/tasks", "/broker", *workers, *[f"/task/{task_id}" for task_id in tasks]]:
            window.go(path)
            if path in ("/workers", "/tasks"):
                window.page.get_by_text("Showing 1 to").wait_for()
            page = window.page.content()  # also what is behind a tab
            assert [what for what, secret in hidden.items() if secret in page] == [], path
            assert path != "/broker" or "redis://worker:**@" in page
        told = fields(window, check.id)
        assert (told["Arguments"], told["Keyword arguments"]) == ("(…)", "{…}")
        assert "'suggest': 'risky'" in told["Result"]
        # what the follow-up is given was written by our worker, and is shown by the application's
        told = fields(window, run["task_id"])
        assert "'suggest': 'risky'" in told["Arguments"]


@pytest.mark.parametrize(("device", "name"), [(DESKTOP, "desktop"), (PHONE, "phone")], ids=["desktop", "phone"])
def test_the_pages_fit_their_window_and_are_light_or_dark_as_the_system_is(
    system: System, composed: Flower, browser: Browser, tmp_path: Path, device: Device, name: str
) -> None:
    sent = [send_media(system.app, picture("lost")), send_media(system.app, picture("unfetchable"))]
    sent += [send_text(system.app, words("risky"), **V2), send_media(system.app, picture("risky"))]
    for check, state in zip(sent, ["WAITING", "FAILURE", "SUCCESS", "SUCCESS"], strict=True):
        composed.shows(check, state)
    with looking(browser, composed, device) as window:
        pages = ["/workers", "/broker", f"/worker/{next(iter(WORKERS))}", f"/task/{sent[-1].id}", "/tasks"]
        for path in pages if device is PHONE else ["/tasks"]:
            window.go(path)
            if path in ("/workers", "/tasks"):
                window.page.get_by_text("Showing 1 to").wait_for()
            assert window.overflow == 0, path
        for scheme in ("light", "dark"):
            window.page.emulate_media(color_scheme=scheme)
            window.page.locator(f'html[data-bs-theme="{scheme}"]').wait_for()
            window.picture(f"flower-tasks-{name}-{scheme}", tmp_path)
