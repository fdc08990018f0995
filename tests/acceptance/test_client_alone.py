"""An application in an empty environment that has nothing of wxcheck but the client gets its verdicts.

Tests: wxcheck
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import ROOT
from tests.support.system import APPID, System

# the environment is made of packages from PyPI, each time anew
pytestmark = pytest.mark.long

#: what an application may write: it is given the URL of a Redis, and prints what it saw as JSON
APPLICATION = """
import importlib.util, json, sys, time
from celery import Celery, chain
import wxcheck
from wxcheck import CheckError, CheckRefused, InvalidCheck, MediaUnavailable, StaleCheck, check_media, check_text

URL, OPENID = sys.argv[1], "oUser0123456789abcdefghijklmn"
app = Celery("alone", broker=URL, backend=URL)


def failure(signature):
    # what an application does: it catches by class
    try:
        signature.apply_async().get(timeout=60)
    except MediaUnavailable as error:
        return ["MediaUnavailable", error.errcode]
    except CheckRefused as error:
        return ["CheckRefused", error.errcode, bool(error.rid)]
    except StaleCheck as error:
        return ["StaleCheck", error.age > error.max_age]
    except InvalidCheck as error:
        return ["InvalidCheck", error.message]
    except CheckError as error:
        return ["another CheckError", str(error)]


picture = "https://img.example.com/a.jpg?sandbox="
# the verdict of the first check is handed to the second one as its content, where a text belongs
first = check_media(picture + "risky", "image")
result = chain(first, check_text()).apply_async()
verdict = result.parent.get(timeout=60)
stale = check_text("so late", openid=OPENID, scene=2)
stale.options["headers"] = {wxcheck.SENT_AT_HEADER: time.time() - 7000}
print(json.dumps({
    "client": wxcheck.__file__,
    "found": [name for name in ("worker", "config", "store", "tasks", "sandbox") if importlib.util.find_spec(name)],
    "text": check_text("a lovely day", openid=OPENID, scene=1, signature="hello").apply_async().get(timeout=60),
    "sound": check_media(picture + "risky,label=20002", "audio", openid=OPENID, scene=3).apply_async().get(timeout=60),
    "picture": verdict,
    "unavailable": failure(check_media(picture + "unfetchable")),
    "refused": failure(check_text("sandbox:61010", openid=OPENID, scene=2)),
    "stale": failure(stale),
    "invalid": failure(check_media("cloud://a.jpg")),
    "in a chain": type(result.get(timeout=60, propagate=False)).__name__,
}))
"""

TYPED = """
from typing import Optional, assert_type
from wxcheck import MediaUnavailable, Verdict, check_media, check_text

def shown(verdict: Verdict) -> bool:
    assert_type(verdict["label"], int)
    assert_type(verdict["trace_id"], Optional[str])
    return verdict["suggest"] == "pass"

def code(failure: MediaUnavailable) -> int:
    return failure.errcode

check_text("a lovely day")
check_text("a lovely day", openid="o", scene=1, title="t", nickname="n", signature="s", appid="wx0")
check_text()
check_media("https://img.example.com/a.jpg")
check_media("https://img.example.com/a.jpg", "audio", openid="o", scene=4)
check_media("https://img.example.com/a.jpg", 2)
check_media(media_type="image")
"""

#: each with the error that a type checker has to show
WRONG = {
    "check_media(1)": "arg-type",
    'check_media("https://img.example.com/a.mp4", "video")': "arg-type",
    'check_media("https://img.example.com/a.jpg", 3)': "arg-type",
    'check_text("a", openid="o", scene=5)': "arg-type",
    'check_text("a", "o")': "call-arg",
    'check_text("a", url="https://example.com")': "call-arg",
    'verdict["verdict"]': "typeddict-item",
    'verdict["suggest"] == "risk"': "comparison-overlap",
}


class Environment:
    """A virtual environment that holds the client, what it needs, and nothing else."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.python = directory / "venv" / "bin" / "python"
        self._run(sys.executable, "-m", "venv", "--without-pip", str(directory / "venv"))
        # a copy, for a build writes beside its sources
        ignored = shutil.ignore_patterns("*.egg-info", "build", "__pycache__")
        client = shutil.copytree(ROOT / "client", directory / "client", ignore=ignored)
        # the pins of the lock without their hashes, which pip does not take for a directory
        pins = re.findall(r"^[a-z0-9._-]+==[^ ;\\]+", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
        constraints = directory / "constraints.txt"
        constraints.write_text("\n".join(pins))
        pip = [sys.executable, "-m", "pip", "--python", str(self.python), "--disable-pip-version-check"]
        self._run(*pip, "install", "--quiet", "-c", str(constraints), str(client), "celery[redis]")
        self.installed = self._run(*pip, "list", "--format=freeze").splitlines()

    def run(self, program: str, *arguments: str) -> str:
        """The output of ``program``, which runs in a directory of its own, isolated from the one of the tests."""
        source = self._directory / "application" / "program.py"
        source.parent.mkdir(exist_ok=True)
        source.write_text(program)
        return self._run(str(self.python), "-I", "-W", "error", str(source), *arguments, cwd=source.parent)

    def mypy(self, program: str) -> tuple[int, str]:
        """Exit code and output of mypy for an application's ``program``."""
        source = self._directory / "typed" / "program.py"
        source.parent.mkdir(exist_ok=True)
        source.write_text(program)
        command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--python-executable", str(self.python)]
        done = subprocess.run(
            [*command, source.name], cwd=source.parent, capture_output=True, text=True, timeout=120, check=False
        )
        return done.returncode, done.stdout + done.stderr

    @staticmethod
    def _run(*command: str, cwd: Path | None = None) -> str:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=180, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return Environment(tmp_path_factory.mktemp("alone"))


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
def seen(system: System, environment: Environment) -> dict[str, Any]:
    """The values that the application saw."""
    seen: dict[str, Any] = json.loads(environment.run(APPLICATION, system.redis_url))
    return seen


def test_the_client_brings_celery_and_nothing_of_the_rest(environment: Environment, seen: dict[str, Any]) -> None:
    names = {line.split("==")[0] for line in environment.installed}
    assert {"wxcheck-client", "celery", "redis"} <= names
    assert not names & {"wxcheck", "requests", "pydantic", "starlette", "flower"}
    assert seen["client"].startswith(str(environment.python.parents[1]))
    assert seen["found"] == []


def test_the_client_alone_gets_verdicts(seen: dict[str, Any]) -> None:
    assert (seen["text"]["kind"], seen["text"]["suggest"], seen["text"]["version"]) == ("text", "pass", 2)
    assert (seen["sound"]["kind"], seen["sound"]["suggest"], seen["sound"]["label"]) == ("audio", "risky", 20002)
    assert (seen["picture"]["kind"], seen["picture"]["suggest"], seen["picture"]["version"]) == ("image", "risky", 1)
    for verdict in (seen["text"], seen["sound"], seen["picture"]):
        assert set(verdict) == {"kind", "suggest", "label", "version", "appid", "trace_id", "detail"}
        assert verdict["appid"] == APPID


def test_the_client_alone_catches_failures_by_their_class(seen: dict[str, Any]) -> None:
    assert seen["unavailable"] == ["MediaUnavailable", -1008]
    assert seen["refused"][:2] == ["CheckRefused", 61010]
    assert seen["stale"] == ["StaleCheck", True]
    assert seen["invalid"][0] == "InvalidCheck"
    assert seen["invalid"][1].startswith("media_url: no http(s) URL (cloud:)")
    # a verdict is no text: the second check of the chain says so
    assert seen["in a chain"] == "InvalidCheck"


def test_a_type_checker_accepts_an_application_that_uses_the_client_rightly(environment: Environment) -> None:
    code, output = environment.mypy(TYPED)
    assert code == 0, output


def test_a_type_checker_refuses_what_a_check_would_refuse(environment: Environment) -> None:
    opening = "from wxcheck import Verdict, check_media, check_text\n\ndef program(verdict: Verdict) -> None:\n"
    _, output = environment.mypy(opening + "".join(f"    {line}\n" for line in WRONG))
    shown = {int(line): kind for line, kind in re.findall(r"^program\.py:(\d+): error: .* \[([a-z-]+)\]", output, re.M)}
    assert shown == dict(enumerate(WRONG.values(), start=4)), output
