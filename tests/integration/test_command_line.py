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
import worker.runtime
from config.settings import load_settings
from ops.cli.exits import COULD_NOT, NO, WELL
from ops.cli.main import main
from sandbox.messages import sealed, url_check, verdict
from sandbox.scenarios import Scenario
from store import keys
from store.connection import connect
from store.dead_letters.dead_letters import DeadLetters
from store.places.forms import Message
from store.places.places import Places
from store.places.shard import SHARD
from store.places.vouching import vouch
from store.quota.clock import Watch
from store.quota.rates import Rates
from tests.support.checks import (
    age,
    failure_of,
    parked,
    picture,
    place_of,
    send_media,
    send_text,
    verdict_of,
    waiting,
    words,
)
from tests.support.ports import free_port
from tests.support.processes import PATIENCE, ROOT, Running, eventually
from tests.support.system import AES_KEY, APPID, OTHER_APPID, PUSH_TOKEN, SECRET, System, plain_client
from wechat.checks import TEXT_PATH
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
            store = closing.enter_context(connect(settings.redis_url, 5))
            app = system.app
            if changes:
                app = closing.enter_context(plain_client(settings.redis_url))
                closing.callback(lambda: app.backend.client.close())
            runtime = SimpleNamespace(
                settings=settings,
                store=store,
                shard=SHARD,
                places=Places(store, SHARD, Watch(), settings.api_timeout),
                rates=Rates(store),
                dead_letters=DeadLetters(store, 7, with_content=True),
            )
            monkeypatch.setattr(worker.runtime, "runtime", lambda: runtime)
            monkeypatch.setattr(ops.cli.show, "celery_app", lambda: app)
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
    age(system, ours.id, 1200)
    (listed,) = told(run, "pending", "--appid", OTHER_APPID)
    assert (listed["task_id"], listed["place"], listed["appid"]) == (theirs.id, "parked", OTHER_APPID)
    assert 0 <= listed["waited_seconds"] < 600 < listed["left_seconds"]
    (old,) = told(run, "pending", "--older-than", "10m")
    assert (old["task_id"], old["waited_seconds"] >= 1200) == (ours.id, True)

    unasked = run("cancel", "--all")
    assert (unasked.exit_code, "--yes" in unasked.stderr) == (COULD_NOT, True)
    assert told(run, "cancel", "--older-than", "10m", "--dry-run") == {"would_cancel": [ours.id]}
    done = told(run, "cancel", "--older-than", "10m", "--yes")
    assert done == {"cancelled": [ours.id], "in_hand": [], "not_waiting": []}
    assert isinstance(failure_of(ours), CheckCancelled)
    assert theirs.state == "WAITING"
    both = run("cancel", ours.id, theirs.id, "--yes")
    assert (both.exit_code, both.stdout) == (COULD_NOT, f"{theirs.id} is cancelled.\n")
    assert f"{ours.id} does not wait: see wxcheck show {ours.id}" in both.stderr


def test_a_lane_is_emptied_each_of_its_checks_fails_and_none_of_another_lane(system: System, run: Run) -> None:
    verdict_of(send_text(system.app, words(), appid=OTHER_APPID))
    system.close_lane("text", OTHER_APPID)
    calls = system.calls(TEXT_PATH)
    many = [send_text(system.app, words(), appid=OTHER_APPID) for _ in range(300)]
    later, ours = (
        system.app.send_task(
            "wxcheck.check_text", kwargs={"content": "x", "appid": appid}, queue="wxcheck.text", countdown=600
        )
        for appid in (OTHER_APPID, APPID)
    )
    parked_one = waiting_picture(system, OTHER_APPID)
    lane = SHARD.of_lane("text", OTHER_APPID)[0]
    eventually(lambda: system.redis.zcard(lane) == len(many), "they wait in their lane")
    eventually(lambda: place_of(system, ours.id) == place_of(system, later.id) == "shelf", "two are on the shelf")

    life = told(run, "show", many[200].id)
    assert (life["state"], life["before"], life["times"]["opens"] > time.time()) == ("lane", 200, True)
    assert "200 before it; the lane is spent: " in life["said"]

    would = told(run, "cancel", "--lane", "text", "--appid", OTHER_APPID, "--dry-run")["would_cancel"]
    assert sorted(would) == sorted(result.id for result in (*many, later))
    assert system.redis.zcard(lane) == len(many)
    emptied = run("cancel", "--lane", "text", "--appid", OTHER_APPID, "--yes")
    assert (emptied.exit_code, emptied.stdout) == (WELL, "301 are cancelled.\n")
    assert system.redis.zcard(lane) == 0
    assert {type(failure_of(result)) for result in (*many, later)} == {CheckCancelled}
    assert (place_of(system, ours.id), place_of(system, parked_one.id)) == ("shelf", "parked")
    assert system.calls(TEXT_PATH) == calls
    assert run("cancel", "--lane", "text", "--appid", OTHER_APPID, "--yes").stdout == "No check waits so.\n"


def test_celerys_purge_empties_the_inbox_and_no_lane(system: System) -> None:
    url = system.database_url(12)
    with system.database(12) as broker, plain_client(url) as app:
        Places(broker, SHARD, Watch(), 10.0).file([Message("filed", "{}", "text", APPID, 0, "")])
        for _ in range(3):
            send_text(app, words())
        command = [sys.executable, "-m", "celery", "-A", "worker", "purge", "-f", "-Q", "wxcheck.text"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment_of(system, REDIS_URL=url)}
        ran = subprocess.run(command, text=True, capture_output=True, check=False, cwd=ROOT, env=environment)
        assert (ran.returncode, broker.llen("wxcheck.text")) == (0, 0), ran.stderr
        assert broker.zrange(SHARD.of_lane("text", APPID)[0], 0, -1) == ["filed"]


def test_which_checks_are_to_be_cancelled_is_said_in_one_way(run: Run) -> None:
    for arguments in (
        [],
        ["id", "--lane", "text"],
        ["--all", "--lane", "text"],
        ["--lane", "text", "--older-than", "1m"],
    ):
        ran = run("cancel", *arguments, "--yes")
        assert (ran.exit_code, ran.stdout) == (COULD_NOT, ""), arguments


# -- show ----------------------------------------------------------------------------------------------------------


def test_the_life_of_a_check_is_told_to_its_end_and_never_what_was_checked(system: System, run: Run) -> None:
    result = waiting_picture(system)
    life = told(run, "show", result.id)
    trace_id = result.info["trace_id"]
    assert (life["state"], life["appid"], life["trace_id"], life["kind"]) == ("parked", APPID, trace_id, "image")
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
    eventually(lambda: place_of(system, later.id) == "shelf", "it is on the shelf")
    life = told(run, "show", later.id)
    assert (life["state"], life["task"]) == ("shelf", "wxcheck.check_text")
    assert life["times"]["comes_back"] > time.time() + 300
    assert told(run, "show", "nobody's", code=NO)["state"] == "unknown"


def test_a_check_is_found_in_the_inbox_though_the_run_before_its_replay_has_a_result(system: System, run: Run) -> None:
    with system.database(12) as broker:
        url = system.database_url(12)
        with plain_client(url) as app:
            first, second = (send_text(app, content).id for content in ("a secret text", "another one"))
        failed = {"exc_type": "PushTimeout", "exc_message": ["trace"], "exc_module": "wxcheck"}
        broker.set(f"celery-task-meta-{second}", json.dumps({"task_id": second, "status": "FAILURE", "result": failed}))
        life = told(run, "show", second, REDIS_URL=url)
        assert (life["state"], life["queue"], life["before"]) == ("inbox", "wxcheck.text", 1)
        assert "1 before it" in life["said"]
        cancelled = run("cancel", second, "--yes", REDIS_URL=url)
        assert (cancelled.exit_code, "does not wait" in cancelled.stderr) == (COULD_NOT, True)
        raw = str(broker.rpop("wxcheck.text"))
        broker.hset("wxcheck:unacked", "tag", f"wxcheck.text\n{raw}")
        shown = run("show", first, REDIS_URL=url)
        assert "state       in the inbox: " in shown.stdout
        assert "secret" not in shown.stdout
        broker.delete("wxcheck.text")
        assert told(run, "show", second, REDIS_URL=url)["state"] == "failed"


def test_a_check_in_hand_is_told_with_the_worker_that_has_it_and_is_cancelled_if_it_would_wait_again(
    system: System, run: Run
) -> None:
    url = system.database_url(13)
    with system.database(13) as store, plain_client(url) as app:
        vouch(store, APPID)
        patient = system.worker("patient", WXCHECK_REDIS_URL=url, WXCHECK_API_TIMEOUT="30")
        result = send_text(app, words("slow=20"))

        def place() -> Any:
            return json.loads(str(store.hget(SHARD.key("checks"), result.id) or "{}")).get("place")

        eventually(lambda: place() == "hand", "its call is under way")
        eventually(lambda: told(run, "show", result.id, REDIS_URL=url)["processes"], "its worker answers")
        life = told(run, "show", result.id, REDIS_URL=url)
        assert (life["state"], len(life["processes"])) == ("in_hand", 1)
        assert life["processes"][0].startswith("patient@")
        assert life["times"]["taken_over"] > time.time()
        done = told(run, "cancel", result.id, "--yes", REDIS_URL=url)
        assert done == {"cancelled": [], "in_hand": [result.id], "not_waiting": []}
        assert "it will be cancelled" in told(run, "show", result.id, REDIS_URL=url)["said"]
        patient.kill()


def test_a_check_whose_result_is_still_to_be_stored_is_in_the_outbox(system: System, run: Run) -> None:
    result = send_text(system.app, words())
    verdict_of(result)
    eventually(lambda: place_of(system, result.id) == "ended", "it has ended")
    mark = json.loads(str(system.redis.hget(SHARD.key("checks"), result.id)))
    system.redis.hset(SHARD.key("outbox"), f"{result.id}:{mark['run']}", "{}")
    try:
        life = told(run, "show", result.id)
    finally:
        system.redis.hdel(SHARD.key("outbox"), f"{result.id}:{mark['run']}")
    assert (life["state"], "ended" in life["times"]) == ("outbox", True)


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
    assert "state       parked: it waits for its push" in shown.stdout
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
