"""The page's files have every word in both languages, and make no text into markup.

Tests: ops.board.app, ops/board/page/words.js, client/wxcheck/__init__.py
"""

from __future__ import annotations

import re

import pytest

from ops.board.app import page_files
from tests.support.page_words import page_words
from tests.support.processes import ROOT
from wechat.verdicts import LABELS

FILES = {name: content.decode() for name, (content, _) in page_files().items()}
SCRIPTS = {name: text for name, text in FILES.items() if name.endswith(".js")}


def test_every_word_is_there_in_both_languages_with_the_same_places_for_values() -> None:
    english, chinese = page_words("en"), page_words("zh")
    assert english.keys() == chinese.keys()
    for key, text in english.items():
        assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", chinese[key])), key


def test_every_word_that_the_page_names_is_there() -> None:
    named = set(re.findall(r'data-(?:word|label|placeholder)="(\w+)"', FILES["board.html"]))
    for script in SCRIPTS.values():
        named |= set(re.findall(r'\bword\("(\w+)"', script))
    assert named <= page_words("en").keys()
    assert len(named) > 50


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_label_that_wechat_documents_has_a_name_of_its_own_and_no_other_has_one(language: str) -> None:
    names = {key: name for key, name in page_words(language).items() if re.fullmatch(r"label_\d+", key)}
    assert names.keys() == {f"label_{label}" for label in LABELS}
    assert len(set(names.values())) == len(LABELS)


def test_the_client_tells_the_same_labels_by_the_same_names() -> None:
    source = (ROOT / "client" / "wxcheck" / "__init__.py").read_text(encoding="utf-8")
    (comment,) = re.findall(r"((?:^    #: .*\n)+)    label: int$", source, re.MULTILINE)
    told = {int(label): name for label, name in re.findall(r"(\d+) (\w+)", comment)}
    assert told == {label: page_words("en")[f"label_{label}"] for label in LABELS}


@pytest.mark.parametrize("name", SCRIPTS)
def test_no_script_makes_text_into_markup_or_code(name: str) -> None:
    made = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\b|new Function|setAttribute\(\"style"
    )
    assert not re.search(made, SCRIPTS[name])


def test_the_page_names_no_other_host_and_has_nothing_inline() -> None:
    for name, text in FILES.items():
        hosts = set(re.findall(r"(?:https?:)?//([a-z0-9.-]+\.[a-z]+)", text))
        assert hosts <= {"www.w3.org"}, name
    assert not re.search(r"<style|<script>|\sstyle=|\son\w+=", FILES["board.html"])


def test_the_page_has_every_file_that_it_names() -> None:
    asked = set(re.findall(r'(?:href|src)="/([^"]+)"', FILES["board.html"]))
    for script in SCRIPTS.values():
        asked |= set(re.findall(r'from "\./([^"]+)"', script))
    assert asked | {"board.html"} == FILES.keys()
