"""The browser of the tests tells what a page asks of other hosts, and what goes wrong in it.

Tests: tests.support.browser
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.browser import DESKTOP, PHONE, PICTURES, Browser, lacking

PAGE = """<!doctype html><meta name=viewport content="width=device-width"><link rel=icon href="data:,">
<p>languages</p><script>
document.querySelector("p").textContent = [navigator.language, innerWidth, devicePixelRatio,
    matchMedia("(prefers-color-scheme: dark)").matches, "ontouchstart" in window].join(" ");
</script>"""
BAD_PAGE = f"""{PAGE}<p style="width: 1500px">wide</p><img src="http://img.example.com/a.png">
<script>console.error("oh"); nothing.there</script>"""


class _Pages(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = (BAD_PAGE if self.path == "/bad" else PAGE).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Pages) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_window_is_what_was_asked_for_and_a_good_page_has_no_faults(browser: Browser, site: str) -> None:
    with browser.window(site, DESKTOP) as window:
        window.go("/")
        assert window.text == "en-US 1280 1 false false"
        assert (window.foreign, window.faults, window.overflow) == ([], [], 0)
    with browser.window(site, PHONE, scheme="dark", language="zh-CN") as window:
        window.go("/")
        assert window.text == "zh-CN 390 2 true true"


def test_a_window_notes_requests_to_other_hosts_errors_and_exceptions(browser: Browser, site: str) -> None:
    with browser.window(site) as window:
        window.go("/bad")
        assert window.foreign == ["http://img.example.com/a.png"]
        said = "\n".join(window.faults)
        assert len(window.faults) == 3
        assert window.overflow > 1500 - DESKTOP.width
        assert "oh" in said
        assert "ReferenceError" in said
        assert "ERR_NAME_NOT_RESOLVED" in said


def test_a_picture_is_kept_only_where_that_is_asked_for(
    browser: Browser, site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PICTURES", raising=False)
    with browser.window(site) as window:
        window.go("/")
        path = window.picture("not-kept", tmp_path)
        assert path.read_bytes().startswith(b"\x89PNG")
    assert not (PICTURES / "not-kept.png").exists()


def test_what_is_lacking_skips_a_test_and_fails_a_complete_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TESTS_COMPLETE", raising=False)
    with pytest.raises(pytest.skip.Exception, match="Debian's package x"):
        lacking("install Debian's package x")
    monkeypatch.setenv("TESTS_COMPLETE", "1")
    with pytest.raises(pytest.fail.Exception, match="Debian's package x"):
        lacking("install Debian's package x")
