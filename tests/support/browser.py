"""Debian's Chromium without a screen, driven by Playwright: what a person sees of a page, and what they can press.

Sync API: while :func:`chromium` is open, its thread runs Playwright's event loop, so no test of it may use
``asyncio.run``; a module that opens it closes it at its end.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import Page, sync_playwright

from tests.support.processes import PATIENCE, ROOT

EXECUTABLE = "/usr/bin/chromium"
PICTURES = ROOT / "docs" / "pictures"

#: nothing of the browser's own leaves the machine, and no page's request for another host gets there
_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]


class Device(NamedTuple):
    """The device that shows a page; sizes in CSS pixels."""

    width: int
    height: int
    scale: int = 1
    touch: bool = False


DESKTOP = Device(1280, 900)
PHONE = Device(390, 844, scale=2, touch=True)


class Window:
    """One page, and what went wrong in it."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self._url = url
        #: URLs of another host (or port) than the page's own that were asked for
        self.foreign: list[str] = []
        #: errors on the console, exceptions of the page's scripts, and requests that got no answer
        self.faults: list[str] = []
        page.on("request", lambda request: self._note_request(request.url))
        page.on("console", lambda message: self._note_message(message.type, message.text, message.location))
        page.on("pageerror", lambda error: self.faults.append(f"{error.name}: {error.message}"))

    def go(self, path: str) -> None:
        """Opens a path of the page's host, and waits until it is loaded."""
        self.page.goto(self._url + path)

    @property
    def text(self) -> str:
        """The words on the page that a person can see, in one line."""
        return " ".join(self.page.inner_text("body").split())

    @property
    def overflow(self) -> int:
        """By how many pixels the page is wider than its window, so that it would have to be pushed sideways."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))

    def picture(self, name: str, directory: Path, *, whole: bool = False) -> Path:
        """A picture of the window (or of the whole page): ``docs/pictures/NAME.png`` where the environment says
        ``PICTURES=1``, else in ``directory``, so that a run of the tests leaves the checkout as it was."""
        keep = os.environ.get("PICTURES") == "1"
        path = (PICTURES if keep else directory) / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=path, full_page=whole, animations="disabled", caret="hide")
        return path

    def _note_request(self, url: str) -> None:
        asked, own = urlsplit(url), urlsplit(self._url)
        if asked.scheme not in ("data", "blob") and asked.netloc != own.netloc:
            self.foreign.append(url)

    def _note_message(self, kind: str, text: str, location: Any) -> None:
        if kind == "error":
            self.faults.append(f"{text} ({location.get('url', '')})")


class Browser:
    """The browser, for as many windows as a test wants."""

    def __init__(self, chromium: Chromium) -> None:
        self._chromium = chromium

    @contextmanager
    def window(
        self,
        url: str,
        device: Device = DESKTOP,
        *,
        scheme: Literal["light", "dark"] = "light",
        language: str = "en-US",
        login: tuple[str, str] | None = None,
    ) -> Iterator[Window]:
        """An empty window with cookies and storage of its own, for pages of ``url`` (scheme, host and port);
        ``login``: user and password, which it gives to a server that asks."""
        context = self._chromium.new_context(
            viewport={"width": device.width, "height": device.height},
            device_scale_factor=device.scale,
            has_touch=device.touch,
            is_mobile=device.touch,
            color_scheme=scheme,
            locale=language,
            http_credentials={"username": login[0], "password": login[1]} if login else None,
        )
        try:
            context.set_default_timeout(PATIENCE * 1000)
            yield Window(context.new_page(), url)
        finally:
            context.close()


@contextmanager
def chromium() -> Iterator[Browser]:
    """A running Chromium. Where there is none the test is skipped; under ``TESTS_COMPLETE=1`` it fails."""
    if not Path(EXECUTABLE).exists():
        lacking(f"no {EXECUTABLE}: install Debian's package chromium")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=EXECUTABLE, args=_FLAGS, chromium_sandbox=False, timeout=PATIENCE * 1000
        )
        try:
            yield Browser(running)
        finally:
            running.close()


def debian_program(name: str, package: str) -> str:
    """The path of a program of Debian's; where it is not installed the test is skipped, or fails as above."""
    return shutil.which(name) or lacking(f"no {name}: install Debian's package {package}")


def lacking(what: str) -> Any:
    """Skips the test for want of ``what``, which a complete run has to have."""
    if os.environ.get("TESTS_COMPLETE") == "1":
        pytest.fail(what)
    pytest.skip(what)
