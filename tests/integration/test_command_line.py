"""``wxcheck`` tells an operator of a system at work what waits, where a check stands, and what a push does.

Tests: ops.cli.waiting, ops.cli.show, ops.cli.dead, ops.cli.settings
Tests: ops.cli.push, ops.cli.trigger, ops.cli.listen, ops.cli.listener, ops.cli.arrival
Tests: status.check_facts
"""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from click.testing import CliRunner, Result

import config.settings
import ops.cli.show
import ops.cli.waiting
import worker.runtime
from config.settings import load_settings
from ops.cli.exits import COULD_NOT, NO, WELL
from ops.cli.main import main
from sandbox.messages import sealed, url_check, verdict
from sandbox.scenarios import Scenario
from store import keys
from store.connection import connect_store, vouch
from store.dead_letters.dead_letters import DeadLetters
from store.parked.parked import Parking
from store.records.records import Records
from store.watch.statistics import Statistics
from tests.support.checks import failure_of, parked, picture, send_media, send_text, verdict_of, waiting, words
from tests.support.ports import free_port
from tests.support.processes import PATIENCE, ROOT, Running, eventually
from tests.support.system import AES_KEY, APPID, OTHER_APPID, PUSH_TOKEN, SECRET, System, plain_client
from wxcheck import CheckCancelled, MediaUnavailable

SECRETS = (SECRET, PUSH_TOKEN, AES_KEY)


Run = Callable[..., Result]


def environment_of(system: System, **settings: str) -> dict[str, str]:
    more = {f"WXCHECK_{name}": value for name, value in settings.items()}
    return {**system.environment, **more}


@pytest.fixture
def run(system: System, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Runs a command within this process, for starting one costs a second: with the settings of ``system``, and with
    what a runtime has that commands use."""
    monkeypatch.chdir(system.directory)
    monkeypatch.setattr(config.settings, "load_settings", load_settings.__wrapped__)
    with ExitStack() as closing:

        def ran(*arguments: str, **changes: str) -> Result:
            for name, value in environment_of(system, **changes).items():
                monkeypatch.setenv(name, value)
            settings = load_settings.__wrapped__()
            store = closing.enter_context(connect_store(settings, 5))
            app = system.app
            if changes:
                app = closing.enter_context(plain_client(settings.redis_url))
                closing.callback(lambda: app.backend.client.close())
            runtime = SimpleNamespace(
                settings=settings,
                records=Records(store, 60),
                parking=Parking(store, settings.push_timeout, 60, Statistics(store)),
                dead_letters=DeadLetters(store, 7, with_content=True),
            )
            monkeypatch.setattr(worker.runtime, "runtime", lambda: runtime)
            for module in (ops.cli.show, ops.cli.waiting):
                monkeypatch.setattr(module, "celery_app", lambda: app)
            done = CliRunner().invoke(main, arguments)
            assert done.exception is None or isinstance(done.exception, SystemExit), done.output
            assert not [secret for secret in SECRETS if secret in done.output]
            return done

        yield ran


def process(system: System, *arguments: str, **streams: Any) -> subprocess.CompletedProcess[str]:
    """Runs a command as a process, in the directory of ``system``."""
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment_of(system)}
    command = [sys.executable, "-m", "ops.cli", *arguments]
    return subprocess.run(
        command, text=True, check=False, cwd=system.directory, env=environment, timeout=PATIENCE, **streams
    )


def told(run: Run, *arguments: str, code: int = WELL, **settings: str) -> Any:
    """The JSON that a command prints."""
    ran = run(*arguments, "--json", **settings)
    assert ran.exit_code == code, ran.output
    return json.loads(ran.stdout)


def waiting_picture(system: System, appid: str = APPID) -> Any:
    result = send_media(system.app, picture("lost"), appid=appid)
    parked(system, waiting(result), appid)
    return result


def member_of(system: System, task_id: str) -> str:
    member = system.redis.hget(keys.record(task_id), "member")
    assert member is not None
    return str(member)


@contextmanager
def listening(system: System, *options: str) -> Iterator[tuple[Running, str]]:
    """``wxcheck push listen`` as a process, and its push URL."""
    port = free_port()
    command = ["ops.cli", "push", "listen", "--port", str(port), *options]
    with Running("listen", command, system.environment, system.directory) as running:
        running.wait_for("until Ctrl-C")
        yield running, f"http://127.0.0.1:{port}/wechat/push"


# -- pending, cancel -----------------------------------------------------------------------------------------------


def test_what_waits_is_listed_and_cancelled_by_appid_and_age(system: System, run: Run) -> None:
    ours, theirs = waiting_picture(system), waiting_picture(system, OTHER_APPID)
    # as if it had been parked long ago
    system.redis.hset(keys.check(member_of(system, ours.id)), "since", time.time() - 1200)
    (listed,) = told(run, "pending", "--appid", OTHER_APPID)
    assert (listed["task_id"], listed["state"], listed["appid"]) == (theirs.id, "waiting", OTHER_APPID)
    assert 0 <= listed["waited_seconds"] < 600 < listed["left_seconds"]
    (old,) = told(run, "pending", "--older-than", "10m")
    assert (old["task_id"], old["waited_seconds"] >= 1200) == (ours.id, True)

    unasked = run("cancel", "--all")
    assert (unasked.exit_code, "--yes" in unasked.stderr) == (COULD_NOT, True)
    assert told(run, "cancel", "--older-than", "10m", "--dry-run") == {"would_cancel": [ours.id]}
    assert told(run, "cancel", "--older-than", "10m", "--yes") == {"cancelled": [ours.id], "not_waiting": []}
    assert isinstance(failure_of(ours), CheckCancelled)
    assert theirs.state == "WAITING"
    both = run("cancel", ours.id, theirs.id, "--yes")
    assert (both.exit_code, both.stdout) == (COULD_NOT, f"{theirs.id} is cancelled.\n")
    assert f"{ours.id} does not wait for a push" in both.stderr


# -- show ----------------------------------------------------------------------------------------------------------


def test_the_life_of_a_check_is_told_to_its_end_and_never_what_was_checked(system: System, run: Run) -> None:
    result = waiting_picture(system)
    life = told(run, "show", result.id)
    trace_id = result.info["trace_id"]
    assert (life["state"], life["appid"], life["trace_id"], life["kind"]) == ("waiting", APPID, trace_id, "image")
    assert life["task"] == "wxcheck.check_media"
    assert abs(life["times"]["times_out"] - result.info["deadline"]) < 60
    assert (life["verdict"], life["failure"]) == (None, None)

    ended = run("push", "trigger", "risky", "--trace-id", trace_id, "--yes")
    assert ended.exit_code == WELL, ended.stdout + ended.stderr
    assert verdict_of(result)["suggest"] == "risky"
    shown = run("show", result.id)
    assert shown.exit_code == WELL
    lines = dict(line.split(maxsplit=1) for line in shown.stdout.splitlines())
    assert lines["state"].startswith("done: ")
    assert (lines["appId"], lines["trace_id"]) == (APPID, trace_id)
    assert lines["verdict"] == "risky  (label 20002, version 2)"
    assert "img.example.com" not in shown.stdout
    assert "\x1b" not in shown.stdout


def test_a_failed_check_is_told_with_what_to_do_and_one_that_comes_back_with_when(system: System, run: Run) -> None:
    unfetchable = send_media(system.app, picture("unfetchable"))
    assert isinstance(failure_of(unfetchable), MediaUnavailable)
    eventually(lambda: system.redis.zscore(keys.DEAD, unfetchable.id), "it is kept")
    life = told(run, "show", unfetchable.id)
    failure = life["failure"]
    assert (life["state"], failure["name"], failure["errcode"]) == ("dead_letter", "MediaUnavailable", -1008)
    assert "public" in failure["remedy"]
    later = system.app.send_task("wxcheck.check_text", kwargs={"content": "x"}, queue="wxcheck.text", countdown=600)
    eventually(lambda: system.redis.zscore(keys.SHELF, later.id), "it is on the shelf")
    life = told(run, "show", later.id)
    assert (life["state"], life["task"]) == ("shelved", "wxcheck.check_text")
    assert life["times"]["comes_back"] > time.time() + 300
    system.redis.delete(keys.SHELF, keys.shelved(later.id))
    assert told(run, "show", "nobody's", code=NO)["state"] == "unknown"


def test_a_check_is_found_in_its_queue_and_in_a_worker_s_hands(system: System, run: Run) -> None:
    with system.database(12) as broker:
        url = system.database_url(12)
        with plain_client(url) as app:
            first, second = (send_text(app, content).id for content in ("a secret text", "another one"))
        life = told(run, "show", second, REDIS_URL=url)
        assert (life["state"], life["queue"]) == ("queued", "wxcheck.text")
        assert "1 before it" in life["said"]
        # it was replayed: its result is of the run before
        broker.hset(keys.record(second), "run", "before")
        failed = {"exc_type": "PushTimeout", "exc_message": ["trace"], "exc_module": "wxcheck"}
        broker.set(f"celery-task-meta-{second}", json.dumps({"task_id": second, "status": "FAILURE", "result": failed}))
        assert told(run, "show", second, REDIS_URL=url)["state"] == "queued"
        broker.delete(keys.record(second))
        assert told(run, "show", second, REDIS_URL=url)["state"] == "failed"
        raw = str(broker.rpop("wxcheck.text"))
        broker.hset("wxcheck:unacked", "tag", f"wxcheck.text\n{raw}")
        shown = run("show", first, REDIS_URL=url)
        assert "state       taken: " in shown.stdout
        assert "secret" not in shown.stdout


def test_a_check_that_is_being_sent_is_told_with_the_worker_that_has_it(system: System, run: Run) -> None:
    url = system.database_url(13)
    with system.database(13) as store, plain_client(url) as app:
        vouch(store, APPID)
        patient = system.worker("patient", WXCHECK_REDIS_URL=url, WXCHECK_API_TIMEOUT="30")
        result = send_text(app, words("slow=20"))
        eventually(lambda: store.hget(keys.record(result.id), "state") == "sending", "its call is under way")
        life = told(run, "show", result.id, REDIS_URL=url)
        assert (life["state"], len(life["processes"])) == ("sending", 1)
        assert life["processes"][0].startswith("patient@")
        patient.kill()


def test_a_store_that_is_away_is_told_with_exit_code_2(system: System, run: Run) -> None:
    for command in (["show", "some-id"], ["pending"]):
        ran = run(*command, REDIS_URL=f"redis://127.0.0.1:{free_port()}/0")
        assert (ran.exit_code, ran.stdout) == (COULD_NOT, "")
        assert ran.stderr.startswith("wxcheck: ")


# -- dead ----------------------------------------------------------------------------------------------------------


def test_dead_letters_are_chosen_by_failure_age_and_appid_and_thrown_away(system: System, run: Run) -> None:
    results = [send_media(system.app, picture("unfetchable"), appid=appid) for appid in (APPID, APPID, OTHER_APPID)]
    for result in results:
        failure_of(result)
    eventually(lambda: system.redis.zcard(keys.DEAD) == 3, "all are kept")
    old, young, theirs = (result.id for result in results)
    letter = json.loads(str(system.redis.hget(keys.DEAD_LETTERS, old)))
    letter["failed_at"] -= 7200
    before = system.redis.hstrlen(keys.DEAD_LETTERS, old)
    system.redis.hset(keys.DEAD_LETTERS, old, json.dumps(letter))
    system.redis.incrby(keys.DEAD_BYTES, system.redis.hstrlen(keys.DEAD_LETTERS, old) - before)

    assert [letter["task_id"] for letter in told(run, "dead", "--older-than", "1h")] == [old]
    assert told(run, "replay", "--newer-than", "1h", "--appid", APPID, "--dry-run") == {"would_be_replayed": [young]}
    unasked = run("dead", "drop", "--all")
    assert (unasked.exit_code, system.redis.zcard(keys.DEAD)) == (COULD_NOT, 3)
    assert told(run, "dead", "drop", "--older-than", "1h", "--yes") == {"dropped": [old], "missing": []}
    assert told(run, "dead", "drop", old, theirs, "--yes", code=COULD_NOT) == {"dropped": [theirs], "missing": [old]}
    assert system.redis.hkeys(keys.DEAD_LETTERS) == [young]
    assert int(str(system.redis.get(keys.DEAD_BYTES))) == system.redis.hstrlen(keys.DEAD_LETTERS, young)


# -- push ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "settings", "code", "said"),
    [
        (["url-check"], {}, WELL, "the push URL is right"),
        (["unfetchable", "--format", "xml", "--version", "1"], {}, WELL, "taken"),
        (["--fault", "key", "--mode", "compatible"], {}, WELL, "refused as undecryptable, as it should be"),
        ([], {"PUSH_TOKEN": "another"}, NO, "PUSH_TOKEN"),
    ],
    ids=["url-check", "taken", "wrong key", "wrong token"],
)
def test_a_push_is_sent_and_its_answer_explained(
    run: Run, arguments: list[str], settings: dict[str, str], code: int, said: str
) -> None:
    ran = run("push", "trigger", *arguments, **settings)
    assert (ran.exit_code, said in ran.stdout) == (code, True), ran.output


def test_an_endpoint_that_is_not_there_and_a_verdict_that_nobody_confirms_are_told(system: System, run: Run) -> None:
    ran = run("push", "trigger", "--url", f"http://127.0.0.1:{free_port()}/wechat/push")
    assert (ran.exit_code, "python -m callbacks" in ran.stderr) == (COULD_NOT, True)
    assert "signature=" not in ran.stderr
    unasked = run("push", "trigger", "--trace-id", "of-a-check")
    assert (unasked.exit_code, "ends with this verdict" in unasked.stderr) == (COULD_NOT, True)


def test_what_arrives_is_shown_verified_and_decoded_and_answered_as_the_endpoint_does(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in system.environment.items():
        monkeypatch.setenv(name, value)
    program = load_settings.__wrapped__("endpoint").programs[APPID]
    message = verdict(APPID, "trace-1", 2, Scenario(suggest="review"), strings=False)
    query, body, _ = sealed(message, program, "secure", "xml")
    with listening(system, "--json") as (running, url):
        assert requests.post(f"{url}?{query}", data=body, timeout=10).text == "success"
        assert requests.get(f"{url}?{url_check(program, 'echo')}", timeout=10).text == "echo"
        refused = requests.post(f"{url}?{query}", data=body[:-40] + b"</xml>", timeout=10)
        assert refused.status_code in (400, 403)
        stranger = requests.post(f"{url}/wx0000?signature=x", data=b"what a stranger wrote", timeout=10)
        assert (stranger.status_code, stranger.text) == (404, "unknown_appid")
        assert running.stop() == WELL
        good, check, bad, unknown = (json.loads(line) for line in running.output.splitlines() if line[0] == "{")
    assert (good["outcome"], good["signature"], good["mode"], good["format"]) == ("queued", "right", "secure", "xml")
    assert (good["appid"], good["trace_id"], good["event"]) == (APPID, "trace-1", "event wxa_media_check")
    assert (good["said"], good["message"]["result"]["suggest"]) == ("review, label 20002 (version 2)", "review")
    assert check["outcome"] == "url_check"
    assert (bad["well"], bool(bad["remedy"])) == (False, True)
    assert (unknown["answer"], unknown["message"]) == ("unknown_appid", None)
    assert not [secret for secret in SECRETS if secret in running.output]
    assert "stranger wrote" not in running.output


def test_one_request_is_awaited_and_the_exit_code_says_whether_it_was_good(system: System) -> None:
    with listening(system, "--once", "--timeout", "10m") as (running, url):
        requests.post(f"{url}?signature=x&timestamp=1&nonce=2", data=b"{}", timeout=10)
        assert running.process.wait(PATIENCE) == NO
        assert "compare PUSH_TOKEN" in running.output
        assert "mode        plain, json" in running.output
    ran = process(system, "push", "listen", "--port", "0", "--once", "--timeout", "0.1s")
    assert (ran.returncode, "nothing came" in ran.stderr) == (COULD_NOT, True)


# -- check, config -------------------------------------------------------------------------------------------------


def read_whole(terminal: int) -> str:
    """What is written to a terminal, until its other end is closed."""
    drawn = b""
    with suppress(OSError):  # Linux' way to say so
        while more := os.read(terminal, 65_536):
            drawn += more
    return drawn.decode(errors="replace")


def test_a_check_shows_on_a_terminal_for_how_long_it_waits_and_tells_its_failure(system: System) -> None:
    ours, theirs = pty.openpty()
    # a terminal has room for four thousand characters, and who draws more waits until they are read
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read_whole, ours)
        try:
            ran = process(system, "check", words("errcode=40003"), "--json", stderr=theirs)
        finally:
            os.close(theirs)
        drawn = reading.result()
    os.close(ours)
    assert (ran.returncode, json.loads(ran.stdout)["failure"]["errcode"]) == (COULD_NOT, 40003)
    assert "waiting for the verdict" in drawn
    assert "Remedy: " in drawn


def test_commands_as_processes_tell_what_they_are_asked(system: System) -> None:
    """The others run within the test."""
    result = waiting_picture(system)
    unasked = process(system, "cancel", result.id)
    assert (unasked.returncode, "--yes" in unasked.stderr) == (COULD_NOT, True)
    shown = process(system, "show", result.id)
    assert (shown.returncode, shown.stderr) == (WELL, "")
    assert "state       waiting: for its push" in shown.stdout
    assert "\x1b" not in shown.stdout


def test_every_setting_is_shown_with_where_it_came_from_and_no_secret(system: System, run: Run) -> None:
    dot_env = system.directory / ".env"
    dot_env.write_text("WXCHECK_API_RETRIES=2\nWXCHECK_APPID=wxOfTheFile\n")
    try:
        shown = told(run, "config", "show", BROKER_URL="redis://:5ecretOfTheBroker@127.0.0.1:1/0")
    finally:
        dot_env.unlink()
    assert shown["WXCHECK_API_RETRIES"] == {"value": "2", "set": True, "from": ".env"}
    assert shown["WXCHECK_APPID"] == {"value": APPID, "set": True, "from": "environment"}
    assert shown["WXCHECK_MAX_AGE"]["from"] == "default"
    assert shown["WXCHECK_SECRET"]["value"] == shown[f"WXCHECK_APPS.{OTHER_APPID}.secret"]["value"] == "**********"
    assert shown["WXCHECK_BROKER_URL"]["value"] == "redis://:**********@127.0.0.1:1/0"
    assert "5ecretOfTheBroker" not in json.dumps(shown)
