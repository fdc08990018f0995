"""The documents say of the matrix of arrangements and canvases what is tried.

Tests: tests.matrix.canvases, docs/guarantees.md
"""

from __future__ import annotations

from itertools import groupby

from tests.matrix.canvases import CANVASES, Canvas, Outcome, faults
from tests.support.processes import ROOT
from tests.support.topology import NAMES


def table(first: str) -> list[list[str]]:
    """The cells of the table in docs/guarantees.md whose head begins with ``first``, without the line below."""
    text = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
    lines = text[text.index(f"| {first} |") :].split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if not line.startswith("|---")]


def test_the_table_of_canvases_has_a_row_for_each_canvas_and_a_column_for_each_arrangement() -> None:
    kinds: dict[str, list[str]] = {}
    for canvas in CANVASES:
        kinds.setdefault(canvas.row, []).append(canvas.kind)
    tried = [[row, ", ".join(of_row), *["✓"] * len(NAMES)] for row, of_row in kinds.items()]
    assert table("canvas") == [["canvas", "checks", *NAMES], *tried]


def test_each_arrangement_is_described() -> None:
    assert [row[0] for row in table("arrangement")[1:]] == list(NAMES)


def test_no_two_canvases_have_one_name() -> None:
    names = sorted(canvas.name for canvas in CANVASES)
    assert [name for name, same in groupby(names) if len(list(same)) > 1] == []


def canvas_named(name: str) -> Canvas:
    (found,) = [canvas for canvas in CANVASES if canvas.name == name]
    return found


def run(what: str, of: str | None = None) -> dict[str, str | None]:
    return {"token": "t", "what": what, "of": of}


def test_what_is_wrong_with_a_canvas_is_found() -> None:
    canvas = canvas_named("in the middle of a chain, text")
    ended = Outcome("t", ["1", "2", "3"], ["uploaded", "pass", "published pass"])
    assert faults(canvas, ended, [run("upload"), run("publish pass")]) == []
    assert faults(canvas, ended, [run("upload"), run("publish pass"), run("publish pass")]), "it ran twice"
    assert faults(canvas, ended, [run("publish pass"), run("upload")]), "it ran in another order"
    assert faults(canvas, ended, [run("upload")]), "it did not run"
    assert faults(canvas, Outcome("t", ["1", "2", "3"], ["uploaded", None, None]), []), "it did not end"


def test_an_errback_of_another_canvas_is_found() -> None:
    canvas = canvas_named("time-out, media")
    ended = Outcome("t", ["1", "2"], ["PushTimeout", "PushTimeout"])
    assert faults(canvas, ended, [run("hide", "1")]) == []
    assert faults(canvas, ended, [run("hide", "9")])
