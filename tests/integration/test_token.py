"""One process renews the shared access token, and an answer that comes late never wins.

Tests: store.tokens.tokens, wechat.token_calls, wechat.quotas, worker.call, worker.credential
"""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import pytest
import redis
from celery import Celery

import wxcheck
from config.settings import Settings
from store.places.shard import SHARD
from store.places.vouching import vouch
from store.quota.permit import Permit
from store.tokens.tokens import Tokens
from store.watch.statistics import Statistics
from tests.support.checks import failure_of, place_of, send_text, verdict_of, words
from tests.support.processes import eventually
from tests.support.system import APPID, OTHER_APPID, SECRET, System, plain_client
from wechat.answers import Answer, TokenRefused, Unanswered
from wechat.checks import TEXT_PATH, Check, text_check
from wechat.http import Http
from wechat.quotas import QUOTA_PATH
from wechat.token_calls import CLASSIC_TOKEN_PATH, STABLE_TOKEN_PATH, TokenCalls
from worker.call import Calls
from worker.credential import Credential

FAKE = "wxnobodychecks00"


class Source:
    """A source of tokens whose calls end when the test says so."""

    def __init__(self) -> None:
        self.calls = 0
        self.answers: queue.Queue[tuple[str, int] | Exception] = queue.Queue()

    def fetch(self, appid: str) -> tuple[str, int]:  # noqa: ARG002 - one appId is all that a test needs
        self.calls += 1
        answer = self.answers.get(timeout=10)
        if isinstance(answer, Exception):
            raise answer
        return answer


def token_key(appid: str) -> str:
    *_, key = SHARD.of_lane("text", appid)
    return key


def nothing_known(appid: str, lane: str) -> None:
    """No other process has learnt anything of a lane that would make waiting for its token vain."""


def tokens(system: System, source: Source) -> Tokens:
    return Tokens(system.redis, SHARD, source.fetch, nothing_known, call_timeout=3)


def in_thread(call: Callable[[], Any]) -> Callable[[], Any]:
    """Starts ``call``; what is returned waits for its end and gives its result."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(call()))
    thread.start()

    def join() -> Any:
        thread.join(20)
        return results[0]

    return join


def changed(system: System, **fields: Any) -> None:
    for name, value in fields.items():
        system.redis.hset(token_key(FAKE), name, value)


def test_a_token_is_fetched_once_while_it_lives(system: System) -> None:
    source = Source()
    source.answers.put(("one", 7200))
    shared = [tokens(system, source), tokens(system, source)]
    assert [each.get(FAKE, "text") for each in shared * 5] == ["one"] * 10
    assert source.calls == 1


def test_a_life_of_300_seconds_is_not_renewed_on_each_call(system: System) -> None:
    source = Source()
    source.answers.put(("one", 300))
    shared = tokens(system, source)
    assert [shared.get(FAKE, "text") for _ in range(20)] == ["one"] * 20
    assert source.calls == 1


def test_others_wait_for_the_first_token_instead_of_fetching_their_own(system: System) -> None:
    source = Source()
    waiters = [in_thread(lambda: tokens(system, source).get(FAKE, "text")) for _ in range(8)]
    eventually(lambda: source.calls, "one of them calls")
    time.sleep(0.2)
    source.answers.put(("one", 7200))
    assert [join() for join in waiters] == ["one"] * 8
    assert source.calls == 1


def test_the_old_token_is_used_while_another_process_renews_it(system: System) -> None:
    source = Source()
    source.answers.put(("old", 7200))
    shared = tokens(system, source)
    shared.get(FAKE, "text")
    changed(system, refresh_at=0)
    renewing = in_thread(lambda: shared.get(FAKE, "text"))
    eventually(lambda: source.calls == 2, "it is being renewed")
    assert [tokens(system, source).get(FAKE, "text") for _ in range(5)] == ["old"] * 5
    source.answers.put(("new", 7200))
    assert renewing() == "new"
    assert tokens(system, source).get(FAKE, "text") == "new"
    assert source.calls == 2


def test_a_renewal_that_comes_late_never_overwrites_a_newer_token(system: System) -> None:
    slow, quick = Source(), Source()
    late = in_thread(lambda: tokens(system, slow).get(FAKE, "text"))
    eventually(lambda: slow.calls, "the slow one calls")
    changed(system, renewing_until=0)  # it hangs for longer than a call may take
    quick.answers.put(("newer", 7200))
    assert tokens(system, quick).get(FAKE, "text") == "newer"
    slow.answers.put(("dead", 7200))
    assert late() == "newer"
    assert tokens(system, quick).get(FAKE, "text") == "newer"
    assert (slow.calls, quick.calls) == (1, 1)


def test_a_renewal_that_fails_late_does_not_touch_the_newer_one(system: System) -> None:
    slow, quick = Source(), Source()

    def get() -> Any:
        try:
            return tokens(system, slow).get(FAKE, "text")
        except Unanswered as failure:
            return failure.reason

    late = in_thread(get)
    eventually(lambda: slow.calls, "the slow one calls")
    changed(system, renewing_until=0)
    quick.answers.put(("newer", 7200))
    tokens(system, quick).get(FAKE, "text")
    slow.answers.put(Unanswered("no answer", taken=False))
    assert late() == "no answer"
    assert tokens(system, quick).get(FAKE, "text") == "newer"
    assert system.redis.hget(token_key(FAKE), "renewing_until") is None


@pytest.mark.parametrize(
    "failure", [Unanswered("no connection", taken=False), TokenRefused(Answer(-1, "system error", {}))]
)
def test_a_renewal_that_fails_while_the_old_token_lives_uses_the_old_one(system: System, failure: Exception) -> None:
    source = Source()
    source.answers.put(("old", 7200))
    shared = tokens(system, source)
    shared.get(FAKE, "text")
    changed(system, refresh_at=0)
    source.answers.put(failure)
    assert shared.get(FAKE, "text") == "old"
    # the next one does not try again at once
    assert shared.get(FAKE, "text") == "old"
    assert source.calls == 2


def test_who_waits_for_a_token_stops_waiting_when_its_appid_is_known_to_be_refused(system: System) -> None:
    known = wxcheck.CheckRefused(40125, "invalid appsecret", None)
    source, looks = Source(), []

    def look(appid: str, lane: str) -> None:
        looks.append((appid, lane))
        if source.calls and len(looks) > 2:
            raise known

    renewing = in_thread(lambda: tokens(system, source).get(FAKE, "text"))
    eventually(lambda: source.calls, "another process renews it")
    with pytest.raises(wxcheck.CheckRefused) as failure:
        Tokens(system.redis, SHARD, source.fetch, look, call_timeout=3).get(FAKE, "media")
    assert failure.value is known
    assert looks == [(FAKE, "media")] * 3
    source.answers.put(("one", 7200))
    assert renewing() == "one"
    assert source.calls == 1


def test_a_refused_token_is_renewed_once_however_many_were_refused(system: System) -> None:
    source = Source()
    source.answers.put(("old", 7200))
    shared = [tokens(system, source) for _ in range(4)]
    assert {each.get(FAKE, "text") for each in shared} == {"old"}
    source.answers.put(("new", 7200))
    for each in shared:
        each.reject(FAKE, "old")
        assert each.get(FAKE, "text") == "new"
    assert source.calls == 2


def test_a_token_that_is_refused_although_the_platform_gives_it_again_is_not_fetched_on_each_call(
    system: System,
) -> None:
    source = Source()
    for _ in range(5):
        source.answers.put(("same", 7200))
    shared = tokens(system, source)
    for _ in range(5):
        shared.reject(FAKE, shared.get(FAKE, "text"))
    assert shared.get(FAKE, "text") == "same"
    assert source.calls == 2


class Recorder:
    """A platform that writes down what it is asked, in bytes, and answers what the test gave it."""

    def __init__(self, token: str, lives: int) -> None:
        self.requests: list[tuple[str, str, bytes]] = []
        answers = {"token": {"access_token": token, "expires_in": lives}, "check": {"errcode": 0, "errmsg": "ok"}}
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.answer(b"")

            def do_POST(self) -> None:
                self.answer(self.rfile.read(int(self.headers["Content-Length"])))

            def answer(self, body: bytes) -> None:
                recorder.requests.append((self.command, self.path, body))
                data = json.dumps(answers["token" if "token?" in self.path or "stable" in self.path else "check"])
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data.encode())

            def log_message(self, *_: Any) -> None:
                """Says nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.block_on_close = False
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    recorder = Recorder("T" * 600, 300)
    yield recorder
    recorder.server.shutdown()
    recorder.server.server_close()


def platform(system: System, recorder: Recorder, **more: Any) -> tuple[Calls, Settings]:
    settings = Settings(_env_file=None, api_base=recorder.url, appid=FAKE, secret=SECRET, **more)
    http = Http(settings.api_base, 3)
    shared = Tokens(system.redis, SHARD, TokenCalls(http, settings).fetch, nothing_known, 3)
    return Calls(http, Credential(settings, shared), Statistics(system.redis)), settings


def send(caller: Calls, check: Check) -> Answer:
    """The answer to a call whose token is asked for, as a run does that is told to renew it."""
    now = time.monotonic()
    permit = Permit(1, 1, 1, 0.0, now, now + 5, now + 10)
    token = caller._credential.parameters(check.appid, check.lane)["access_token"]
    return caller.send(cast("Any", SimpleNamespace()), check, permit, token)


def test_a_stable_token_of_600_characters_is_asked_for_without_force_and_used(
    system: System, recorder: Recorder
) -> None:
    caller, settings = platform(system, recorder)
    check = text_check(['汉字 🙂 \\ " é\n'], {}, settings)
    for _ in range(3):
        assert send(caller, check).errcode == 0
    (method, path, body), *calls = recorder.requests
    assert (method, path) == ("POST", "/cgi-bin/stable_token")
    asked = json.loads(body)
    assert asked.pop("force_refresh", False) is False
    assert asked == {"grant_type": "client_credential", "appid": FAKE, "secret": SECRET}
    assert len(calls) == 3
    for method, path, body in calls:
        assert method == "POST"
        assert parse_qs(urlsplit(path).query) == {"access_token": ["T" * 600]}
        assert "汉字 🙂".encode() in body
        assert json.loads(body) == {"content": '汉字 🙂 \\ " é\n'}


def test_a_classic_token_is_asked_for_as_it_is_documented(system: System, recorder: Recorder) -> None:
    caller, settings = platform(system, recorder, token_source="classic")
    check = text_check(["a"], {}, settings)
    send(caller, check)
    method, path, _ = recorder.requests[0]
    parts = urlsplit(path)
    assert (method, parts.path) == ("GET", "/cgi-bin/token")
    assert parse_qs(parts.query) == {"grant_type": ["client_credential"], "appid": [FAKE], "secret": [SECRET]}


@pytest.fixture
def apart(system: System) -> Iterator[tuple[Celery, str]]:
    """Another database of the same Redis, so that no worker of other tests takes a check: a client, and its URL."""
    url = system.database_url(4)
    app = plain_client(url)
    with redis.Redis.from_url(url, decode_responses=True) as store:
        for appid in (APPID, OTHER_APPID):
            vouch(store, appid)
    started = len(system.started)
    yield app, url
    for worker in system.started[started:]:
        worker.stop()  # else it would take the next test's checks, where this one failed before its end
    app.backend.client.flushdb()
    app.close()


def test_four_cold_workers_that_need_a_token_in_the_same_moment_cost_one_token_call(
    system: System, apart: tuple[Celery, str]
) -> None:
    app, url = apart
    command = ["celery", "-A", "worker", "worker", "-Q", "wxcheck.text", "-c", "8", "--loglevel=INFO"]
    workers = [system.run(f"cold-{n}", [*command, "-n", f"cold-{n}@%h"], WXCHECK_REDIS_URL=url) for n in range(4)]
    for worker in workers:
        worker.wait_for(" ready.")
    with redis.Redis.from_url(url, decode_responses=True) as store:
        # as if another process fetched it: all of them wait, and go on together
        store.hset(token_key(APPID), "renewing_until", time.time() + 60)
        results = [send_text(app, words("risky")) for _ in range(80)]
        eventually(lambda: store.llen("wxcheck.text") <= 80 - 4 * 4, "four threads of each have a check")
        store.hdel(token_key(APPID), "renewing_until")
    assert {verdict_of(result)["suggest"] for result in results} == {"risky"}
    assert system.calls(STABLE_TOKEN_PATH) == 1
    assert system.calls(TEXT_PATH) == 80
    ran = [worker.output.count("succeeded in") for worker in workers]
    assert sum(ran) == 80
    assert min(ran) > 0
    assert [worker.stop() for worker in workers] == [0] * 4


def test_a_token_that_dies_under_load_costs_at_most_two_more_calls_and_no_check(system: System) -> None:
    system.tell_sandbox(answer_seconds=[0.1, 0.2])
    verdict_of(send_text(system.app, words("risky")))  # the token is there
    results = [send_text(system.app, words("risky")) for _ in range(150)]
    system.invalidate_tokens()
    results += [send_text(system.app, words("risky")) for _ in range(150)]  # these at least meet a dead one
    assert [verdict_of(result)["suggest"] for result in results] == ["risky"] * 300
    assert system.calls(STABLE_TOKEN_PATH) <= 1 + 2
    refused = system.sandbox_stats()["answers"][TEXT_PATH].get("40001", 0)
    assert refused >= 1
    assert system.calls(TEXT_PATH) == 301 + refused


def test_a_token_that_dies_again_and_again_costs_a_call_each(system: System) -> None:
    for _ in range(3):
        assert verdict_of(send_text(system.app, words()))["suggest"] == "pass"
        system.invalidate_tokens()
    assert verdict_of(send_text(system.app, words()))["suggest"] == "pass"
    assert system.calls(STABLE_TOKEN_PATH) == 4


def test_a_check_whose_second_call_finds_no_permit_goes_back_as_if_nobody_had_begun_it(system: System) -> None:
    system.tell_sandbox(answer_seconds=[4, 4])
    result = send_text(system.app, words("40001*1"))
    eventually(lambda: system.calls(TEXT_PATH) == 1, "it is sent, and its token refused in 4 s")
    system.close_lane("text")
    eventually(lambda: place_of(system, result.id) == "lane", "it waits in its lane again")
    system.tell_sandbox(answer_seconds=[0, 0])
    system.open_lanes()
    assert verdict_of(result)["suggest"] == "pass"


def test_a_token_call_that_is_answered_busy_is_tried_again(system: System) -> None:
    system.tell_sandbox(fault_token=1)
    result = send_text(system.app, words("risky"))
    eventually(lambda: system.calls(STABLE_TOKEN_PATH) >= 1, "the token is asked for")
    system.tell_sandbox(fault_token=0)
    assert verdict_of(result)["suggest"] == "risky"
    assert system.calls(TEXT_PATH) == 1


def test_checks_go_on_with_the_old_token_while_its_renewal_fails(system: System) -> None:
    verdict_of(send_text(system.app, words()))
    system.tell_sandbox(fault_token=1)
    system.redis.hset(token_key(APPID), "refresh_at", 0)
    assert verdict_of(send_text(system.app, words("risky")))["suggest"] == "risky"
    assert system.calls(STABLE_TOKEN_PATH) == 2


def test_an_ip_that_is_not_listed_is_told_and_stops_the_appid(system: System) -> None:
    system.tell_sandbox(ip_refused=True)
    results = [send_text(system.app, words()) for _ in range(20)]
    for result in results:
        failure = failure_of(result)
        assert (type(failure), failure.args[0]) == (wxcheck.CheckRefused, 40164)
        assert "127.0.0.1" in failure.args[1]
    assert system.calls(STABLE_TOKEN_PATH) <= 3
    assert system.calls(TEXT_PATH) == 0


def test_a_wrong_secret_refuses_every_check_of_that_appid_at_the_cost_of_few_calls(
    system: System, apart: tuple[Celery, str]
) -> None:
    app, url = apart
    apps = json.dumps({OTHER_APPID: {"secret": SECRET}})
    worker = system.worker(
        "wrong", queues="wxcheck.text", WXCHECK_REDIS_URL=url, WXCHECK_SECRET="0" * 32, WXCHECK_APPS=apps
    )
    results = [send_text(app, words()) for _ in range(100)]
    others = [send_text(app, words("risky"), appid=OTHER_APPID) for _ in range(5)]
    for result in results:
        failure = failure_of(result)
        assert (type(failure), failure.args[0]) == (wxcheck.CheckRefused, 40125)
    assert {verdict_of(result)["suggest"] for result in others} == {"risky"}
    assert system.calls(STABLE_TOKEN_PATH) <= 4
    assert worker.stop() == 0


def test_a_classic_token_works_and_is_renewed(system: System, apart: tuple[Celery, str]) -> None:
    app, url = apart
    worker = system.worker("classic", queues="wxcheck.text", WXCHECK_REDIS_URL=url, WXCHECK_TOKEN_SOURCE="classic")
    assert {verdict_of(send_text(app, words("risky")))["suggest"] for _ in range(3)} == {"risky"}
    assert system.calls(CLASSIC_TOKEN_PATH) == 1
    system.invalidate_tokens()
    assert verdict_of(send_text(app, words("risky")))["suggest"] == "risky"
    assert (system.calls(CLASSIC_TOKEN_PATH), system.calls(STABLE_TOKEN_PATH)) == (2, 0)
    assert worker.stop() == 0


def test_a_cloudbase_token_is_read_from_its_file_again_and_again(
    system: System, apart: tuple[Celery, str], tmp_path: Path
) -> None:
    app, url = apart
    file = tmp_path / "token"
    environment = {"WXCHECK_TOKEN_SOURCE": "cloudbase", "WXCHECK_CLOUDBASE_TOKEN_FILE": str(file)}
    worker = system.worker("cloudbase", queues="wxcheck.text", WXCHECK_REDIS_URL=url, **environment)
    assert "CLOUDBASE_TOKEN_FILE" in failure_of(send_text(app, words())).args[0]
    system.tell_sandbox(cloudbase_token="first")
    file.write_text("first\n")
    assert verdict_of(send_text(app, words("risky")))["suggest"] == "risky"
    system.tell_sandbox(cloudbase_token="second")
    refused = failure_of(send_text(app, words()))
    assert (type(refused), refused.args) == (wxcheck.PlatformUnavailable, (40001,))
    file.write_text("second")
    assert verdict_of(send_text(app, words("risky")))["suggest"] == "risky"
    assert STABLE_TOKEN_PATH not in system.sandbox_stats()["calls"]
    assert worker.stop() == 0


def test_cloud_hosting_needs_no_token_at_all(system: System, apart: tuple[Celery, str]) -> None:
    app, url = apart
    system.tell_sandbox(open_interface=True)
    worker = system.worker(
        "none", queues="wxcheck.text", WXCHECK_REDIS_URL=url, WXCHECK_TOKEN_SOURCE="none", WXCHECK_SECRET=""
    )
    assert verdict_of(send_text(app, words("risky")))["suggest"] == "risky"
    assert set(system.sandbox_stats()["calls"]) - {QUOTA_PATH} == {TEXT_PATH}
    assert worker.stop() == 0
