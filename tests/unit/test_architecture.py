"""``docs/architecture.md`` draws the folders that there are, and tells the ways of the code.

Tests: docs/architecture.md
"""

from __future__ import annotations

import ast
import re
import tomllib

import pytest

from tests.support.processes import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
#: stations of a way at most: a newcomer is to follow it in one go
STATIONS = 20


#: those that the layers of pyproject.toml order, from top to bottom; the lowest one is the client
LAYERS = ["ops", "callbacks", "status", "tasks", "worker", "sandbox", "store", "wechat", "config"]


def picture() -> list[list[str]]:
    """The rooms of the picture, a line each: a room and the rooms in it."""
    (drawn,) = re.findall(r"^```\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    every: list[list[str]] = []
    for line in drawn.split("─\n", 1)[1].splitlines():
        rooms = line[:63].split()
        if line.startswith("      "):
            every[-1] += rooms  # goes on with the room above
        else:
            every.append(rooms)
    return every


def folders(room: str) -> set[str]:
    """The packages in a room."""
    return {path.parent.name for path in (ROOT / room).glob("*/__init__.py")}


def way(heading: str) -> list[tuple[int, str]]:
    """The stations below a heading, by their numbers."""
    (part,) = re.findall(rf"^### {heading}\n(.*?)^##", PAGE, re.MULTILINE | re.DOTALL)
    return [(int(number), said) for number, said in re.findall(r"^(\d+)\. (.*)$", part, re.MULTILINE)]


def test_the_picture_has_every_room_in_the_order_of_the_layers_and_what_is_in_each() -> None:
    layers = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"][
        0
    ]
    assert layers["layers"] == ["bench | examples", *LAYERS, "wxcheck"]
    assert [room for room, *_ in picture()] == [*LAYERS, "client"]
    assert {room: set(inside) for room, *inside in picture()[:-1]} == {room: folders(room) for room in LAYERS}


@pytest.mark.parametrize("room", LAYERS)
def test_a_room_says_what_it_imports(room: str) -> None:
    source = (ROOT / room / "__init__.py").read_text(encoding="utf-8")
    assert re.search(r"\bImports \w+", ast.get_docstring(ast.parse(source)) or "")


@pytest.mark.parametrize("heading", ["A text", "A picture or a sound"])
def test_a_way_has_few_stations_and_each_but_the_last_has_its_file(heading: str) -> None:
    stations = way(heading)
    assert [number for number, _ in stations] == list(range(1, len(stations) + 1))
    assert 10 < len(stations) <= STATIONS
    files = [re.match(r"`([\w/.]+\.py)`", said) for _, said in stations[:-1]]
    assert [said for (_, said), file in zip(stations[:-1], files, strict=True) if not file] == []
