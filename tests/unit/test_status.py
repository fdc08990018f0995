"""``wxcheck status`` tells the board's numbers in lines.

Tests: ops.cli.status, ops.cli.status_view, status.words
"""

from __future__ import annotations

import json
import string
from typing import Any

import pytest
from click.testing import CliRunner, Result
from redis.exceptions import ConnectionError as StoreGone

from ops.cli import status
from ops.cli.main import main
from ops.cli.status_view import bar, lines, sparkline
from status import words
from status.words import Lang
from tests.support.numbers import AT, failure, lane, numbers, process, said, trouble


def shown(lang: Lang = "en", **changes: Any) -> str:
    return "\n".join(line.plain for line in lines(numbers(**changes), lang))


def run(monkeypatch: pytest.MonkeyPatch, read: Any, *arguments: str, **environment: str) -> Result:
    monkeypatch.setattr(status, "reader", lambda: read)
    return CliRunner().invoke(main, ["status", *arguments], env={"LC_ALL": "C.UTF-8", **environment})


def test_the_first_line_says_that_all_is_well_or_what_is_wrong_with_its_remedy() -> None:
    assert shown().splitlines()[0] == "all is well"
    wrong = shown(troubles=[trouble(), trouble("warn")]).splitlines()
    assert wrong[0] == "WeChat refuses the AppSecret  Remedy: set WXCHECK_SECRET"
    assert wrong[1].startswith("also: ")
    chinese = shown("zh", troubles=[trouble()]).splitlines()
    assert chinese[0] == "微信不接受 AppSecret  处理办法: 设置 WXCHECK_SECRET"


def test_the_numbers_are_there() -> None:
    page = shown()
    for told in (
        "wx0123456789abcdef text  open",
        "12/4,000",
        "1,900,000/2,000,000",
        "backlog 1,717, about 26 s",
        "peak 8 a minute",
        "wxcheck.text  1,717 messages, 2 workers",
        "inbox 3  lanes 1,717  shelf 14  in hand 2  parked 3  ready 0  outbox 0",
        "3 parked, the oldest for 12 s",
        "p50 1.2 s  p95 4.0 s  p99 1 min 15 s",
        "hour: matched 10  forged 2",
        "image risky 20002  hour 3  day 40",
        "text@host  worker  0.1.0  threads, slots 96  wxcheck.text  seen 1.0 s ago",
    ):
        assert told in page, page
    assert "clock off" not in page


def test_a_closed_lane_says_why_and_when_it_opens() -> None:
    closed = lane(state="closed", why=said("the day is spent", "当日配额已用完"), opens_at=AT + 7500, backlog=None)
    assert "text  closed: the day is spent; opens in 2 h 5 min" in shown(lanes=[closed])
    assert "文本  关闭: 当日配额已用完; 2 小时 5 分 后开放" in shown("zh", lanes=[closed])


def test_a_failure_is_shown_with_errcode_rid_and_remedy_and_a_wrong_clock_is_told() -> None:
    classes = [{"name": "CheckRefused", "errcode": 40164, "hour": 1, "day": 9, "remedy": said("list the IP", "加白")}]
    page = shown(
        failures={"classes": classes, "newest": [failure(rid="a\x1b[31m")]},
        processes=[process(clock_offset_seconds=-3600)],
    )
    assert "CheckRefused 40164  hour 1  day 9" in page
    assert "Remedy: list the IP" in page
    assert "rid a\\x1b[31m" in page
    assert "clock off by -1 h" in page


def test_old_and_absent_numbers_are_told() -> None:
    assert "these numbers are 1 min 30 s old" in shown(stale_seconds=90)
    only = {"stale_seconds": 5, "troubles": [trouble()]}
    assert len(list(lines(only, "en"))) == 2


@pytest.mark.parametrize(("share", "cells"), [(0, 0), (0.001, 1), (0.55, 5), (0.99, 9), (1, 10), (3, 10)])
def test_a_gauge_is_empty_where_nothing_was_used_and_full_where_all_was(share: float, cells: int) -> None:
    assert bar(share).plain == "█" * cells + "░" * (10 - cells)


def test_a_sparkline_has_a_cell_for_each_minute_and_shows_given_back_and_refused_ones() -> None:
    line = sparkline([[AT, 0, 0, 0], [AT, 1, 0, 0], [AT, 100, 0, 0], [AT, 0, 3, 0], [AT, 50, 0, 1]])
    assert line.plain == " ▁█·▅"
    assert [span.style for span in line.spans][-2:] == ["yellow", "red"]


def test_every_word_has_its_places_in_both_languages() -> None:
    for english, chinese in words._WORDS.items():
        assert len(list(string.Formatter().parse(english))) > 0
        assert english.count("{}") == chinese.count("{}"), english


def test_the_exit_code_is_1_where_something_is_wrong_and_0_where_it_is_a_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert run(monkeypatch, numbers).exit_code == 0
    assert run(monkeypatch, lambda: numbers(troubles=[trouble("warn")])).exit_code == 0
    ran = run(monkeypatch, lambda: numbers(troubles=[trouble("warn"), trouble()]), "--json")
    assert (ran.exit_code, json.loads(ran.output)["troubles"][1]["level"]) == (1, "bad")


def test_a_store_that_is_away_is_told_with_exit_code_2(monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> None:
        raise StoreGone("refused")

    ran = run(monkeypatch, away)
    assert (ran.exit_code, "WXCHECK_REDIS_URL" in ran.output) == (2, True)


def test_the_language_is_that_of_the_locale_unless_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, numbers, LC_ALL="zh_CN.UTF-8").output.startswith("一切正常")
    assert run(monkeypatch, numbers, "--lang", "en", LC_ALL="zh_CN.UTF-8").output.startswith("all is well")


def test_it_is_watched_until_it_is_stopped_also_while_the_store_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[Any] = [numbers(), StoreGone("refused"), numbers(dead=7), KeyboardInterrupt()]

    def read() -> Any:
        told = said.pop(0)
        if isinstance(told, BaseException):
            raise told
        return told

    ran = run(monkeypatch, read, "--watch", "--interval", "0.2", "--json")
    assert ran.exit_code == 0
    assert [json.loads(line)["dead"] for line in ran.stdout.splitlines()] == [0, 7]
    assert "the store" in ran.stderr
