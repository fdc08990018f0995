"""A line of the log has its event and fields, in text and in JSON, and quotes nothing that users wrote.

Tests: config.log_lines, config.logs, worker.celery_parts.logs
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from typing import Any

import pytest
import redis
import requests
from celery.app import trace

from config.log_lines import JsonLines, Lines, TextLines, formatter, is_json, told
from config.logs import Log
from worker.celery_parts.logs import EVENTS, work_at_hand
from wxcheck import CheckRefused

#: what may stand in no line
CONTENT = "hushtext"

KEYS = ["time", "level", "event", "message", "logger", "process", "task_id", "trace_id", "appid"]
NAMES = {words.strip(): event for words, event in EVENTS.items()}


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def log() -> Any:
    log = Log("tests.lines")
    # one of its own: of any other pytest keeps what it says for its report, where a lone surrogate cannot be written
    log.logger = logging.Logger("tests.lines", logging.DEBUG)
    log.kept = Kept()  # type: ignore[attr-defined]
    log.logger.addHandler(log.kept)  # type: ignore[attr-defined]
    return log


def text(log: Any, lines: Lines | None = None) -> str:
    (record,) = log.kept.records
    return (lines or TextLines("w@host")).format(record)


def line(log: Any, **options: Any) -> dict[str, Any]:
    said = text(log, JsonLines("w@host", NAMES, **options))
    assert "\n" not in said
    parsed: dict[str, Any] = json.loads(said)
    return parsed


def test_an_event_is_a_line_that_begins_with_its_name_and_fields(log: Any) -> None:
    log.warning("lane_closed", "closed for 8 s, at 90 % of its rate", appid="wx1", lane="text", errcode=44991, rid=None)
    assert text(log).endswith(
        ": WARNING/w@host] lane_closed appid=wx1 lane=text errcode=44991: closed for 8 s, at 90 % of its rate"
    )


def test_the_same_event_in_json_has_them_as_values(log: Any) -> None:
    log.warning("lane_closed", "closed for 8 s", appid="wx1", lane="text", errcode=44991, rid=None)
    found = line(log)
    assert list(found) == [*KEYS, "lane", "errcode", "rid"]
    assert found["time"].endswith("+00:00")
    assert {**found, "time": ""} == {
        "time": "",
        "level": "WARNING",
        "event": "lane_closed",
        "message": "lane_closed appid=wx1 lane=text errcode=44991: closed for 8 s",
        "logger": "tests.lines",
        "process": "w@host",
        "task_id": None,
        "trace_id": None,
        "appid": "wx1",
        "lane": "text",
        "errcode": 44991,
        "rid": None,
    }


def test_records_of_one_event_have_one_template(log: Any) -> None:
    log.info("parked", "it waits", task_id="a")
    log.info("parked", "it waits", task_id="b")
    assert {record.msg for record in log.kept.records} == {"parked task_id=%(task_id)s: %(said)s"}


def test_an_event_without_sentence_or_fields_is_its_name(log: Any) -> None:
    log.debug("appendfsync_not_told")
    assert text(log).endswith("] appendfsync_not_told")


FORGED = "x\n[2026-01-01 00:00:00,000: INFO/w@host] parked task_id=1\r\x1b[31m\u2028\u202e\x85\ud800"


@pytest.mark.parametrize("say", [lambda log: log.info("unreadable", FORGED), lambda log: log.info("x", queue=FORGED)])
def test_no_text_forges_a_line_in_either_format(log: Any, say: Callable[[Any], None]) -> None:
    say(log)
    shown = text(log, TextLines("w@host"))
    assert shown.isprintable()
    assert len(shown.splitlines()) == 1
    shown.encode()
    shown = text(log, JsonLines("w@host"))
    assert shown.isprintable()
    assert FORGED in {line(log)["message"].partition(": ")[2], line(log).get("queue")}


def test_work_at_hand_says_whose_a_record_is_unless_it_says_so_itself(log: Any) -> None:
    context = {"task_id": "t", "trace_id": "r", "appid": "wx1"}
    log.info("lane_closed", appid="wx2", task_id=None)
    found = line(log, context=lambda: context)
    assert (found["task_id"], found["trace_id"], found["appid"]) == (None, "r", "wx2")
    assert work_at_hand() == {}


def test_celery_s_records_of_a_task_are_events_with_its_id(log: Any) -> None:
    data = {"id": "t", "name": "wxcheck.check_text", "args": CONTENT, "kwargs": CONTENT}
    log.logger.info(trace.LOG_RECEIVED, data, extra={"data": data})
    found = line(log)
    assert (found["event"], found["task_id"], found["task"]) == ("task_received", "t", "wxcheck.check_text")
    assert found["message"] == "Task wxcheck.check_text[t] received"
    assert CONTENT not in json.dumps(found)


@pytest.mark.parametrize(
    ("name", "event"),
    [("celery.worker", "celery"), ("uvicorn.error", "uvicorn"), ("py.warnings", "python_warning"), ("x", "x")],
)
def test_what_others_write_has_their_name(name: str, event: str) -> None:
    record = logging.LogRecord(name, logging.INFO, "", 0, "100 % of %s", ("it",), None)
    found = json.loads(JsonLines("w@host").format(record))
    # the line is there although its template is wrong
    assert (found["event"], found["message"]) == (event, "100 % of %s")


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (ValueError(CONTENT), "ValueError"),
        (KeyError(CONTENT), "KeyError"),
        (requests.ConnectionError(f"https://a/?access_token={CONTENT}"), "ConnectionError"),
        (UnicodeEncodeError("utf-8", CONTENT, 0, 1, "no"), "UnicodeEncodeError"),
        (ConnectionRefusedError(111, "refused"), "ConnectionRefusedError: [Errno 111] refused"),
        (redis.exceptions.OutOfMemoryError("OOM"), "OutOfMemoryError: OOM"),
        (AttributeError("no attribute 'x'"), "AttributeError: no attribute 'x'"),
        (CheckRefused(40125, "invalid", "r"), f"CheckRefused: {CheckRefused(40125, 'invalid', 'r')}"),
    ],
)
def test_the_text_of_an_exception_is_shown_where_it_cannot_quote(error: Exception, shown: str) -> None:
    assert told(error) == shown


def test_a_traceback_shows_where_it_came_from_and_not_what_it_quotes(log: Any) -> None:
    try:
        try:
            int(CONTENT)
        except ValueError as error:
            raise KeyError(CONTENT) from error
    except KeyError:
        log.logger.exception("it failed")
    found = line(log)
    assert CONTENT not in json.dumps(found).replace("int(CONTENT)", "").replace("KeyError(CONTENT)", "")
    steps = found["exception"].splitlines()
    assert [step for step in steps if not step.startswith((" ", "/"))] == [steps[0], "ValueError", "then:", "KeyError"]
    assert steps[0].startswith("Traceback")
    assert steps[1].endswith("in test_a_traceback_shows_where_it_came_from_and_not_what_it_quotes")
    shown = text(log)
    assert CONTENT not in shown
    assert all(part.startswith("  ") for part in shown.splitlines()[1:])


def test_what_celery_says_of_an_unexpected_failure_quotes_nothing(log: Any) -> None:
    error = ValueError(CONTENT)
    data = {"id": "t", "name": "n", "exc": repr(error), "traceback": CONTENT, "description": "raised unexpected"}
    log.logger.error(trace.LOG_FAILURE.strip(), data, exc_info=error, extra={"data": data})
    found = line(log)
    assert (found["event"], found["message"]) == ("task_failed", "Task n[t] raised unexpected: ValueError")
    assert CONTENT not in json.dumps(found)


def test_an_exception_among_the_arguments_of_a_library_s_line_quotes_nothing(log: Any) -> None:
    log.logger.critical("Couldn't reject %r, reason: %r", 1, ValueError(CONTENT))
    assert line(log)["message"] == "Couldn't reject 1, reason: 'ValueError'"


def test_what_celery_warns_of_around_a_task_quotes_nothing(log: Any) -> None:
    log.logger.warning("%s", f"a.py:1: RuntimeWarning: Exception raised outside body: ValueError('{CONTENT}'):\nTrace")
    assert line(log)["message"].endswith("Exception raised outside body: ValueError (what it says is not shown)")


def test_a_terminal_gets_text_in_colours_and_everything_else_json(monkeypatch: pytest.MonkeyPatch, log: Any) -> None:
    class Terminal:
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "__stderr__", Terminal())
    assert not is_json("auto")
    assert is_json("auto", logfile="worker.log")
    log.error("flow_failed")
    assert text(log, formatter("auto", "w@host")).startswith("\x1b[31m[")
    assert not text(log, formatter("auto", "w@host", colours=False)).startswith("\x1b")
    assert not text(log, formatter("text", "w@host", logfile="worker.log")).startswith("\x1b")
    assert text(log, formatter("json", "w@host")).startswith("{")
    monkeypatch.setattr(sys, "__stderr__", None)
    assert is_json("auto")
    assert not is_json("text")
