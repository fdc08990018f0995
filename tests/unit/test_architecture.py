"""``docs/architecture.md`` against the folders that it draws, and the ways that it tells.

Tests: docs/architecture.md
"""

from __future__ import annotations

import ast
import re

import pytest

from tests.support.processes import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
#: stations of a way at most: a newcomer is to follow it in one go
STATIONS = 20


def first_lines(package: str) -> str:
    """The first paragraph of a package's docstring, on one line."""
    source = (ROOT / package / "__init__.py").read_text(encoding="utf-8")
    paragraph = (ast.get_docstring(ast.parse(source)) or "").split("\n\n")[0]
    return " ".join(re.sub(r":mod:`([\w.]+)`", r"`\1`", paragraph).replace("``", "`").split())


def rooms() -> list[str]:
    """The packages of the repository down to the second level, but for those of the tests and the examples."""
    found = [path.parent for pattern in ("*", "*/*") for path in ROOT.glob(f"{pattern}/__init__.py")]
    names = [str(path.relative_to(ROOT)) for path in found]
    return sorted(name for name in names if not name.startswith(("tests", "build", ".", "examples/", "bench/")))


def way(heading: str) -> list[tuple[int, str]]:
    """The stations below a heading, by their numbers."""
    (part,) = re.findall(rf"^### {heading}\n(.*?)^##", PAGE, re.MULTILINE | re.DOTALL)
    return [(int(number), said) for number, said in re.findall(r"^(\d+)\. (.*)$", part, re.MULTILINE)]


def test_every_room_is_listed_with_the_first_lines_of_its_own_and_no_other() -> None:
    listed = re.findall(r"^\| `([\w/]+)/` \| (.+) \|$", PAGE, re.MULTILINE)
    assert sorted(room for room, _ in listed) == rooms()
    assert [(room, said) for room, said in listed if said != first_lines(room)] == []


@pytest.mark.parametrize("heading", ["A text", "A picture or a sound"])
def test_a_way_has_few_stations_and_each_but_the_last_has_its_file(heading: str) -> None:
    stations = way(heading)
    assert [number for number, _ in stations] == list(range(1, len(stations) + 1))
    assert 10 < len(stations) <= STATIONS
    files = [re.match(r"`([\w/.]+\.py)`", said) for _, said in stations[:-1]]
    assert [said for (_, said), file in zip(stations[:-1], files, strict=True) if not file] == []
