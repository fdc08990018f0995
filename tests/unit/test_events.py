"""Every event of the log is documented with its level, its process and its fields.

Tests: docs/logs.md, worker.celery_parts.logs
"""

from __future__ import annotations

import re

from config.log_lines import _SOURCES
from tests.support.events import Said, said, unnamed
from tests.support.processes import ROOT
from worker.celery_parts.logs import EVENTS

PAGE = (ROOT / "docs" / "logs.md").read_text(encoding="utf-8")


def rows(heading: str) -> dict[str, list[str]]:
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if "|" in line]
    return {row[0].strip("`"): row[1:] for row in cells[2:]}


OWN = rows("Events of wxcheck")


def by_event() -> dict[str, list[Said]]:
    found: dict[str, list[Said]] = {}
    for one in said():
        found.setdefault(one.event, []).append(one)
    return found


def test_every_event_is_documented_and_no_other_in_the_order_of_their_names() -> None:
    assert list(OWN) == sorted(by_event())


def test_the_level_and_the_process_of_each_are_those_of_the_source() -> None:
    for event, places in by_event().items():
        levels, process = OWN[event][0].lower().split(", "), OWN[event][1]
        if all(place.level for place in places):
            assert set(levels) == {place.level for place in places}, event
        assert {place.speaker for place in places} == {process}, event


def test_the_fields_that_a_line_names_are_in_the_table() -> None:
    for event, places in by_event().items():
        listed = set(re.findall(r"`(\w+)`", OWN[event][2]))
        assert set().union(*(place.fields for place in places)) <= listed, event


def test_nothing_is_written_into_the_log_without_a_name() -> None:
    assert unnamed() == []


def test_the_events_of_celery_s_records_are_documented() -> None:
    others = rows("Events of others")
    assert {*EVENTS.values(), *_SOURCES.values()} == {event for event in others if "," not in event}
