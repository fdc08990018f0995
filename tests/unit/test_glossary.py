"""``docs/glossary.md`` has one sentence for each word, and no word that it does without.

Tests: docs/glossary.md
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.processes import ROOT

PAGE = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
WORDS, BANNED = PAGE.split("\n## Words that are not used\n")
EVENTS = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "logs.md").read_text(encoding="utf-8"), re.MULTILINE)
PAGES = [*ROOT.glob("*.md"), *(path for path in (ROOT / "docs").rglob("*.md") if path.name != "glossary.md")]

#: what the glossary does without, where it can be told from the same letters in another sense
AS_TERMS = re.compile(
    r"\bheld (?:lane|check|queue)s?\b|\blanes? (?:is|are|was|were) held\b|\bsubmissions?\b"
    r"|\bpending (?:check|media|text)s?\b|\bhalf[ -]done\b",
    re.IGNORECASE,
)

#: the same, as a state, a label, a counter, a field or a function has it
AS_NAMES = re.compile(
    r"""["'|]held["'|\\]|\bheld_(?:back|media|text|until)\b|HeldBack|lane_held|QuotaHeld|OldestPending|\.hold\(|[sS]ubmission\b"""
)
SOURCES = [
    path
    for folder in (
        "bench",
        "callbacks",
        "config",
        "deploy",
        "ops",
        "sandbox",
        "status",
        "store",
        "tasks",
        "wechat",
        "worker",
    )
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in (".py", ".lua", ".js", ".html", ".css", ".json", ".yml")
]


def rows(text: str) -> list[tuple[str, ...]]:
    cells = [line.strip("| \n").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return [tuple(row) for row in cells if row[0] not in ("word", "not")]


def test_each_word_has_one_sentence_and_one_place() -> None:
    found = rows(WORDS)
    words = [word for word, *_ in found]
    assert len(found) > 50
    assert sorted(words) == sorted(set(words))
    for word, *rest in found:
        assert len(rest) == 2, word
        means, place = rest
        assert re.fullmatch(r"[A-Z][^.]*(?:\d\.\d[^.]*|`[^`]*`[^.]*|\.<appid>[^.]*)*\.", means), (word, means)
        assert not re.match(r"(?:What|Where|Who|Which|Of) ", means), word
        assert re.fullmatch(r"`[\w/.]+`|\[[^\]]+\]\(\S+\)", place), (word, place)


@pytest.mark.parametrize("word", ["held", "pending", "submission"])
def test_no_event_of_the_log_has_a_word_that_is_not_used(word: str) -> None:
    assert len(EVENTS) > 50
    assert [event for event in EVENTS if word in event.split("_")] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_page_has_a_word_that_is_not_used(page: Path) -> None:
    assert [found.group() for found in AS_TERMS.finditer(page.read_text(encoding="utf-8"))] == []


def test_no_source_has_a_name_that_is_not_used() -> None:
    assert len(SOURCES) > 200
    texts = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in SOURCES}
    assert {path: found for path, text in texts.items() if (found := AS_NAMES.findall(text))} == {}
