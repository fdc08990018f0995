"""One thing has one Chinese word, in ``wxcheck status``, on the board and in the glossary.

Tests: status.words, ops/board/page/words.js, docs/glossary.md
"""

from __future__ import annotations

import re

import pytest

from status import words
from status.labels import KINDS, PLACES, PUSH_RESULTS, STATES, SUGGESTS
from tests.support.page_words import page_words
from tests.support.processes import ROOT

PLACES_SAID = {place.replace("_", " ") for place in PLACES}
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8").split("\n## In Chinese\n")[1]
ROWS = [tuple(line.strip("| ").split(" | ")) for line in GLOSSARY.splitlines() if re.match(r"\| (?!word)", line)]
#: English -> Chinese, by the glossary
CHOSEN = {english: chinese for english, chinese, _ in ROWS}
AVOIDED = [word for *_, words in ROWS for word in words.split("、") if word != "–"]
#: what people may read in Chinese, and the words' own list
CHINESE = [
    path
    for path in (
        *ROOT.glob("*.zh-CN.md"),
        *(ROOT / "docs").glob("*.zh-CN.md"),
        *(path for room in ("ops", "status") for path in (ROOT / room).rglob("*")),
    )
    if path.suffix in (".md", ".py", ".js", ".html")
]


def by_english() -> dict[str, str]:
    """The board's Chinese words by their English ones."""
    english, chinese = page_words("en"), page_words("zh")
    return {said.lower().rstrip("."): chinese[key].rstrip("。") for key, said in english.items()}


def test_board_and_status_say_the_same_in_chinese() -> None:
    board = by_english() | {key: page_words("zh")[key] for key in KINDS}
    shared = board.keys() & words._WORDS.keys()
    assert shared >= {*STATES, *PUSH_RESULTS, *SUGGESTS, *KINDS, "endpoint", "all is well", *PLACES_SAID}
    assert {word: board[word] for word in shared} == {word: words._WORDS[word] for word in shared}


def test_board_and_status_have_the_words_of_the_glossary() -> None:
    for said in (by_english(), words._WORDS):
        shared = said.keys() & CHOSEN.keys()
        assert len(shared) > 20
        assert {word: said[word] for word in shared} == {word: CHOSEN[word] for word in shared}


@pytest.mark.parametrize("word", AVOIDED)
def test_no_text_has_a_chinese_word_that_the_glossary_does_without(word: str) -> None:
    assert len(CHINESE) > 80
    assert [str(path.relative_to(ROOT)) for path in CHINESE if word in path.read_text(encoding="utf-8")] == []
