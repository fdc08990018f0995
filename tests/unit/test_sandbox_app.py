"""The sandbox answers every endpoint as the platform does, and obeys its control API.

Tests: sandbox.app, sandbox.access, sandbox.answers, sandbox.checks, sandbox.control
Tests: sandbox.credentials, sandbox.state, sandbox.stats
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient, Response
from starlette.applications import Starlette

from config.settings import Settings
from sandbox.app import make_app
from sandbox.credentials import DEMO_ENVIRONMENT, programs_of
from sandbox.options import Options
from sandbox.state import State

APPID, SECRET = DEMO_ENVIRONMENT["WXCHECK_APPID"], DEMO_ENVIRONMENT["WXCHECK_SECRET"]
TEXT, MEDIA = "/wxa/msg_sec_check", "/wxa/media_check_async"
V2 = {"version": 2, "scene": 2, "openid": "o4_t144jTUSEoxydysUA2E234_tc"}
NOWHERE = "http://127.0.0.1:9/"


class Clock:
    now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


class Http:
    """Calls an application without a server."""

    def __init__(self, app: Starlette) -> None:
        self._loop = asyncio.Runner()
        self._client = AsyncClient(transport=ASGITransport(app=app), base_url="http://sandbox")

    def __enter__(self) -> Http:
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.run(self._client.aclose())
        self._loop.close()

    def request(self, method: str, path: str, **more: Any) -> Response:
        return self._loop.run(self._client.request(method, path, **more))

    def get(self, path: str, **more: Any) -> Response:
        return self.request("GET", path, **more)

    def post(self, path: str, **more: Any) -> Response:
        return self.request("POST", path, **more)

    def patch(self, path: str, **more: Any) -> Response:
        return self.request("PATCH", path, **more)


class Platform:
    """A sandbox without a server, on a clock of its own."""

    def __init__(self) -> None:
        programs, default, _ = programs_of(Settings(_env_file=None, appid=None, apps={}))
        self.clock = Clock()
        self.state = State(programs, default, {APPID: NOWHERE}, Options().changed({"push_lost": 1}), self.clock)
        self.http = Http(make_app(self.state))
        self.token = self.stable()["access_token"]

    def option(self, **changes: Any) -> None:
        self.state.change(changes)

    def stable(self, **changes: Any) -> dict[str, Any]:
        body = {"grant_type": "client_credential", "appid": APPID, "secret": SECRET, "force_refresh": False, **changes}
        return self.json(self.http.post("/cgi-bin/stable_token", content=json.dumps(body)))

    def classic(self, **changes: str) -> dict[str, Any]:
        query = {"grant_type": "client_credential", "appid": APPID, "secret": SECRET, **changes}
        return self.json(self.http.get("/cgi-bin/token", params=query))

    def call(self, path: str, body: dict[str, Any] | bytes, **query: str) -> Response:
        raw = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
        return self.http.post(path, content=raw, params=query or {"access_token": self.token})

    def text(self, content: str, **more: Any) -> dict[str, Any]:
        return self.json(self.call(TEXT, {"content": content, **more}))

    def media(self, url: str, **more: Any) -> dict[str, Any]:
        return self.json(self.call(MEDIA, {"media_url": url, "media_type": 2, **more}))

    @staticmethod
    def json(answer: Response) -> dict[str, Any]:
        assert answer.status_code == 200
        found: dict[str, Any] = json.loads(answer.content)
        return found


@pytest.fixture
def platform() -> Iterator[Platform]:
    platform = Platform()
    with platform.http:
        yield platform


# -- tokens ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "errcode"),
    [
        ({"appid": "wx0000000000000000"}, 40013),
        ({"secret": "wrong"}, 40125),
        ({"appid": ""}, 41002),
        ({"secret": ""}, 41004),
        ({"grant_type": "password"}, 40002),
    ],
)
def test_wrong_credentials_are_refused_by_both_token_endpoints(
    platform: Platform, change: dict[str, str], errcode: int
) -> None:
    assert platform.stable(**change)["errcode"] == errcode
    assert platform.classic(**change)["errcode"] == errcode


def test_the_token_endpoints_insist_on_their_methods(platform: Platform) -> None:
    assert platform.json(platform.http.get("/cgi-bin/stable_token"))["errcode"] == 43002
    assert platform.json(platform.http.post("/cgi-bin/token"))["errcode"] == 43001


def test_a_refused_ip_is_named(platform: Platform) -> None:
    platform.option(ip_refused=True)
    answer = platform.stable()
    assert answer["errcode"] == 40164
    assert answer["errmsg"].startswith("invalid ip 127.0.0.1 ipv6 ")


def test_the_classic_token_endpoint_has_a_daily_quota(platform: Platform) -> None:
    platform.option(classic_token_per_day=1)
    assert platform.classic()["expires_in"] == 7200
    assert platform.classic()["errcode"] == 45009
    assert platform.stable()["access_token"] == platform.token


def test_the_token_endpoints_can_be_busy(platform: Platform) -> None:
    platform.option(fault_token=1)
    assert platform.stable()["errcode"] == -1


@pytest.mark.parametrize("path", [TEXT, MEDIA])
def test_a_check_needs_a_token(platform: Platform, path: str) -> None:
    assert platform.json(platform.call(path, {}, debug="1"))["errcode"] == 41001
    assert platform.json(platform.call(path, {}, access_token="made-up"))["errcode"] == 40001
    platform.clock.now += 7200
    assert platform.json(platform.call(path, {}))["errcode"] == 42001


def test_with_the_open_interface_a_check_needs_no_token(platform: Platform) -> None:
    platform.option(open_interface=True)
    assert platform.json(platform.call(TEXT, {"content": "x"}, debug="1"))["errcode"] == 0


def test_a_cloudbase_token_is_accepted_where_it_is_the_one_of_the_options(platform: Platform) -> None:
    assert platform.json(platform.call(TEXT, {"content": "x"}, cloudbase_access_token="cb"))["errcode"] == 40001
    platform.option(cloudbase_token="cb")
    assert platform.json(platform.call(TEXT, {"content": "x"}, cloudbase_access_token="cb"))["errcode"] == 0
    assert platform.json(platform.call(TEXT, {"content": "x"}, cloudbase_access_token="no"))["errcode"] == 40001


def test_invalidating_tokens_kills_them_at_once(platform: Platform) -> None:
    assert platform.http.post("/sandbox/tokens/invalidate").json() == {"invalidated": 1}
    assert platform.text("x")["errcode"] == 40001


# -- answers --------------------------------------------------------------------------------------------------------


def test_answers_are_utf8_that_does_not_say_so(platform: Platform) -> None:
    answer = platform.call(TEXT, {"content": "sandbox:61010"})
    assert answer.headers["content-type"] == "text/plain"
    assert "用户".encode() in answer.content


def test_every_errmsg_but_ok_ends_in_a_rid(platform: Platform) -> None:
    rid = re.compile(r" rid: [0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}$")
    answers = [
        platform.text(""),
        platform.text("sandbox:risky"),
        platform.text("sandbox:123456"),
        platform.stable(appid="x"),
    ]
    assert all(rid.search(answer["errmsg"]) for answer in answers)
    assert platform.text("x") == {"errcode": 0, "errmsg": "ok"}


def test_a_get_is_refused(platform: Platform) -> None:
    assert platform.json(platform.http.get(TEXT, params={"access_token": platform.token}))["errcode"] == 43002


def test_a_v1_text_is_risky_or_not(platform: Platform) -> None:
    verdicts = [platform.text(f"sandbox:{name}")["errcode"] for name in ("pass", "review", "risky", "label=20001")]
    assert verdicts == [0, 0, 87014, 87014]


def test_a_v2_text_has_a_verdict_with_its_detail(platform: Platform) -> None:
    answer = platform.text("buy sandbox:risky,label=10001 now", **V2)
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}", answer["trace_id"])
    assert answer["result"] == {"suggest": "risky", "label": 10001}
    model, keyword = answer["detail"]
    assert (model["strategy"], model["suggest"], model["errcode"]) == ("content_model", "risky", 0)
    assert (keyword["strategy"], keyword["keyword"]) == ("keyword", "sandbox:risky,label=10001")


def test_a_v2_text_that_passes_has_a_bare_keyword_entry(platform: Platform) -> None:
    answer = platform.text("tea", **V2)
    assert answer["result"] == {"suggest": "pass", "label": 100}
    assert answer["detail"][1] == {"strategy": "keyword", "errcode": 0}


def test_a_media_check_is_answered_with_a_trace_id_of_its_version(platform: Platform) -> None:
    assert re.fullmatch(r"[0-9a-f]{32}", platform.media("https://x/a.jpg")["trace_id"])
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{8}){2}", platform.media("https://x/a.jpg", **V2)["trace_id"])


def test_labels_may_come_as_strings(platform: Platform) -> None:
    platform.option(string_labels=True)
    answer = platform.text("tea", **V2)
    assert (answer["result"]["label"], answer["detail"][0]["label"]) == ("100", "100")


def test_answers_may_come_in_camel_case(platform: Platform) -> None:
    answer = platform.text("sandbox:camel", **V2)
    assert (answer["errCode"], answer["errMsg"], "traceId" in answer) == (0, "ok", True)
    platform.option(camel_case=True)
    assert platform.media("https://x/a.jpg")["errCode"] == 0
    assert platform.text("")["errCode"] == 44002


def test_the_directives_that_spoil_an_answer(platform: Platform) -> None:
    assert "trace_id" not in platform.media("https://x/?sandbox=no_trace_id")
    assert "result" not in platform.text("sandbox:no_result", **V2)
    html = platform.call(TEXT, {"content": "sandbox:html"})
    assert (html.status_code, html.headers["content-type"], html.content[:6]) == (200, "text/html", b"<html>")
    assert platform.call(TEXT, {"content": "sandbox:http=503"}).status_code == 503
    with pytest.raises(ValueError):
        json.loads(platform.call(TEXT, {"content": "sandbox:garbage"}).content)


def test_an_unknown_directive_is_answered_400_with_the_known_ones(platform: Platform) -> None:
    answer = platform.call(MEDIA, {"media_url": "https://x/a.jpg?sandbox=risqy", "media_type": 2})
    assert answer.status_code == 400
    assert "'risqy'" in answer.text
    assert "unfetchable" in answer.text


def test_the_first_calls_of_one_content_fail_and_the_next_works(platform: Platform) -> None:
    content = "one sandbox:-1*2"
    assert [platform.text(content)["errcode"] for _ in range(3)] == [-1, -1, 0]
    assert platform.text("two sandbox:-1*2")["errcode"] == -1


def test_drawn_faults_befall_their_share(platform: Platform) -> None:
    platform.option(fault_busy=1)
    assert platform.text("x")["errcode"] == -1
    platform.option(fault_http=1)
    assert platform.call(TEXT, {"content": "x"}).status_code == 502
    platform.option(fault_http=0, fault_busy=0.5)
    assert {platform.text("x")["errcode"] for _ in range(64)} == {-1, 0}


def test_a_body_beyond_4_mib_is_refused(platform: Platform) -> None:
    assert platform.call(TEXT, b"x" * (4 * 1024 * 1024 + 1)).status_code == 413


# -- quotas ---------------------------------------------------------------------------------------------------------


def test_failed_calls_count_towards_the_minute(platform: Platform) -> None:
    platform.option(text_per_minute=2)
    assert [platform.text("")["errcode"], platform.text("sandbox:-1")["errcode"]] == [44002, -1]
    assert platform.text("x")["errcode"] == 44991
    assert platform.media("https://x/a.jpg")["errcode"] == 0
    platform.clock.now += 60
    assert platform.text("x")["errcode"] == 0


def test_calls_with_a_dead_token_count_too(platform: Platform) -> None:
    platform.option(text_per_minute=1)
    platform.http.post("/sandbox/tokens/invalidate")
    assert [platform.text("x")["errcode"] for _ in range(2)] == [40001, 44991]


def test_the_day_and_the_second_have_limits(platform: Platform) -> None:
    platform.option(media_per_day=1)
    assert [platform.media("https://x/a.jpg")["errcode"] for _ in range(2)] == [0, 45009]
    platform.option(burst_per_second=1)
    assert [platform.text("x")["errcode"] for _ in range(2)] == [0, 44990]


def test_without_an_option_the_quota_is_the_mini_program_s(platform: Platform) -> None:
    answer = platform.json(platform.call("/cgi-bin/openapi/quota/get", {"cgi_path": MEDIA}))
    assert answer["quota"] == {"daily_limit": 200_000, "used": 0, "remain": 200_000}
    assert answer["rate_limit"] == {"call_count": 2_000, "refresh_second": 60}


def test_the_quota_can_be_asked_for(platform: Platform) -> None:
    platform.option(text_per_day=10)
    platform.text("x")
    platform.text("")
    answer = platform.json(platform.call("/cgi-bin/openapi/quota/get", {"cgi_path": TEXT}))
    assert answer["quota"] == {"daily_limit": 10, "used": 2, "remain": 8}
    assert platform.json(platform.call("/cgi-bin/openapi/quota/get", {"cgi_path": "/x"}))["errcode"] == 76021


# -- control --------------------------------------------------------------------------------------------------------


def test_options_are_shown_and_changed(platform: Platform) -> None:
    changed = platform.http.patch("/sandbox/options", json={"fault_busy": 0.25, "push_delay": [0, 2]})
    assert changed.status_code == 200
    assert changed.json() == platform.http.get("/sandbox/options").json()
    assert (changed.json()["fault_busy"], changed.json()["push_delay"]) == (0.25, [0, 2])


@pytest.mark.parametrize("changes", [{"fault_bussy": 1}, {"fault_busy": 2}, {"push_delay": [2, 1]}])
def test_a_wrong_option_is_named_and_nothing_changes(platform: Platform, changes: dict[str, Any]) -> None:
    before = platform.http.get("/sandbox/options").json()
    answer = platform.http.patch("/sandbox/options", json={"slow_seconds": 1, **changes})
    assert answer.status_code == 400
    assert next(iter(changes)) in answer.json()["error"]
    assert platform.http.get("/sandbox/options").json() == before


def test_secure_mode_needs_a_key() -> None:
    programs, default, _ = programs_of(Settings(_env_file=None, appid="wxkeyless", apps={}))
    state = State(programs, default, {"wxkeyless": NOWHERE}, Options())
    with Http(make_app(state)) as http:
        answer = http.patch("/sandbox/options", json={"push_mode": "secure"})
        assert answer.status_code == 400
        assert "push_mode" in answer.json()["error"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{"])
def test_the_control_api_takes_json_objects_only(platform: Platform, body: bytes) -> None:
    assert platform.http.patch("/sandbox/options", content=body).status_code == 400


def test_stats_count_calls_and_their_answers(platform: Platform) -> None:
    platform.text("x")
    platform.text("sandbox:risky")
    platform.call(TEXT, {"content": "sandbox:http=502"})
    stats = platform.http.get("/sandbox/stats").json()
    assert stats["calls"] == {"/cgi-bin/stable_token": 1, TEXT: 3}
    assert stats["answers"][TEXT] == {"0": 1, "87014": 1, "http 502": 1}
    assert (stats["pushes"], stats["waiting"]) == ({"sent": 0, "answers": {}}, 0)


def test_checks_are_listed_without_their_url(platform: Platform) -> None:
    first = platform.media("https://x/private.jpg")["trace_id"]
    second = platform.media("https://x/private.jpg", **V2)["trace_id"]
    answer = platform.http.get("/sandbox/checks")
    assert [check["trace_id"] for check in answer.json()] == [second, first]
    newest = platform.http.get("/sandbox/checks", params={"limit": 1}).json()
    assert {name: newest[0][name] for name in ("appid", "kind", "version", "pushes")} == {
        "appid": APPID,
        "kind": "image",
        "version": 2,
        "pushes": 0,
    }
    assert "private" not in answer.text
    assert platform.http.get("/sandbox/checks", params={"limit": "all"}).status_code == 400


def test_a_push_of_an_unknown_check_cannot_be_repeated(platform: Platform) -> None:
    assert platform.http.post("/sandbox/pushes", json={"trace_id": "none"}).status_code == 404


def test_reset_forgets_everything_and_restores_the_first_options(platform: Platform) -> None:
    platform.option(text_per_minute=1)
    platform.text("sandbox:-1*1")
    platform.media("https://x/a.jpg")
    assert platform.http.post("/sandbox/reset").status_code == 200
    assert platform.text("x")["errcode"] == 40001
    platform.token = platform.stable()["access_token"]
    assert [platform.text("sandbox:-1*1")["errcode"] for _ in range(2)] == [-1, 0]
    assert platform.http.get("/sandbox/checks").json() == []
    options = platform.http.get("/sandbox/options").json()
    assert (options["text_per_minute"], options["push_lost"]) == (None, 1)
