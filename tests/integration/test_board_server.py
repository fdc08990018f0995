"""The board answers those over HTTP who may look, reads the store seldom, and says so while the store is away.

Tests: ops.board.server, ops.board.access, ops.cli.board
"""

from __future__ import annotations

import base64
import re
import signal
import sys
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
import requests
from click.testing import CliRunner

from config.settings import Settings
from ops.board.access import COOKIE
from ops.board.guesses import FREE, PATIENCE, SECONDS
from ops.board.server import serve
from ops.cli.board import board as command
from tests.support.board import Board, board, quiet
from tests.support.processes import Running, eventually

PASSWORD = "hush-hush-密码"


@pytest.fixture(scope="module")
def opened() -> Iterator[Board]:
    with board(redis_url="redis://user:hush5ecre7@127.0.0.1:6390/0") as running:
        yield running


@pytest.fixture(scope="module")
def closed() -> Iterator[Board]:
    with board(board_password=PASSWORD) as running:
        yield running


@pytest.fixture(autouse=True)
def well(opened: Board) -> Iterator[None]:
    yield
    opened.numbers = quiet()
    opened.goes_on.set()


def numbers(board: Board) -> dict[str, Any]:
    answer = requests.get(f"{board.url}/numbers.json", timeout=20)
    answer.raise_for_status()
    told: dict[str, Any] = answer.json()
    return told


def login(password: str, user: str = "anyone") -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def test_the_page_and_its_files_come_with_headers_that_allow_nothing_else(opened: Board) -> None:
    types = {"/": "text/html", "/board.css": "text/css", "/board.js": "text/javascript", "/icon.svg": "image/svg+xml"}
    for path, media_type in [*types.items(), ("/numbers.json", "application/json"), ("/livez", "text/plain")]:
        answer = requests.get(opened.url + path, timeout=20)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith(media_type)
        policy = answer.headers["content-security-policy"].split("; ")
        wanted = ["default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'"]
        assert {*wanted, "img-src 'self' data:", "frame-ancestors 'none'"} <= set(policy)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("path", ["/nothing", "/page/board.css", "/..%2Fapp.py", "/app.py", "/__init__.py", "/docs"])
def test_nothing_else_is_served(opened: Board, path: str) -> None:
    answer = requests.get(opened.url + path, timeout=20)
    assert answer.status_code == 404
    assert "content-security-policy" in answer.headers


def test_nothing_can_be_changed(opened: Board) -> None:
    for method in ("POST", "PUT", "DELETE"):
        assert requests.request(method, f"{opened.url}/numbers.json", timeout=20).status_code == 405


@pytest.mark.parametrize("host", ["localhost:8070", "127.0.0.1", "[::1]:8070", "LOCALHOST", "127.1.2.3:1"])
def test_without_a_password_it_answers_to_the_names_of_loopback(opened: Board, host: str) -> None:
    assert requests.get(opened.url, headers={"Host": host}, timeout=20).status_code == 200


@pytest.mark.parametrize("host", ["board.example.com", "127.0.0.1.example.com:8070", "10.0.0.1", "", "[::1", "evil]"])
def test_a_page_from_elsewhere_whose_name_was_made_to_mean_loopback_is_refused(opened: Board, host: str) -> None:
    answer = requests.get(f"{opened.url}/numbers.json", headers={"Host": host}, timeout=20)
    assert answer.status_code in (400, 421)
    assert "lanes" not in answer.text
    if answer.status_code == 421:
        assert "WXCHECK_BOARD_PASSWORD" in answer.text


def test_with_a_password_everything_but_livez_asks_for_it(closed: Board) -> None:
    for path in ("/", "/board.css", "/board.js", "/numbers.json", "/nothing"):
        answer = requests.get(closed.url + path, timeout=20)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Basic ")
        assert "content-security-policy" in answer.headers
        assert requests.get(closed.url + path, headers=login(PASSWORD), timeout=20).status_code != 401
    assert requests.get(f"{closed.url}/livez", timeout=20).text == "alive"


def test_any_user_name_and_any_host_do_with_the_password(closed: Board) -> None:
    for user in ("", "operator", "a b"):
        headers = {**login(PASSWORD, user), "Host": "board.example.com"}
        assert requests.get(closed.url, headers=headers, timeout=20).status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        login("")["Authorization"],
        login("hush-hush")["Authorization"],
        login(PASSWORD + "x")["Authorization"],
        login(PASSWORD)["Authorization"].replace("Basic", "Bearer"),
        "Basic",
        "Basic !!!!",
        "Basic " + base64.b64encode(PASSWORD.encode()).decode(),
    ],
)
def test_a_wrong_password_opens_nothing(closed: Board, header: str, caplog: pytest.LogCaptureFixture) -> None:
    answer = requests.get(f"{closed.url}/numbers.json", headers={"Authorization": header}, timeout=20)
    assert answer.status_code == 401
    assert PASSWORD not in caplog.text + answer.text


@contextmanager
def guessing(url: str, threads: int = 8) -> Iterator[Counter[int]]:
    """Strangers who try wrong passwords all the time; counted by how they are answered."""
    answered: Counter[int] = Counter()
    over = threading.Event()

    def guess(number: int) -> None:
        with requests.Session() as session:
            while not over.is_set():
                headers = login(f"wrong-{number}")
                answered[session.get(f"{url}/board.css", headers=headers, timeout=20).status_code] += 1

    with ThreadPoolExecutor(threads) as pool:
        guesses = [pool.submit(guess, number) for number in range(threads)]
        try:
            yield answered
        finally:
            over.set()
            for each in guesses:
                each.result()


def test_wrong_passwords_are_slowed_down_and_whoever_knew_the_right_one_is_not() -> None:
    with board(board_password=PASSWORD) as running, requests.Session() as known:
        known.headers.update(login(PASSWORD))
        assert known.get(running.url, timeout=20).status_code == 200
        began = time.monotonic()
        with guessing(running.url) as answered:
            eventually(lambda: answered[429] >= 8, "some are sent away")
            for _ in range(50):
                assert known.get(f"{running.url}/board.css", timeout=20).status_code == 200
            # it knew the password, and guesses another one
            assert known.get(running.url, headers=login("wrong"), timeout=20).status_code == 401
        seconds = time.monotonic() - began
        assert answered[401] <= FREE + (seconds + PATIENCE) / SECONDS
        assert set(answered) == {401, 429}


def test_the_right_password_is_let_in_soon_after_the_guessing(closed: Board) -> None:
    with guessing(closed.url) as answered:
        eventually(lambda: answered[429] >= 8, "some are sent away")
    answer = requests.get(closed.url, headers=login(PASSWORD), timeout=20)
    while answer.status_code == 429:
        time.sleep(int(answer.headers["retry-after"]))
        answer = requests.get(closed.url, headers=login(PASSWORD), timeout=20)
    assert answer.status_code == 200


def test_what_a_browser_shows_beside_the_password_opens_nothing_by_itself() -> None:
    with board(board_password=PASSWORD) as running:
        shown = requests.get(running.url, headers=login(PASSWORD), timeout=20).headers["set-cookie"]
        assert "HttpOnly; SameSite=Strict" in shown
        cookie = {"Cookie": shown.partition(";")[0]}
        assert requests.get(running.url, headers=cookie, timeout=20).status_code == 401
        assert requests.get(running.url, headers={**cookie, **login("wrong")}, timeout=20).status_code == 401
        again = requests.get(running.url, headers={**cookie, **login(PASSWORD)}, timeout=20)
        assert (again.status_code, again.headers.get("set-cookie")) == (200, None)
        forged = {"Cookie": f"{COOKIE}={'0' * 64}"}
        assert "set-cookie" in requests.get(running.url, headers={**forged, **login(PASSWORD)}, timeout=20).headers


def test_the_numbers_are_read_once_a_second_however_many_look(opened: Board) -> None:
    eventually(lambda: numbers(opened)["stale_seconds"] == 0, "the numbers are new")
    before, began = opened.reads, time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(lambda _: numbers(opened), range(60)))
    reads = opened.reads - before
    assert reads <= time.monotonic() - began + 1
    assert len({each["at"] for each in told}) <= reads + 1


def test_the_numbers_come_zipped_to_whoever_can_unzip_them(opened: Board) -> None:
    plain = requests.get(f"{opened.url}/numbers.json", headers={"Accept-Encoding": "identity"}, timeout=20)
    zipped = requests.get(f"{opened.url}/numbers.json", headers={"Accept-Encoding": "gzip"}, timeout=20)
    assert "content-encoding" not in plain.headers
    assert zipped.headers["content-encoding"] == "gzip"
    assert int(zipped.headers["content-length"]) < int(plain.headers["content-length"]) / 2
    assert zipped.json().keys() == plain.json().keys()


def test_while_the_store_is_away_the_last_numbers_stay_with_their_age_and_the_remedy(
    opened: Board, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ops.board.latest.FRESH_SECONDS", 0.02)
    opened.numbers = {**quiet(), "dead": 7, "troubles": [{"key": "older"}]}
    eventually(lambda: numbers(opened).get("dead") == 7, "they are read")
    opened.numbers = redis.exceptions.ConnectionError("Error 111 connecting to 127.0.0.1:6390. Connection refused.")
    for _ in range(5):
        eventually(lambda: numbers(opened)["stale_seconds"] > 0, "the store is found away")
    told = numbers(opened)
    (trouble,) = told["troubles"]
    assert (trouble["key"], trouble["level"], told["dead"]) == ("store_away", "bad", 7)
    assert trouble["said"]["en"] == "Redis at 127.0.0.1:6390 does not answer: Connection refused."
    assert "WXCHECK_REDIS_URL" in trouble["remedy"]["en"]
    assert "WXCHECK_REDIS_URL" in trouble["remedy"]["zh"]
    assert "hush5ecre7" not in str(told) + caplog.text
    said = [record for record in caplog.records if record.name == "ops.board.latest"]
    assert len(said) == 1, "one line for a fault that lasts"
    opened.numbers = quiet()
    eventually(lambda: numbers(opened)["stale_seconds"] == 0, "it is back")
    assert numbers(opened)["troubles"] == []


def test_a_store_that_was_away_from_the_start_leaves_the_trouble_alone() -> None:
    running = Board()
    running.numbers = redis.exceptions.AuthenticationError("invalid username-password pair")
    running.start()
    try:
        told = numbers(running)
        assert set(told) == {"at", "version", "stale_seconds", "troubles"}
        assert told["stale_seconds"] >= 1
        assert "password" in told["troubles"][0]["remedy"]["en"]
    finally:
        running.stop()


def test_a_store_that_does_not_answer_holds_nobody_up(opened: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ops.board.latest.FRESH_SECONDS", 0.02)
    monkeypatch.setattr("ops.board.latest.PATIENCE_SECONDS", 0.6)
    eventually(lambda: numbers(opened)["stale_seconds"] == 0, "the numbers are new")
    opened.goes_on.clear()
    eventually(lambda: numbers(opened)["stale_seconds"] > 0, "what was waited for in vain is told")
    reads = opened.reads
    told = numbers(opened)
    assert "no answer within 1 s" in told["troubles"][0]["said"]["en"]
    assert requests.get(f"{opened.url}/livez", timeout=20).text == "alive"
    assert opened.reads == reads, "no second reading while one hangs"
    opened.goes_on.set()
    eventually(lambda: numbers(opened)["stale_seconds"] == 0, "it answers again")


def test_what_cannot_be_read_is_told_by_its_class_and_does_not_stop_the_board(opened: Board) -> None:
    opened.numbers = KeyError("what a stranger wrote")
    eventually(lambda: numbers(opened)["stale_seconds"] > 0, "the fault is told")
    told = numbers(opened)
    assert told["troubles"][0]["key"] == "numbers_unreadable"
    assert "KeyError" in told["troubles"][0]["said"]["en"]
    assert "stranger" not in str(told)


SERVE = """
from ops.board.server import serve
from config.settings import load_settings
from tests.support.board import quiet

serve(load_settings("board"), quiet)
"""


def test_where_it_cannot_listen_it_says_so(opened: Board, capsys: pytest.CaptureFixture[str]) -> None:
    settings = Settings(_env_file=None, board_port=opened.port)
    with pytest.raises(SystemExit) as ended:
        serve(settings, quiet)
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert f"the board cannot listen on 127.0.0.1, port {opened.port}: Address already in use" in told
    assert "--port" in told


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_listens_and_stops_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    script = tmp_path / "serve.py"
    script.write_text(textwrap.dedent(SERVE))
    environment = {"WXCHECK_BOARD_PORT": "0", "WXCHECK_APPID": "wx0123456789abcdef", "WXCHECK_LOG_FORMAT": "text"}
    with Running("board", [sys.executable, str(script)], environment, tmp_path) as running:
        running.wait_for("board: http")
        (url,) = re.findall(r"^board: (http://127\.0\.0\.1:\d+)/$", running.output, re.MULTILINE)
        with requests.Session() as session:  # its connection stays open
            assert session.get(f"{url}/numbers.json", timeout=20).json()["version"] == "0.1.0"
            running.process.send_signal(number)
            assert running.process.wait(60) == 0
        assert "Traceback" not in running.output


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "board.example.com"])  # noqa: S104
def test_it_does_not_start_on_another_host_than_loopback_without_a_password(
    host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WXCHECK_APPID", "wx0123456789abcdef")
    done = CliRunner().invoke(command, ["--host", host])
    assert done.exit_code == 1
    assert f"WXCHECK_BOARD_PASSWORD is missing: {host} can be reached from outside" in done.output
    assert "WXCHECK_BOARD_HOST=127.0.0.1" in done.output
