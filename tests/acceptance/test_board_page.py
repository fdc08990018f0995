"""The board's page says in a browser all that it is meant to, in every language, theme and size, and stays in place.

Tests: ops/board/page
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import redis
from playwright.sync_api import Page, expect

from tests.support.board import Board, Numbers, board, busy, failure, lane, many, process, quiet, said, trouble
from tests.support.browser import DESKTOP, PHONE, Browser, Device, Window
from tests.support.processes import PATIENCE, eventually

APPID = "wx5a4dbeefdeadc0de"
#: seconds; the tests of the server look at how often it reads
FRESH = 0.05
HOSTILE = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>\'"&amp;'

expect.set_options(timeout=PATIENCE * 1000)

#: whether two Chinese letters look different: without a font for them each is the same box
HAS_CHINESE_FONT = """() => {
  const drawn = (letter) => {
    const canvas = document.createElement("canvas");
    const pen = canvas.getContext("2d");
    pen.font = "40px sans-serif";
    pen.fillText(letter, 10, 60);
    return canvas.toDataURL();
  };
  return drawn("\u914d") !== drawn("\u989d");
}"""
NO_CHINESE_FONT = "pictures would show boxes, in English too, which names the other language: install a Chinese font"

#: the least contrast of any words on the page with what is behind them, and whose it is
CONTRAST = """() => {
  const channels = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const [r, g, b, a = 1] = channels(getComputedStyle(at).backgroundColor);
      if (a === 1) return [r, g, b];
      if (a > 0) throw new Error("half transparent: " + at.className);
    }
    return [255, 255, 255];
  };
  let least = [21, ""];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !node.checkVisibility({ visibilityProperty: true })) continue;
    const style = getComputedStyle(node);
    const words = light(channels(node instanceof SVGElement ? style.fill : style.color));
    const ground = light(behind(node));
    const ratio = (Math.max(words, ground) + 0.05) / (Math.min(words, ground) + 0.05);
    if (ratio < least[0]) least = [ratio, walker.currentNode.data];
  }
  return least;
}"""

#: counts how far things are moved by what changes, from now on
WATCH_SHIFTS = """() => {
  window.shifts = 0;
  new PerformanceObserver((list) => list.getEntries().forEach((entry) => (window.shifts += entry.value)))
    .observe({ type: "layout-shift", buffered: false });
}"""

#: notes each word that stands on a button from now on: one may stand there for a moment only
NOTE_WORDS = """(button) => {
  window.words = [];
  new MutationObserver(() => window.words.push(button.textContent)).observe(button, { childList: true, subtree: true });
}"""


@pytest.fixture(scope="module")
def shown() -> Iterator[Board]:
    with board() as running, pytest.MonkeyPatch.context() as patch:
        patch.setattr("ops.board.latest.FRESH_SECONDS", FRESH)
        # a reading takes no time here, but its thread may have to wait for its turn
        patch.setattr("ops.board.latest.PATIENCE_SECONDS", PATIENCE)
        yield running


def show(shown: Board, numbers: Numbers | Exception) -> None:
    shown.numbers = numbers


def opened(window: Window, path: str = "/") -> Page:
    """The page with the numbers on it."""
    window.go(path)
    expect(window.page.locator("body")).to_have_attribute("data-connection", "live")
    expect(window.page.locator("#foot")).not_to_be_empty()
    return window.page


def clean(window: Window) -> None:
    assert window.faults == []
    assert window.foreign == []
    assert window.overflow == 0


def fresh(shown: Board, numbers: Numbers) -> Numbers:
    """Makes the next page that is opened show these, and not the ones that were read a moment ago."""
    shown.numbers = numbers
    time.sleep(FRESH)
    return numbers


def test_every_number_is_on_the_page(shown: Board, browser: Browser) -> None:
    fresh(shown, busy())
    with browser.window(shown.url) as window:
        page = opened(window)
        first = page.locator("#first")
        expect(first).to_have_attribute("data-level", "warn")
        expect(first.get_by_role("heading")).to_have_text(f"WeChat's minute quota for media is used up for {APPID}.")
        expect(page.locator("#first-remedy")).to_contain_text("Nothing to do")
        page.get_by_text("1 more").click()
        expect(page.locator("#further-list")).to_contain_text("watch: push@shop-2 has not reported for 48 s.")
        assert page.title() == "! 2 · wxcheck"

        tiles = {tile: page.locator(f"[data-tile={tile}] dd").inner_text() for tile in ("sent", "failed", "dead")}
        assert tiles == {"sent": "4,309", "failed": "15", "dead": "97"}
        places = page.locator("#place-counts > div")
        assert places.locator("dt").all_inner_texts() == [
            *("Inbox", "Lanes", "Shelf", "In hand", "Parked", "Ready", "Outbox"),
        ]
        assert places.locator("dd").all_inner_texts() == ["38", "2,252", "14", "61", "128", "5", "3"]

        media = page.locator(f'[data-appid="{APPID}"] [data-lane=media]')
        expect(media).to_contain_text("‖ closed")
        expect(media).to_contain_text("WeChat refused a call: its minute quota is used up.")
        expect(media).to_contain_text(re.compile(r"opens in 0:\d\d"))
        expect(media.get_by_role("meter").first).to_have_attribute("aria-valuetext", "this minute: 1,999 of 2,000")
        expect(media.get_by_role("meter").first).to_contain_text("99%")
        expect(media.get_by_role("meter").last).to_have_attribute("aria-valuenow", "171200")
        expect(media.locator(".backlog")).to_contain_text("1,840")
        expect(media.locator(".backlog")).to_contain_text("takes about 97 s")
        total = sum(minute[1] for minute in shown.read()["lanes"][1]["hour"])
        expect(media.locator(".hour")).to_have_attribute(
            "aria-label", re.compile(f"{total:,} sent, 6,500 given back, 361 ref")
        )

        expect(page.locator("#waiting-count")).to_have_text("128")
        expect(page.locator("#waiting-oldest")).to_have_text("5 min")
        assert page.locator("[data-push=forged] td").all_inner_texts() == ["2", "9"]
        assert page.locator("[data-push=matched] td").all_inner_texts() == ["1,219", "24,180"]
        assert page.locator("#quantiles dd").all_inner_texts() == ["3.4 s", "27 s", "2 min"]
        expect(page.locator("#histogram")).to_have_attribute("aria-label", re.compile("up to 5 s: 508.*p95 27 s"))

        expect(page.locator('[data-verdict="image|risky|20002"]')).to_have_text(
            re.compile(r"pornography 20002\s*Picture\s*risky\s*240\s*2,011")
        )
        expect(page.locator("[data-kind=text] [data-part=hour]")).to_have_text("150,204 pass · 402 review · 940 risky")
        expect(page.locator('[data-failure="CheckRefused|61010"]')).to_contain_text("not active within two hours")
        expect(page.locator("#newest > li")).to_have_count(3)
        expect(page.locator("#newest > li").nth(1)).to_contain_text("67a1f2c0-0b5ad0a1-7c0e3fd2")

        expect(page.locator('[data-queue="wxcheck.media"]')).to_contain_text(re.compile(r"7 messages\s*● 2 workers"))
        silent = page.locator('[data-process="push@shop-2"]')
        expect(silent).to_contain_text("threads × 16")
        expect(silent).to_contain_text("✕ silent for 48 s")
        expect(silent).to_contain_text("▲ −3.2 s")
        expect(page.locator('[data-process="endpoint@shop-1"]')).to_contain_text("0.0.9 ▲ not 0.1.0")
        clean(window)


def test_all_is_well_is_one_sentence(shown: Board, browser: Browser) -> None:
    fresh(shown, quiet())
    with browser.window(shown.url) as window:
        page = opened(window)
        expect(page.locator("#first")).to_have_attribute("data-level", "well")
        expect(page.locator("#first-said")).to_have_text("All is well.")
        expect(page.locator("#first-remedy")).to_have_text("2 processes report, 0 calls in the last hour.")
        expect(page.locator("#further")).to_be_hidden()
        for words in ("No push in the last hour.", "No verdict in the last day.", "No check failed in the last day."):
            expect(page.get_by_text(words)).to_be_visible()
        assert page.title() == "wxcheck"
        clean(window)


@pytest.mark.parametrize(
    ("name", "device", "scheme", "language"),
    [
        ("desktop", DESKTOP, "light", "en-US"),
        ("desktop", DESKTOP, "dark", "zh-CN"),
        ("phone", PHONE, "light", "zh-CN"),
        ("phone", PHONE, "dark", "en-US"),
    ],
)
def test_it_is_to_be_read_in_each_language_theme_and_size(
    shown: Board,
    browser: Browser,
    tmp_path: Path,
    name: str,
    device: Device,
    scheme: Literal["light", "dark"],
    language: str,
) -> None:
    fresh(shown, busy())
    with browser.window(shown.url, device, scheme=scheme, language=language) as window:
        page = opened(window)
        expect(page.locator(".lane")).to_have_count(2)
        expect(page.locator("html")).to_have_attribute("lang", "zh-CN" if language == "zh-CN" else "en")
        has_chinese = re.search("[\u4e00-\u9fff]", page.locator("main").inner_text()) is not None
        assert has_chinese == (language == "zh-CN")
        ratio, whose = page.evaluate(CONTRAST)
        assert ratio >= 4.5, f"{whose!r} has a contrast of {ratio:.2f}"
        if os.environ.get("PICTURES") == "1":
            assert page.evaluate(HAS_CHINESE_FONT), NO_CHINESE_FONT
            window.picture(f"board-{name}-{scheme}-{language[:2]}", tmp_path, whole=name == "desktop")
        clean(window)


def test_language_and_theme_are_switched_and_remembered(shown: Board, browser: Browser) -> None:
    with browser.window(shown.url) as window:
        page = opened(window, "/?lang=zh")
        expect(page.locator("#lanes-head")).to_have_text("配额")
        page.get_by_role("button", name="This page in English").click()
        expect(page.locator("#lanes-head")).to_have_text("Quotas")
        assert "lang" not in page.url
        page.get_by_role("button", name="此页面的中文版").click()
        expect(page.locator("#lanes-head")).to_have_text("配额")
        theme = page.locator("#theme-switch")
        expect(theme).to_have_text("主题：自动")
        grounds = []
        for said_now in ("主题：浅色", "主题：深色"):
            theme.press("Enter")
            expect(theme).to_have_text(said_now)
            grounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        assert grounds[0] != grounds[1]
        opened(window)
        expect(page.locator("#lanes-head")).to_have_text("配额")
        expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        clean(window)


def test_what_strangers_wrote_stays_text(shown: Board, browser: Browser) -> None:
    numbers = busy()
    both = said(HOSTILE, HOSTILE)
    numbers["troubles"] = [trouble("a", "bad", HOSTILE, HOSTILE), trouble("b", "warn", HOSTILE, HOSTILE)]
    numbers["lanes"].append(lane(HOSTILE, "text", "closed", why=both))
    numbers["queues"].append({"name": HOSTILE, "messages": 1, "workers": 0})
    numbers["processes"].append(process(HOSTILE, [HOSTILE], pool=HOSTILE, version=HOSTILE))
    numbers["verdicts"].append({"kind": HOSTILE, "suggest": HOSTILE, "label": HOSTILE, "hour": 1, "day": 1})
    failed = failure(HOSTILE, None, HOSTILE, both, time.time())
    numbers["failures"]["newest"].insert(0, {**failed, "task_id": HOSTILE, "appid": HOSTILE})
    numbers["failures"]["classes"].insert(0, {"name": HOSTILE, "errcode": None, "hour": 1, "day": 1, "remedy": both})
    fresh(shown, {**numbers, "version": HOSTILE})
    with browser.window(shown.url, PHONE) as window:
        page = opened(window)
        expect(page.locator("#first-said")).to_have_text(HOSTILE)
        expect(page.locator("#newest > li").first.locator("[data-part=task]")).to_have_text(HOSTILE)
        expect(page.locator("#newest > li").first.locator("[data-part=rid]")).to_have_text(HOSTILE)
        assert page.evaluate("document.querySelectorAll('img, script:not([src])').length") == 0
        assert page.evaluate("window.hacked") is None
        clean(window)


def test_every_state_of_a_lane_has_a_word_and_a_sign_of_its_own(shown: Board, browser: Browser) -> None:
    fresh(shown, many())
    with browser.window(shown.url, language="zh-CN") as window:
        page = opened(window)
        page.get_by_role("button", name="全部展开").click()
        states = set(page.locator(".lane .state").all_inner_texts())
        assert states == {"● 开放", "◐ 减速", "‖ 关闭", "‖ 暂停", "○ 用尽", "✕ 停用"}
        spent = page.locator(".lane", has_text="用尽").first
        expect(spent.get_by_role("meter").last).to_contain_text("100%")
        clean(window)


def test_of_many_appids_the_worst_stand_first_and_the_rest_is_folded_filtered_and_found(
    shown: Board, browser: Browser
) -> None:
    fresh(shown, many())
    with browser.window(shown.url) as window:
        page = opened(window)
        expect(page.locator("#lanes-count")).to_contain_text("25 appIds, ")
        ranks = page.locator(".program").evaluate_all(
            "(all) => all.map((each) => Math.min(...[...each.querySelectorAll('.brief .state')].map((state) =>"
            " ['stopped', 'spent', 'closed', 'paused', 'slowed', 'open'].indexOf(state.dataset.state))))"
        )
        assert ranks == sorted(ranks)
        expect(page.locator(".program[open]")).to_have_count(3)
        page.get_by_role("button", name="Close all").click()
        expect(page.locator(".program[open]")).to_have_count(0)
        sought = page.get_by_role("searchbox", name="Filter: appId or state")
        sought.fill("WX0007C0")
        expect(page.locator(".program:visible")).to_have_count(1)
        sought.fill("slowed")
        expect(page.locator(".program:visible").first).to_contain_text("◐ slowed")
        sought.fill("no such thing")
        expect(page.get_by_text("No appId or state matches.")).to_be_visible()
        sought.fill("")
        expect(page.locator(".program:visible")).to_have_count(25)
        # by keyboard too
        page.locator(".program summary").first.press("Enter")
        expect(page.locator(".program").first.locator(".lane")).to_have_count(2)
        clean(window)


def test_new_numbers_change_the_page_in_place(shown: Board, browser: Browser) -> None:
    numbers = fresh(shown, many())
    with browser.window(shown.url) as window:
        page = opened(window)
        page.evaluate("document.querySelectorAll('.program, .lane, .lane *').forEach((node) => (node.wasThere = true))")
        page.locator(".hour").first.focus()
        page.evaluate(WATCH_SHIFTS)
        later = json.loads(json.dumps(numbers))
        for each in later["lanes"]:
            each["minute"]["used"] = min(each["minute"]["limit"], each["minute"]["used"] * 3)
            each["hour"][-1][1] += 4_000
        later.update(dead=12_345)
        show(shown, later)
        expect(page.locator("[data-tile=dead] dd")).to_have_text("12,345")
        made = "[...document.querySelectorAll('.program, .lane, .lane *')].filter((node) => !node.wasThere).length"
        assert page.evaluate(made) == 0
        assert page.evaluate("document.activeElement.className") == "hour"
        assert page.evaluate("window.shifts") < 0.01

        # one whose lane is refused goes to the top, and stays what it was: open or not, and what is in it
        last = page.locator(".program").last
        moved = last.get_attribute("data-appid")
        last.locator("summary").click()
        worse = json.loads(json.dumps(later))
        for each in worse["lanes"]:
            if each["appid"] == moved:
                each["state"] = "stopped"
        worse["lanes"] = [each for each in worse["lanes"] if each["appid"] in (moved, later["lanes"][0]["appid"])]
        show(shown, worse)
        expect(page.locator(".program")).to_have_count(2)
        expect(page.locator(".program").first).to_have_attribute("data-appid", str(moved))
        assert page.locator(".program").first.evaluate("(node) => node.open && node.wasThere")
        clean(window)


def test_a_minute_is_read_by_pointer_by_touch_and_by_keys(shown: Board, browser: Browser) -> None:
    numbers = quiet()
    numbers["lanes"][0]["hour"][30][1:] = [123, 4, 5]
    numbers["lanes"][0]["hour"][31][1:] = [77, 0, 0]
    fresh(shown, numbers)
    for device in (DESKTOP, PHONE):
        with browser.window(shown.url, device) as window:
            page = opened(window)
            chart, reading = page.locator(".hour").first, page.locator(".reading").first
            expect(reading).to_contain_text(re.compile(r"last hour\s*sent 200\s*given back 4\s*refused 5"))
            box = chart.bounding_box()
            assert box is not None
            at = {"x": box["width"] * 30 / 59, "y": 50.0}
            if device.touch:
                chart.tap(position=at)  # type: ignore[arg-type]
            else:
                chart.hover(position=at)  # type: ignore[arg-type]
            expect(reading).to_contain_text(re.compile(r"\d\d:\d\d\s*sent 123\s*given back 4\s*refused 5"))
            chart.focus()
            page.keyboard.press("ArrowRight")
            expect(reading).to_contain_text("sent 77")
            expect(chart).to_have_attribute("aria-label", re.compile(r"^\d\d:\d\d: 77 sent, 0 given back, 0 refused$"))
            page.keyboard.press("Escape")
            expect(reading).to_contain_text("sent 200")
            clean(window)


def test_a_countdown_goes_on_between_readings(shown: Board, browser: Browser) -> None:
    numbers = quiet()
    numbers["lanes"][0].update(state="closed", opens_at=time.time() + 3600 * 5)
    numbers["lanes"][1].update(state="closed", opens_at=time.time() - 1)
    fresh(shown, numbers)
    with browser.window(shown.url) as window:
        page = opened(window)
        page.route("**/numbers.json", lambda _: None)  # no numbers come any more
        opens = page.locator(".opens").first
        expect(opens).to_have_text(re.compile(r"opens in 4:59:\d\d"))
        expect(opens).not_to_have_text(opens.inner_text())
        expect(page.locator(".opens").last).to_have_text("opens now")


def test_ids_are_copied(shown: Board, browser: Browser) -> None:
    fresh(shown, busy())
    with browser.window(shown.url) as window:
        window.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page = opened(window)
        refused = page.locator("#newest > li").nth(1)
        refused.locator("[data-part=copy-rid]").evaluate(NOTE_WORDS)
        refused.get_by_role("button", name="Copy rid").click()
        # a page with a content security policy evaluates no condition again by itself
        eventually(lambda: page.evaluate("window.words.includes('copied')"), "it says so")
        assert page.evaluate("navigator.clipboard.readText()") == "67a1f2c0-0b5ad0a1-7c0e3fd2"
        # where there is no clipboard, it stands selected
        page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
        refused.get_by_role("button", name="Copy task").click()
        assert page.evaluate("String(getSelection())") == "8d5b6c1e-5e0e-4a53-9f43-0b6f6f3c2a11"


def test_it_is_told_to_those_who_do_not_see_it(shown: Board, browser: Browser) -> None:
    fresh(shown, busy())
    with browser.window(shown.url) as window:
        page = opened(window)
        page.emulate_media(reduced_motion="reduce")
        assert page.evaluate("document.getAnimations().length") == 0
        expect(page.get_by_role("status")).to_contain_text("WeChat's minute quota")
        for name in ("Places", "Quotas", "Pushes", "Verdicts", "Failures", "Processes"):
            expect(page.get_by_role("region", name=name, exact=True)).to_be_visible()
        nameless = page.evaluate(
            "[...document.querySelectorAll('button, input, summary, [role=img], [role=meter]')]"
            ".filter((each) => each.checkVisibility() && !(each.ariaLabel || each.textContent.trim())).length"
        )
        assert nameless == 0
        assert page.locator("h1").count() == 1
        page.keyboard.press("Tab")
        expect(page.locator(".skip")).to_be_focused()
        reached = set()
        for _ in range(14):
            page.keyboard.press("Tab")
            reached.add(page.evaluate("document.activeElement.id || document.activeElement.className"))
        assert {"lang-switch", "theme-switch", "further-count", "hour", "copy"} <= reached


def test_a_store_that_is_away_is_the_first_line(shown: Board, browser: Browser, tmp_path: Path) -> None:
    fresh(shown, busy())
    with browser.window(shown.url) as window:
        page = opened(window)
        show(shown, redis.exceptions.ConnectionError("Error 111 connecting to 127.0.0.1:6379. Connection refused."))
        expect(page.locator("#first-said")).to_have_text("Redis at 127.0.0.1:6379 does not answer: Connection refused.")
        expect(page.locator("#first-remedy")).to_contain_text("WXCHECK_REDIS_URL")
        expect(page.locator("#first-since")).to_contain_text(re.compile(r"The numbers are from [\d:]{8}, .* ago\."))
        expect(page.locator("body")).to_have_attribute("data-old", "old")
        expect(page.locator("#waiting-count")).to_have_text("128")
        assert "grayscale" in page.evaluate("getComputedStyle(document.getElementById('lanes')).filter")
        ratio, whose = page.evaluate(CONTRAST)
        assert ratio >= 4.5, f"{whose!r} has a contrast of {ratio:.2f}"
        if os.environ.get("PICTURES") == "1":
            assert page.evaluate(HAS_CHINESE_FONT), NO_CHINESE_FONT
            window.picture("board-store-away", tmp_path)
        show(shown, quiet())
        expect(page.locator("#first-said")).to_have_text("All is well.")
        expect(page.locator("body")).not_to_have_attribute("data-old", "old")
        clean(window)


def test_a_board_that_is_away_itself_is_said_by_the_page_until_it_is_back(browser: Browser) -> None:
    with board() as own, browser.window(own.url, PHONE) as window:
        page = opened(window)
        own.stop()
        expect(page.locator("body")).to_have_attribute("data-connection", "lost")
        expect(page.locator("#first-said")).to_have_text("The board itself does not answer: these numbers are old.")
        expect(page.locator("#first-remedy")).to_contain_text("Is wxcheck board running")
        assert "grayscale" in page.evaluate("getComputedStyle(document.getElementById('lanes')).filter")
        own.start()
        expect(page.locator("#first-said")).to_have_text("All is well.")
        expect(page.locator("body")).to_have_attribute("data-connection", "live")
        assert window.overflow == 0


def test_with_a_password_the_browser_asks_once(browser: Browser) -> None:
    with board(board_password="hush-hush-hush") as own:
        with browser.window(own.url, login=("operator", "hush-hush-hush")) as window:
            page = opened(window)
            before: Any = page.locator("#live-time").inner_text()
            expect(page.locator("#live-time")).not_to_have_text(before)
            clean(window)
        with browser.window(own.url, login=("operator", "wrong")) as window:
            window.go("/")
            assert "All is well" not in window.page.content()
