"""The page's files have every word in both languages, and make no text into markup.

Tests: ops.board.app, ops/board/page/words.js
"""

from __future__ import annotations

import re

import pytest

from ops.board.app import page_files

FILES = {name: content.decode() for name, (content, _) in page_files().items()}
SCRIPTS = {name: text for name, text in FILES.items() if name.endswith(".js")}


def words(language: str) -> dict[str, str]:
    """The words of a language by their keys, as ``words.js`` lists them."""
    (block,) = re.findall(rf"^  {language}: \{{\n(.*?)^  \}},$", FILES["words.js"], re.MULTILINE | re.DOTALL)
    return dict(re.findall(r'(\w+): "([^"]*)"', block))


def test_every_word_is_there_in_both_languages_with_the_same_places_for_values() -> None:
    english, chinese = words("en"), words("zh")
    assert english.keys() == chinese.keys()
    for key, text in english.items():
        assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", chinese[key])), key


def test_every_word_that_the_page_names_is_there() -> None:
    named = set(re.findall(r'data-(?:word|label|placeholder)="(\w+)"', FILES["board.html"]))
    for script in SCRIPTS.values():
        named |= set(re.findall(r'\bword\("(\w+)"', script))
    assert named <= words("en").keys()
    assert len(named) > 50


def test_every_label_that_wechat_documents_has_a_name() -> None:
    labels = (100, 10001, 20001, 20002, 20003, 20006, 20008, 20012, 20013, 21000)
    for language in ("en", "zh"):
        assert len({words(language)[f"label_{label}"] for label in labels}) == len(labels)


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
