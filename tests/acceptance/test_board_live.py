"""The board of a system at work shows in a browser the numbers that were sent through, under load too.

Tests: ops/board/page
"""

from __future__ import annotations

import re
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery.result import AsyncResult
from playwright.sync_api import Locator, Page, expect

from tests.support.browser import Browser, Window, chromium
from tests.support.checks import picture, send_media, send_text, verdict_of, words
from tests.support.ports import free_port
from tests.support.processes import PATIENCE, eventually
from tests.support.system import KeepingSystem, System

WXCHECK = str(Path(sys.executable).with_name("wxcheck"))
#: checks a second, and for how many seconds they come
RATE, SECONDS = 100, 8

expect.set_options(timeout=PATIENCE * 1000)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    system = KeepingSystem(tmp_path_factory.mktemp("system"), APPS="", TEXT_PER_MINUTE="60000")
    try:
        system.sandbox("--option", "text_per_minute=60000")
        system.endpoint()
        system.worker()
        yield system
    finally:
        system.close()


@pytest.fixture(scope="module")
def url(system: System) -> str:
    port = free_port()
    board = system.run("board", [WXCHECK, "board", "--port", str(port)])
    board.wait_for("board: http")
    return f"http://127.0.0.1:{port}"


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    with browser.window(url) as window:
        window.go("/")
        expect(window.page.locator("body")).to_have_attribute("data-connection", "live")
        yield window.page
        assert_clean(window)


def assert_clean(window: Window) -> None:
    assert window.faults == []
    assert window.foreign == []


def row(page: Page, *shown: str) -> Locator:
    """The line of the verdicts' table that says all of these."""
    found = page.locator("#labels tr")
    for words_ in shown:
        found = found.filter(has_text=words_)
    return found


def counted(page: Page, *shown: str) -> int:
    """The number that this line tells for the last hour."""
    found = row(page, *shown)
    if found.count() == 0:
        return 0
    return int(re.sub(r"\D", "", found.locator("td.n").first.inner_text()))


def test_the_numbers_on_the_page_agree_with_what_was_sent_through(system: System, page: Page) -> None:
    lines = [("Text", "Pass"), ("Text", "Risky"), ("Picture", "Pass"), ("Picture", "Risky")]
    before = [counted(page, *line) for line in lines]
    texts = [send_text(system.app, words("risky" if number < 4 else "pass")) for number in range(12)]
    pictures = [send_media(system.app, picture("risky" if number < 2 else "pass")) for number in range(5)]
    for check in (*texts, *pictures):
        verdict_of(check)

    def more() -> list[int]:
        return [counted(page, *line) - had for line, had in zip(lines, before, strict=True)]

    eventually(lambda: more() == [8, 4, 3, 2], "the page shows each of them")
    expect(page.locator("#first")).to_have_attribute("data-level", "well")
    expect(page.locator("#waiting-count")).to_have_text("0")
    expect(page.locator("#process-rows")).to_contain_text("worker@")


def test_the_page_keeps_up_with_100_checks_a_second(system: System, page: Page) -> None:
    before = counted(page, "Text", "Pass")
    checks: deque[AsyncResult] = deque(maxlen=5)

    def send() -> None:
        began = time.monotonic()
        for number in range(RATE * SECONDS):
            time.sleep(max(0.0, began + number / RATE - time.monotonic()))
            checks.append(send_text(system.app, words()))

    sending = threading.Thread(target=send)
    sending.start()
    seen, times = [], set()
    while sending.is_alive():
        seen.append(counted(page, "Text", "Pass") - before)
        times.add(page.locator("#live-time").inner_text())
        assert page.locator("body").get_attribute("data-connection") == "live"
        page.wait_for_timeout(250)
    sending.join()
    assert seen == sorted(seen)
    # it is told while it happens, again and again
    assert len(set(seen)) >= SECONDS // 3
    assert len(times) >= SECONDS // 3
    assert seen[-1] > 0
    eventually(lambda: counted(page, "Text", "Pass") - before == RATE * SECONDS, "each of them is counted once")
    assert {verdict_of(check)["suggest"] for check in checks} == {"pass"}


def test_the_page_says_that_the_broker_is_away_and_recovers(system: System, browser: Browser, url: str) -> None:
    with browser.window(url) as window:
        window.go("/")
        first = window.page.locator("#first")
        expect(first).to_have_attribute("data-level", "well")
        verdict_of(send_text(system.app, words()))
        eventually(lambda: counted(window.page, "Text", "Pass") > 0, "it is counted")
        system.server.kill()
        expect(first).to_have_attribute("data-level", "bad")
        expect(first).to_contain_text("does not answer")
        expect(first).to_contain_text("WXCHECK_REDIS_URL")
        # what it showed before is there still
        assert counted(window.page, "Text", "Pass") > 0
        system.start_redis()
        expect(first).to_have_attribute("data-level", "well")
        assert_clean(window)
