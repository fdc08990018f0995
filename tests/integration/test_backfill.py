"""``wxcheck submit`` has each line called once on a system at work, whatever happens in between.

Tests: ops.cli.submit, ops.backfill.run, ops.backfill.sending, ops.backfill.results, ops.backfill.patience
"""

from __future__ import annotations

import csv
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from click.testing import CliRunner, Result

import config.settings
import ops.cli.submit
from config.celery import celery_configuration
from config.settings import load_settings
from ops.backfill.state import task_id_of
from ops.cli.exits import COULD_NOT, NO, WELL
from ops.cli.main import main
from store import keys
from tests.support.checks import picture, words
from tests.support.ports import free_port
from tests.support.processes import PATIENCE, Running, eventually
from tests.support.relay import Relay
from tests.support.system import APPID, SECRET, System
from wechat.checks import MEDIA_PATH, TEXT_PATH
from worker.celery_parts.transport import use_transport

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def at_work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """One whose quotas do not slow the tests down."""
    fast = {"TEXT_PER_MINUTE": "60000", "MEDIA_PER_MINUTE": "60000"}
    system = System(tmp_path_factory.mktemp("backfill"), **fast)
    try:
        system.sandbox()
        system.endpoint()
        system.worker()
        yield system
    finally:
        system.close()


@pytest.fixture
def system(at_work: System) -> System:
    at_work.reset_sandbox()
    at_work.forget()
    return at_work


@pytest.fixture
def run(system: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Runs the command within this process, for starting one costs seconds."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(config.settings, "load_settings", load_settings.__wrapped__)
    apps = []

    def ran(*arguments: str, **changes: str) -> Result:
        for name, value in (system.environment | changes).items():
            monkeypatch.setenv(name, value)
        apps.append(app_of())
        monkeypatch.setattr(ops.cli.submit, "celery_app", lambda: apps[-1])
        done = CliRunner().invoke(main, ["submit", *arguments])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.output
        assert SECRET not in done.output
        return done

    yield ran
    for app in apps:
        app.backend.client.close()
        app.close()


def app_of() -> Celery:
    """The workers' app, as far as a command that sends needs it."""
    use_transport()
    app = Celery("submitting", set_as_current=False)
    app.config_from_object(celery_configuration(load_settings.__wrapped__()))
    return app


def jsonl(path: Path, *contents: str) -> Path:
    """A file of texts and URLs."""
    of = ({"url" if content.startswith("https:") else "text": content} for content in contents)
    path.write_text("".join(json.dumps(line) + "\n" for line in of))
    return path


def texts(path: Path, count: int, *directives: str) -> Path:
    return jsonl(path, *[words(*directives) for _ in range(count)])


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def calls(system: System) -> int:
    return system.calls(TEXT_PATH) + system.calls(MEDIA_PATH)


def is_whole(path: Path, count: int) -> bool:
    """Whether each line has a verdict, once."""
    rows = rows_of(path)
    return sorted(row["line"] for row in rows) == list(range(1, count + 1)) and all(row["suggest"] for row in rows)


def started(system: System, directory: Path, *arguments: str, **changes: str) -> Running:
    """The command as a process of its own."""
    environment = {**system.environment, **changes}
    return Running("submit", ["ops.cli", "submit", *arguments], environment, directory)


@contextmanager
def relay_of(system: System) -> Iterator[tuple[Relay, dict[str, str]]]:
    port = free_port()
    with Relay(port, int(system.redis_url.rsplit(":", 1)[1].split("/")[0])) as relay:
        yield relay, {"WXCHECK_REDIS_URL": f"redis://127.0.0.1:{port}/0"}


@contextmanager
def standing_still(relay: Relay, output: Path, rows: int) -> Iterator[None]:
    """Within it a command that asks behind the relay gets no further: ``output`` has so many rows, and not all."""
    stands, goes_on = threading.Event(), threading.Event()

    def passes(_: bytes) -> bool:
        if output.exists() and output.read_text().count("\n") >= rows:
            stands.set()
            goes_on.wait(PATIENCE)
        return True

    relay.before = passes
    try:
        assert stands.wait(PATIENCE), "some lines have a verdict"
        yield
    finally:
        goes_on.set()


def test_each_line_gets_a_verdict_or_a_failure_by_name(system: System, run: Run, tmp_path: Path) -> None:
    path = tmp_path / "mixed.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "content", "media_url", "seen"])
        writer.writerow(["a", words("pass") + "\nsecond line", "", "x"])
        writer.writerow(["b", words("risky"), "", "x"])
        writer.writerow(["c", "", picture("risky"), "x"])
        writer.writerow(["d", words("errcode=87009"), "", "x"])
        writer.writerow(["e", "", picture("unfetchable"), "x"])
    done = run(str(path), "--yes")
    assert done.exit_code == NO, done.output
    assert "not read: seen" in done.stderr
    output = tmp_path / "mixed.verdicts.csv"
    rows = {row["id"]: row for row in csv.DictReader(output.read_text().splitlines())}
    assert {id_: (row["line"], row["suggest"], row["failure"], row["errcode"]) for id_, row in rows.items()} == {
        "a": ("2", "pass", "", ""),
        "b": ("4", "risky", "", ""),
        "c": ("5", "risky", "", ""),
        "d": ("6", "", "CheckRefused", "87009"),
        "e": ("7", "", "MediaUnavailable", "-1008"),
    }
    assert (rows["c"]["kind"], rows["b"]["label"] != "100", rows["a"]["version"]) == ("image", True, "1")
    assert system.app.AsyncResult(rows["a"]["task_id"]).result["suggest"] == "pass"
    assert "sandbox:" not in output.read_text() + done.output + (tmp_path / "mixed.verdicts.csv.journal").read_text()
    assert calls(system) == 5


def test_nothing_is_sent_while_a_line_is_wrong(system: System, run: Run, tmp_path: Path) -> None:
    path = jsonl(tmp_path / "in.jsonl", words(), "https:/wrong", words())
    done = run(str(path), "--yes")
    assert done.exit_code == COULD_NOT
    assert "line 2: media_url: no http(s) URL" in done.stderr
    assert [found.name for found in tmp_path.iterdir()] == ["in.jsonl"]
    assert calls(system) == 0
    done = run(str(path), "--yes", "--skip-invalid")
    assert done.exit_code == NO
    rows = rows_of(tmp_path / "in.verdicts.jsonl")
    assert sorted((row["line"], row["suggest"], row["failure"]) for row in rows) == [
        (1, "pass", None),
        (2, None, "InvalidCheck"),
        (3, "pass", None),
    ]
    assert calls(system) == 2


def test_it_asks_before_it_spends_calls(system: System, run: Run, tmp_path: Path) -> None:
    path = jsonl(tmp_path / "in.jsonl", words(), words(), picture())
    planned = run(str(path), "--dry-run")
    assert planned.exit_code == WELL
    assert "2 texts, 1 media, 0 not valid" in planned.stdout
    as_json = run(str(path), "--dry-run", "--json")
    assert json.loads(as_json.stdout) == {
        "texts": 2,
        "media": 1,
        "invalid": 0,
        "least_seconds": 0.0,
        "appid": APPID,
    }
    unanswered = run(str(path))
    assert unanswered.exit_code == COULD_NOT
    assert "Send 3 checks? At most 2 of the day's 2,000,000 calls for texts, and 1 of its 200,000" in unanswered.stderr
    assert [found.name for found in tmp_path.iterdir()] == ["in.jsonl"]
    assert calls(system) == 0


def test_a_budget_ends_a_run_and_the_same_command_goes_on(system: System, run: Run, tmp_path: Path) -> None:
    path = texts(tmp_path / "in.jsonl", 7)
    command = [str(path), "--yes", "--budget", "3"]
    for sent in (3, 6):
        done = run(*command)
        assert (done.exit_code, calls(system)) == (NO, sent), done.output
        assert f"the budget is spent, {7 - sent} line" in done.stderr
    done = run(*command)
    assert (done.exit_code, calls(system)) == (WELL, 7), done.output
    assert is_whole(tmp_path / "in.verdicts.jsonl", 7)
    # all is done, so nothing is asked
    done = run(str(path), "--json")
    assert (done.exit_code, calls(system)) == (WELL, 7), done.output
    told = json.loads(done.stdout)
    assert (told["lines"], told["verdict"], told["failed"], told["left"], told["now"]) == (7, 7, 0, 0, {})


def test_rows_on_stdout_are_printed_once(system: System, run: Run, tmp_path: Path) -> None:
    path = texts(tmp_path / "in.jsonl", 4)
    printed = [run(str(path), "--yes", "--budget", "2", "-o", "-").stdout.splitlines() for _ in range(2)]
    lines = [sorted(json.loads(row)["line"] for row in rows) for rows in printed]
    assert lines == [[1, 2], [3, 4]]
    assert calls(system) == 4


def test_an_output_is_of_one_file(system: System, run: Run, tmp_path: Path) -> None:
    command = ["--yes", "-o", str(tmp_path / "out.jsonl")]
    assert run(str(texts(tmp_path / "in.jsonl", 1)), *command).exit_code == WELL
    done = run(str(texts(tmp_path / "in.jsonl", 1)), *command)
    assert (done.exit_code, calls(system)) == (COULD_NOT, 1)
    assert "is of another file" in done.stderr
    (tmp_path / "out.jsonl.journal").unlink()
    done = run(str(tmp_path / "in.jsonl"), *command)
    assert (done.exit_code, calls(system)) == (COULD_NOT, 1)


def test_what_can_be_mended_is_sent_again_when_that_is_asked_for(system: System, run: Run, tmp_path: Path) -> None:
    path = jsonl(tmp_path / "in.jsonl", words(), picture("unfetchable"), words("errcode=87009"))
    done = run(str(path), "--yes")
    assert done.exit_code == NO
    assert "MediaUnavailable 1" in done.stderr
    assert "CheckRefused 1" in done.stderr
    done = run(str(path), "--yes", "--json")
    assert done.exit_code == NO
    told = json.loads(done.stdout)
    # as many as there are rows of failures
    assert (told["verdict"], told["failed"], told["mendable"], told["left"]) == (1, 2, 1, 0)
    assert calls(system) == 3
    [letter] = system.redis.zrange(keys.DEAD, 0, -1)
    done = run(str(path), "--yes", "--retry-failed")
    assert (done.exit_code, calls(system)) == (NO, 4), done.output
    of_line = [row["task_id"] for row in rows_of(tmp_path / "in.verdicts.jsonl") if row["line"] == 2]
    assert len(set(of_line)) == 2
    # else a replay would send it once more
    assert (of_line[0], system.redis.zrange(keys.DEAD, 0, -1)) == (letter, [of_line[1]])


def test_a_kill_right_before_a_batch_goes_out_loses_and_repeats_nothing(
    system: System, run: Run, tmp_path: Path
) -> None:
    path, output = texts(tmp_path / "in.jsonl", 6), tmp_path / "in.verdicts.jsonl"
    with relay_of(system) as (relay, changes):
        killed = killed_at(relay, lambda: started(system, tmp_path, str(path), "--yes", **changes))
    assert killed.process.returncode == -signal.SIGKILL
    assert '"lines":"1-6"' in (tmp_path / "in.verdicts.jsonl.journal").read_text()
    assert calls(system) == 0
    done = run(str(path), "--yes")
    assert (done.exit_code, calls(system)) == (WELL, 6), done.output
    assert is_whole(output, 6)
    assert '"unsent":"1-6"' in (tmp_path / "in.verdicts.jsonl.journal").read_text()


def test_a_kill_right_after_a_batch_went_out_loses_and_repeats_nothing(
    system: System, run: Run, tmp_path: Path
) -> None:
    path, output = texts(tmp_path / "in.jsonl", 6), tmp_path / "in.verdicts.jsonl"
    with relay_of(system) as (relay, changes):
        killed_at(relay, lambda: started(system, tmp_path, str(path), "--yes", **changes), published=system)
    done = run(str(path), "--yes")
    assert (done.exit_code, calls(system)) == (WELL, 6), done.output
    assert is_whole(output, 6)
    # workers know a task id again for some minutes: so calls alone do not show it
    assert (tmp_path / "in.verdicts.jsonl.journal").read_text().count("batch") == 1


def killed_at(relay: Relay, start: Callable[[], Running], published: System | None = None) -> Running:
    """Kills a process when it publishes: before Redis gets to know, or when it has answered, and nobody has heard."""
    begun: list[Running] = []
    is_there = threading.Event()

    def publishes(data: bytes) -> bool:
        if b"wxcheck:backfill:" not in data or b"check_text" not in data:
            return True
        if published is not None:
            marks = [published.redis.hget(key, "batch") for key in published.redis.scan_iter(keys.backfill("*"))]
            if marks != ["1"]:
                return True  # the answer that the script is to be loaded first
        is_there.wait(60)
        begun[0].kill()
        return False

    if published is None:
        relay.before = publishes
    else:
        relay.after = publishes
    begun.append(start())
    is_there.set()
    eventually(lambda: begun[0].process.poll() is not None, "it is killed")
    return begun[0]


def test_a_kill_in_the_middle_loses_and_repeats_nothing(system: System, run: Run, tmp_path: Path) -> None:
    path, output = texts(tmp_path / "in.jsonl", 60, "slow=0.2"), tmp_path / "in.verdicts.jsonl"
    command = [str(path), "--yes", "--in-flight", "20"]
    with relay_of(system) as (relay, changes):
        killed = started(system, tmp_path, *command, **changes)
        with standing_still(relay, output, 15):
            killed.kill()
    assert output.read_text().count("\n") < 60
    # as the disk has it where the machine went down
    with output.open("a") as file:
        file.write('{"id": "torn", "li')
    with (tmp_path / "in.verdicts.jsonl.journal").open("a") as file:
        file.write('{"batch":99,"lines":"1-')
    done = run(*command)
    assert (done.exit_code, calls(system)) == (WELL, 60), done.output
    assert is_whole(output, 60)


def test_ctrl_c_says_how_to_go_on(system: System, run: Run, tmp_path: Path) -> None:
    path, output = texts(tmp_path / "in.jsonl", 60, "slow=0.2"), tmp_path / "in.verdicts.jsonl"
    command = [str(path), "--yes", "--in-flight", "20"]
    with relay_of(system) as (relay, changes):
        interrupted = started(system, tmp_path, *command, **changes)
        with standing_still(relay, output, 15):
            os.kill(interrupted.process.pid, signal.SIGINT)
        assert interrupted.process.wait(60) == 130
    assert f"wxcheck submit {path} --yes --in-flight 20" in interrupted.output
    assert "Traceback" not in interrupted.output
    done = run(*command)
    assert (done.exit_code, calls(system)) == (WELL, 60), done.output
    assert is_whole(output, 60)


def test_it_waits_for_a_broker_that_is_away_and_says_so_once(system: System, run: Run, tmp_path: Path) -> None:
    path, output = texts(tmp_path / "in.jsonl", 40, "slow=0.2"), tmp_path / "in.verdicts.jsonl"
    with relay_of(system) as (relay, changes):
        gone = threading.Thread(target=goes_and_comes, args=(relay, output))
        gone.start()
        done = run(str(path), "--yes", "--in-flight", "10", **changes)
        gone.join()
    assert (done.exit_code, calls(system)) == (WELL, 40), done.output
    assert (done.stderr.count("are away"), done.stderr.count("are back")) == (1, 1)
    assert is_whole(output, 40)


def goes_and_comes(relay: Relay, output: Path) -> None:
    with standing_still(relay, output, 5):
        relay.go()
    time.sleep(2)
    relay.come()


def test_it_gives_up_after_its_patience(system: System, run: Run, tmp_path: Path) -> None:
    path = texts(tmp_path / "in.jsonl", 3)
    away = f"redis://127.0.0.1:{free_port()}/0"
    done = run(str(path), "--yes", "--patience", "1s", WXCHECK_REDIS_URL=away)
    assert done.exit_code == COULD_NOT
    assert "were away for 1 s; the same command goes on" in done.stderr
    done = run(str(path), "--yes")
    assert (done.exit_code, calls(system)) == (WELL, 3), done.output


def test_lines_of_which_an_emptied_store_knows_nothing_are_unknown_until_they_are_resent(
    system: System, run: Run, tmp_path: Path
) -> None:
    path, output = texts(tmp_path / "in.jsonl", 4), tmp_path / "in.verdicts.jsonl"
    assert run(str(path), "--yes", "--budget", "2").exit_code == NO
    journal = tmp_path / "in.verdicts.jsonl.journal"
    run_id = json.loads(journal.read_text().splitlines()[0])["run"]
    # a batch was noted, and whether it went out is forgotten
    with journal.open("a") as file:
        file.write('{"batch":2,"lines":"3","checks":1,"attempt":1,"at":9e9}\n')
    system.redis.delete(keys.backfill(run_id))
    done = run(str(path), "--yes")
    assert (done.exit_code, calls(system)) == (NO, 3), done.output
    assert "of 1 nobody knows whether they were sent: --resend-doubtful" in done.stderr
    assert [row["failure"] for row in rows_of(output) if row["line"] == 3] == ["Unknown"]
    done = run(str(path), "--yes", "--resend-doubtful")
    assert (done.exit_code, calls(system)) == (WELL, 4), done.output


def test_a_store_that_is_emptied_on_the_way_leaves_lines_unknown(system: System, run: Run, tmp_path: Path) -> None:
    path, output = texts(tmp_path / "in.jsonl", 30, "slow=0.2"), tmp_path / "in.verdicts.jsonl"

    def empty(relay: Relay) -> None:
        with standing_still(relay, output, 5):
            [key] = list(system.redis.scan_iter(keys.backfill("*")))
            system.redis.delete(key)

    with relay_of(system) as (relay, changes):
        emptying = threading.Thread(target=empty, args=(relay,))
        emptying.start()
        done = run(str(path), "--yes", "--in-flight", "10", **changes)
        emptying.join()
    assert "the store was emptied" in done.stderr
    rows = rows_of(output)
    assert sorted(row["line"] for row in rows) == list(range(1, 31)), "each line has an end"
    assert calls(system) <= 30


def test_with_another_broker_what_a_trace_is_left_of_is_waited_for(system: System, run: Run, tmp_path: Path) -> None:
    path, output = texts(tmp_path / "in.jsonl", 5), tmp_path / "in.verdicts.jsonl"
    # the same Redis, by another name: so that neither knows
    changes = {"WXCHECK_RESULT_BACKEND": system.redis_url.replace("127.0.0.1", "localhost")}
    assert run(str(path), "--yes", "--budget", "2", **changes).exit_code == NO
    journal = tmp_path / "in.verdicts.jsonl.journal"
    kept = [line for line in journal.read_text().splitlines(keepends=True) if "published" not in line]
    journal.write_text("".join(kept))
    output.write_text("")
    done = run(str(path), "--yes", **changes)
    assert (done.exit_code, calls(system)) == (WELL, 5), done.output
    assert is_whole(output, 5)


def test_another_broker_that_goes_within_a_batch_leaves_one_line_in_doubt(
    system: System, run: Run, tmp_path: Path
) -> None:
    path, output = texts(tmp_path / "in.jsonl", 5), tmp_path / "in.verdicts.jsonl"
    journal = tmp_path / "in.verdicts.jsonl.journal"
    with relay_of(system) as (relay, changes):

        def passes(data: bytes) -> bool:
            noted = journal.read_text() if journal.exists() else ""
            if "confirmed" in noted or "batch" not in noted:
                return True
            return task_id_of(json.loads(noted.splitlines()[0])["run"], 3, 1).encode() not in data

        relay.before = passes
        done = run(str(path), "--yes", WXCHECK_BROKER_URL=changes["WXCHECK_REDIS_URL"])
    assert done.exit_code == NO, done.output
    assert [row["line"] for row in rows_of(output) if row["failure"] == "Unknown"] == [3]
    assert calls(system) == 4
    done = run(str(path), "--yes", "--resend-doubtful", WXCHECK_BROKER_URL=system.redis_url)
    assert (done.exit_code, calls(system)) == (WELL, 5), done.output
