"""A process's log of what strangers send is bounded, and what was kept back is counted."""

from __future__ import annotations

import io
import json
import logging
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from callbacks import bounded_log
from callbacks.bounded_log import MAX_KINDS, BoundedLines, BoundedLog
from config.log_lines import JsonLines
from config.logs import Log
from tests.support.processes import eventually


class Written:
    """A handler that keeps its lines."""

    def __init__(self) -> None:
        self._stream = io.StringIO()
        self.handler = logging.StreamHandler(self._stream)
        self.handler.setFormatter(JsonLines("here"))

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._stream.getvalue().splitlines()]

    def counted(self) -> int:
        return sum(1 + line.get("kept_back", 0) for line in self.lines())


@pytest.fixture
def written() -> Written:
    return Written()


@pytest.fixture
def logger(written: Written) -> Iterator[logging.Logger]:
    logger = logging.getLogger(f"tests.{uuid.uuid4().hex}")
    logger.addHandler(written.handler)
    logger.propagate = False
    yield logger
    logger.removeHandler(written.handler)


@pytest.fixture(autouse=True)
def long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_log, "INTERVAL", 0.5)


def test_of_many_lines_of_a_kind_the_first_and_the_newest_are_written_with_the_number_between(
    written: Written, logger: logging.Logger
) -> None:
    warnings = BoundedLog(Log(logger.name))
    for number in range(400):
        warnings.warning("refused", "it was", outcome="a", number=number)
    warnings.warning("refused", "another kind", outcome="b")
    eventually(lambda: written.counted() == 401, "all are counted")
    of_a = [line for line in written.lines() if line["outcome"] == "a"]
    assert len(of_a) <= 4
    assert (of_a[0]["number"], of_a[-1]["number"]) == (0, 399)
    assert of_a[-1]["message"].endswith("more like it)")


def test_a_library_s_lines_are_bounded_and_the_project_s_own_are_not(written: Written, logger: logging.Logger) -> None:
    written.handler.addFilter(BoundedLines(written.handler))
    for number in range(400):
        logger.warning("request number %d", number)
        Log(logger.name).warning("own_event")
    eventually(lambda: written.counted() == 800, "all are counted")
    said = [line["message"] for line in written.lines() if line["event"] != "own_event"]
    assert len(said) <= 4
    assert said[0] == "request number 0"
    assert said[-1].startswith("request number 399 (and ")


def test_lines_that_are_all_different_are_bounded_too(written: Written, logger: logging.Logger) -> None:
    written.handler.addFilter(BoundedLines(written.handler))
    for number in range(1000):
        logger.error(f"{number} was sent by a stranger")
    eventually(lambda: written.counted() == 1000, "all are counted")
    assert len(written.lines()) <= MAX_KINDS + 4
