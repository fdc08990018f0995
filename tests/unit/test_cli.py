"""The command line asks, prints and refuses as documented, as far as it needs no running system.

Tests: ops.cli.main, ops.cli.options, ops.cli.asking, ops.cli.exits, ops.cli.check, ops.cli.settings
Tests: ops.output, status.remedies
"""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from typing import get_args

import click
import pytest
from click.testing import CliRunner

from ops import output
from ops.cli import check, options
from ops.cli.dead import KEPT
from ops.cli.exits import COULD_NOT, NO, WELL
from ops.cli.main import main
from ops.cli.settings import masked
from status import remedies, words
from store.dead_letters.dead_letters import can_be_mended
from tests.support.processes import ROOT
from wxcheck import (
    CheckCancelled,
    CheckError,
    CheckRefused,
    InvalidCheck,
    MediaUnavailable,
    PlatformUnavailable,
    PushTimeout,
    Scene,
    StaleCheck,
)


def every(group: click.Group = main, above: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        yield f"{above}{name}", command
        if isinstance(command, click.Group):
            yield from every(command, f"{above}{name} ")


def does_something(command: click.Command) -> bool:
    return not isinstance(command, click.Group) or command.invoke_without_command


COMMANDS = dict(every())
#: they run until they are stopped, or end by themselves, and print no result
RUNNING = ("demo", "up", "board")


def python(code: str, stdin: int | None = None) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WXCHECK_")}
    environment |= {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "default"}
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=environment,
        stdin=stdin,
    )


ASKING = """
import click
from ops.cli.asking import ask

@click.command()
def command():
    ask("Sure?", yes=False)
    print("done")

command()
"""


def answered(answer: str) -> subprocess.CompletedProcess[str]:
    """The output of a question on a terminal, where somebody types ``answer``."""
    ours, theirs = pty.openpty()
    try:
        os.write(ours, answer.encode() + b"\n")
        return python(ASKING, stdin=theirs)
    finally:
        os.close(ours)
        os.close(theirs)


# -- help ----------------------------------------------------------------------------------------------------------


HELPING = """
import sys
from ops.cli.main import main
try:
    main(["--help"])
finally:
    print(sorted(sys.modules), file=sys.stderr)
"""


def test_help_imports_nothing_that_takes_time_and_asks_for_no_setting() -> None:
    ran = python(HELPING)
    assert (ran.returncode, "Commands:" in ran.stdout) == (0, True), ran.stderr
    modules = ran.stderr.replace("'", "").strip("[]\n").split(", ")
    loaded = {name.split(".")[0] for name in modules}
    assert not loaded & {"celery", "kombu", "redis", "rich", "pydantic", "requests", "store", "worker", "wxcheck"}
    assert "config.settings" not in modules


@pytest.mark.parametrize("name", [name for name, command in COMMANDS.items() if does_something(command)])
def test_every_command_has_help_with_an_example_and_says_its_exit_codes(name: str) -> None:
    said = CliRunner().invoke(main, [*name.split(), "--help"])
    assert said.exit_code == 0
    assert f"wxcheck {name}" in said.output.split("Usage:")[1].split("\n", 1)[1]
    if name not in RUNNING:
        assert "Exit codes: 0 " in said.output
        assert "--json" in said.output


@pytest.mark.parametrize("name", ["cancel", "replay", "dead drop", "push trigger", "submit"])
def test_what_cannot_be_taken_back_has_a_dry_run_and_a_way_not_to_be_asked(name: str) -> None:
    taken = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    assert {"--dry-run", "--yes"} <= taken


def test_the_scenes_are_those_of_the_client() -> None:
    assert tuple(str(scene) for scene in get_args(Scene)) == check.SCENES


# -- options and questions -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "seconds"), [("90", 90), ("90s", 90), ("10m", 600), ("1.5h", 5400), ("2h", 7200), ("7d", 604_800)]
)
def test_a_time_may_be_said_in_seconds_minutes_hours_and_days(said: str, seconds: float) -> None:
    assert options.seconds_of(said) == seconds


@pytest.mark.parametrize("said", ["", "m", "-1m", "10 minutes", "1w", "1e3", "٣m"])
def test_what_is_no_time_is_refused_with_examples(said: str) -> None:
    with pytest.raises(click.BadParameter, match="10m"):
        options.seconds_of(said)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["cancel"], "say which"),
        (["cancel", "a", "--all"], "say which"),
        (["cancel", "--all", "--older-than", "1m"], "say which"),
        (["replay", "--all", "--failure", "PushTimeout"], "say which"),
        (["dead", "drop"], "say which"),
        (["dead", "--failure", "PushTimeout", "drop", "--all"], "after drop"),
        (["pending", "--older-than", "soon"], "is no time"),
    ],
)
def test_wrong_usage_is_told_and_ends_with_2(arguments: list[str], said: str) -> None:
    ran = CliRunner().invoke(main, arguments)
    assert (ran.exit_code, said in ran.output) == (COULD_NOT, True), ran.output


@pytest.mark.parametrize(("answer", "code", "done"), [("y", WELL, "done\n"), ("n", NO, ""), ("", NO, "")])
def test_a_question_on_a_terminal_is_answered_there(answer: str, code: int, done: str) -> None:
    ran = answered(answer)
    assert (ran.returncode, ran.stdout.endswith(done or "]: ")) == (code, True), ran.stdout + ran.stderr
    assert "Sure? [y/N]" in ran.stdout


def test_where_nobody_can_answer_nothing_is_done_and_nothing_hangs() -> None:
    for stdin in (subprocess.DEVNULL, subprocess.PIPE):
        ran = python(ASKING, stdin=stdin)
        assert (ran.returncode, ran.stdout) == (COULD_NOT, "")
        assert "--yes" in ran.stderr


# -- what is printed -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (12.4, "12 s"),
        (59.6, "1 min"),
        (200, "3 min 20 s"),
        (3599.7, "1 h"),
        (7500, "2 h 5 min"),
        (86_400, "1 d"),
        (100_000, "1 d 3 h"),
        (-90, "-1 min 30 s"),
    ],
)
def test_a_duration_has_two_units_at_the_most(seconds: float, said: str) -> None:
    assert words.duration(seconds) == said


def test_what_a_stranger_sent_moves_no_cursor() -> None:
    assert words.printable("表 a\x1b[31m\x9b\u202e\ud800") == "表 a\\x1b[31m\\x9b\\u202e\\ud800"


@pytest.mark.parametrize("terminal", [True, False])
def test_a_table_shows_what_the_platform_said_as_it_is(
    terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
    output.print_table(["task id", "said"], [["id", "[red]no\x1b[31m"]])
    shown = capsys.readouterr().out
    assert "[red]no\\x1b[31m" in shown
    assert ("┃" in shown) == terminal


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        ("redis://:5ecret@host:1/0", "redis://:**********@host:1/0"),
        ("amqp://user:5e@cret/x@host//", "amqp://user:**********@host//"),
        ("redis://host/0?password=5ecret&db=1", "redis://host/0?password=**********&db=1"),
        ("sentinel://:5ecret@a:1;sentinel://:5ecret@b:2", "sentinel://:**********@a:1;sentinel://:**********@b:2"),
        ("https://api.weixin.qq.com", "https://api.weixin.qq.com"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert masked(url) == shown


def test_every_failure_has_a_remedy() -> None:
    other = remedies.remedy("ValueError", None)
    assert "log" in other["en"]
    for failure in CheckError.__subclasses__():
        said = remedies.remedy(failure.__name__, None)
        assert said.keys() == {"en", "zh"}
        assert said != other
    assert "IP" in remedies.remedy("CheckRefused", 40164)["en"]
    assert "WXCHECK_SECRET" in remedies.remedy("CheckRefused", 40125)["zh"]


def test_the_failures_that_can_be_named_are_those_that_are_kept() -> None:
    failures = [
        CheckRefused(40125, "invalid appsecret", None),
        MediaUnavailable(-1008, ""),
        PlatformUnavailable("away"),
        PushTimeout("trace"),
        InvalidCheck("empty"),
        StaleCheck(7000, 6600),
        CheckCancelled(),
    ]
    assert {type(failure) for failure in failures} == set(CheckError.__subclasses__())
    assert {type(failure).__name__ for failure in failures if can_be_mended(failure)} == set(KEPT)
