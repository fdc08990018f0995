"""A backfill says how far it is: on a terminal by a bar, elsewhere by a line now and then."""

from __future__ import annotations

import sys

import pytest

from ops.backfill.progress import Progress


def test_a_line_tells_what_is_done_and_what_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(total=4000, done=1000, interval=0)
    with progress.shown():
        progress.advance(500)
        progress.tick()
    out, err = capsys.readouterr()
    assert err.startswith("wxcheck: 1,500 of 4,000 (")
    assert err.endswith(" left)\n")
    assert out == ""


def test_before_anything_is_done_nobody_knows_what_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    Progress(total=10, done=0, interval=0).tick()
    assert capsys.readouterr().err == "wxcheck: 0 of 10 (0.0/s, ? left)\n"


def test_between_two_lines_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(total=10, done=0, interval=3600)
    progress.advance(5)
    progress.tick()
    assert capsys.readouterr().err == ""


def test_on_a_terminal_a_bar_takes_the_place_of_the_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    progress = Progress(total=10, done=0, interval=0)
    with progress.shown():
        progress.advance(10)
        progress.tick()
        progress.say("the broker is away")
    err = capsys.readouterr().err
    assert "checking" in err
    assert "10/10" in err
    assert " of 10 (" not in err
    assert "wxcheck: the broker is away\n" in err
