"""The example application runs as its README says, beside a whole wxcheck and with settings of its own."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests

from store.places.shard import SHARD
from tests.support.checks import media_push, push
from tests.support.ports import free_port
from tests.support.processes import PATIENCE, ROOT, Running, eventually
from tests.support.system import System

EXAMPLE = ROOT / "examples" / "photo_app"
OPENID = "oUser0123456789abcdefghijklmn"


class PhotoApp:
    """Its web server and its worker. They get no setting of wxcheck's."""

    def __init__(self, redis_url: str, directory: Path, stack: ExitStack) -> None:
        port = free_port()
        environment = {"PHOTO_APP_REDIS_URL": redis_url, "PHOTO_APP_DATABASE": str(directory / "photos.sqlite3")}
        self.url = f"http://127.0.0.1:{port}"
        self.web = Running(
            "web", ["uvicorn", "examples.photo_app.app:app", "--port", str(port)], environment, directory
        )
        stack.callback(self.web.stop)
        worker = ["celery", "-A", "examples.photo_app.tasks", "worker", "--loglevel=INFO", "-c", "1"]
        self.worker = Running("photo-worker", worker, environment, directory)
        stack.callback(self.worker.stop)
        self.web.wait_for("Uvicorn running on")
        self.worker.wait_for(" ready.")

    def post(self, what: str, **body: str) -> str:
        """Posts a photo or a comment; its URL."""
        answer = requests.post(f"{self.url}/{what}", json=body, timeout=PATIENCE)
        assert answer.status_code == 202, answer.text
        return f"{self.url}/{what}/{answer.json()['id']}"

    @staticmethod
    def get(url: str) -> dict[str, Any]:
        answer = requests.get(url, timeout=PATIENCE)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def becomes(self, url: str) -> tuple[str, str]:
        """State and reason of a post, once it is no longer being checked."""
        eventually(lambda: self.get(url)["state"] != "checking", "the post is decided on")
        post = self.get(url)
        return post["state"], post["reason"]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    system = System(tmp_path_factory.mktemp("system"))
    try:
        system.sandbox()
        system.endpoint()
        system.worker()
        yield system
    finally:
        system.close()


@pytest.fixture(scope="module")
def application(system: System) -> Iterator[PhotoApp]:
    with ExitStack() as stack:
        yield PhotoApp(system.redis_url, system.directory, stack)


@pytest.mark.parametrize(
    ("directive", "state", "reason"),
    [("pass", "published", "pass"), ("risky", "hidden", "risky"), ("unfetchable", "hidden", "MediaUnavailable")],
)
def test_a_photo_is_shown_if_it_passes_and_hidden_if_not(
    application: PhotoApp, directive: str, state: str, reason: str
) -> None:
    photo = application.post("photos", url=f"https://img.example.com/photo.jpg?sandbox={directive}")
    assert application.becomes(photo) == (state, reason)


def test_a_photo_is_not_shown_while_its_verdict_is_awaited(system: System, application: PhotoApp) -> None:
    photo = application.post("photos", url="https://img.example.com/photo.jpg?sandbox=lost")
    eventually(lambda: system.redis.zcard(SHARD.key("parked")), "its check waits")
    assert application.get(photo)["state"] == "checking"
    (check,) = system.redis.zrange(SHARD.key("parked"), 0, -1)
    known = json.loads(str(system.redis.hget(SHARD.key("checks"), str(check))))
    push(system, media_push(known["trace"]))
    assert application.becomes(photo) == ("published", "pass")


def test_a_photo_whose_url_is_none_is_hidden_by_the_errback(application: PhotoApp) -> None:
    assert application.becomes(application.post("photos", url="cloud://photo.jpg")) == ("hidden", "InvalidCheck")


@pytest.mark.parametrize(
    ("text", "state", "reason"),
    [
        ("a lovely view", "published", "pass"),
        ("sandbox:risky", "hidden", "risky"),
        ("sandbox:review", "hidden", "review"),
        ("sandbox:61010", "hidden", "CheckRefused"),
    ],
)
def test_a_comment_is_shown_if_it_passes_and_hidden_if_not(
    application: PhotoApp, text: str, state: str, reason: str
) -> None:
    assert application.becomes(application.post("comments", text=text, openid=OPENID)) == (state, reason)


def test_a_comment_is_enqueued_without_any_import_of_wxcheck() -> None:
    tree = ast.parse((EXAMPLE / "comments.py").read_text())
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    modules |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert not {name for name in modules if name and name.split(".")[0] == "wxcheck"}


def test_the_application_reads_no_setting_of_wxchecks() -> None:
    for source in EXAMPLE.glob("*.py"):
        assert "WXCHECK_" not in source.read_text(), source.name


def test_a_photo_is_hidden_and_its_user_told_where_the_broker_is_away(tmp_path: Path) -> None:
    port = free_port()
    environment = {
        "PHOTO_APP_REDIS_URL": f"redis://127.0.0.1:{free_port()}/0",
        "PHOTO_APP_DATABASE": str(tmp_path / "photos.sqlite3"),
    }
    command = ["uvicorn", "examples.photo_app.app:app", "--port", str(port)]
    web = Running("web-alone", command, environment, tmp_path)
    try:
        web.wait_for("Uvicorn running on")
        answer = requests.post(f"http://127.0.0.1:{port}/photos", json={"url": "https://img.example.com/"}, timeout=20)
        assert answer.status_code == 503, answer.text
    finally:
        web.stop()


def test_what_was_never_posted_is_not_found(application: PhotoApp) -> None:
    assert requests.get(f"{application.url}/photos/none", timeout=PATIENCE).status_code == 404
