"""Doctor tells each finding with its remedy, as far as that needs no server.

Tests: ops.doctor.settings, ops.doctor.redis, ops.doctor.queues, ops.doctor.side_by_side, ops.doctor.clock
Tests: ops.doctor.platform, ops.doctor.push, ops.doctor.network, ops.doctor.finding, ops.doctor.examination
Tests: config.redis_url
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import redis.exceptions
import requests
import urllib3.exceptions
from click.testing import CliRunner

from config.redis_url import place
from config.settings import Settings
from ops.cli.exits import COULD_NOT, WELL
from ops.cli.main import main
from ops.doctor import clock, queues
from ops.doctor import redis as redis_looks
from ops.doctor.finding import Finding
from ops.doctor.network import Step, failed_step
from ops.doctor.platform import quota_told, refused
from ops.doctor.push import Heard, misheard, out_of_reach
from ops.doctor.settings import doubts, faults
from ops.doctor.side_by_side import side_by_side
from status.remedies import remedy
from store.watch.presence import Presence
from wechat.push.outcomes import Refusal
from wechat.quotas import PlatformQuota
from wxcheck import CheckRefused, MediaUnavailable

KEY = "aeskeyOfTheTests0123456789abcdefghijklmnopq"
#: 20:00 in Shanghai
EVENING = 1_764_158_400.0


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def settings(**values: Any) -> Settings:
    return Settings(**{"appid": "wx1", "push_token": "token", "push_aes_key": KEY, **values})


def process(name: str = "text@host", **values: Any) -> Presence:
    told: dict[str, Any] = {"kind": "worker", "queues": [], "pool": "threads", "slots": 96, "version": "0.1.0"}
    return Presence(**{"name": name, "at": EVENING, "clock": EVENING, **told, **values})


def remedies(findings: Iterator[Finding], level: str) -> str:
    return " ".join(f"{finding.said} {finding.remedy}" for finding in findings if finding.level == level)


# settings


def test_every_fault_of_the_settings_is_a_finding() -> None:
    message = "wxcheck cannot start, its settings are wrong:\n  - WXCHECK_A: bad\n  - WXCHECK_B: worse\nSee the table."
    assert [(finding.level, finding.said) for finding in faults(message)] == [
        ("bad", "WXCHECK_A: bad"),
        ("bad", "WXCHECK_B: worse"),
    ]


def test_a_file_of_settings_that_cannot_be_read_is_a_finding_too() -> None:
    (finding,) = faults("wxcheck cannot start: .env or a file of secrets cannot be read: no UTF-8")
    assert finding.level == "bad"
    assert finding.said == ".env or a file of secrets cannot be read: no UTF-8"
    assert "UTF-8" in finding.remedy


def test_settings_without_a_doubt_are_said_to_be_complete() -> None:
    (finding,) = doubts(settings())
    assert finding.level == "ok"
    assert "wx1" in finding.said


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"push_aes_key": None}, "no PUSH_AES_KEY"),
        ({"push_token": None}, "no PUSH_TOKEN"),
        ({"push_aes_key_previous": KEY}, "PUSH_AES_KEY_PREVIOUS is set still"),
        ({"result_backend": "redis://other/0"}, "are not one Redis"),
        ({"broker_url": "amqp://rabbit//"}, "are not one Redis"),
        ({"dead_letter_days": 0}, "DEAD_LETTER_DAYS is 0"),
    ],
)
def test_what_is_allowed_and_has_its_price_is_a_doubt(values: dict[str, Any], said: str) -> None:
    assert said in remedies(doubts(settings(**values)), "warn")


@pytest.mark.parametrize(("mode", "told"), [(0o644, True), (0o640, False), (0o600, False)])
def test_a_dotenv_that_everybody_can_read_is_a_doubt(tmp_path: Path, mode: int, told: bool) -> None:
    (tmp_path / ".env").touch()
    (tmp_path / ".env").chmod(mode)
    assert ("chmod 600 .env" in remedies(doubts(settings()), "warn")) is told


# looks side by side


def test_looks_are_told_in_their_order_and_one_that_raises_or_hangs_keeps_nobody_from_the_others() -> None:
    released = threading.Event()

    def slow() -> Iterator[Finding]:
        assert released.wait(60)
        yield Finding("ok", "slow", "is done")

    def broken() -> Iterator[Finding]:
        yield Finding("ok", "broken", "begins")
        released.set()
        raise RuntimeError("out of order")

    def hanging() -> Iterator[Finding]:
        yield Finding("ok", "hanging", "begins")
        threading.Event().wait(30)
        yield Finding("ok", "hanging", "too late")

    def last() -> Iterator[Finding]:
        yield Finding("ok", "last", "is done")

    looks = [("slow", slow), ("broken", broken), ("hanging", hanging), ("last", last)]
    told = list(side_by_side(looks, 6.0))
    assert [(finding.level, finding.subject) for finding in told] == [
        ("ok", "slow"),
        ("ok", "broken"),
        ("bad", "broken"),
        ("ok", "hanging"),
        ("bad", "hanging"),
        ("ok", "last"),
    ]
    assert "RuntimeError: out of order" in told[2].said
    assert "within 6 s" in told[4].said


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (redis.exceptions.ConnectionError("gone"), "Redis went away"),
        (redis.exceptions.NoPermissionError("no permission for 'info'"), "Redis refuses"),
    ],
)
def test_what_redis_says_is_no_fault_of_the_program(error: Exception, said: str) -> None:
    def look() -> Iterator[Finding]:
        yield from ()
        raise error

    (finding,) = side_by_side([("queues", look)], 60.0)
    assert said in finding.said
    assert "fault of wxcheck" not in finding.remedy


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis://user:secret@host:6379/0", "redis://host:6379/0"),
        ("redis://:sec/ret@host/0?password=secret", "redis://host/0"),
        ("amqp://u:secret@one//;amqp://u:secret@two//", "amqp://one//;amqp://two//"),
        ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
    ],
)
def test_where_a_server_is_is_told_without_its_password(url: str, told: str) -> None:
    assert place(url) == told


# Redis


@pytest.mark.parametrize(
    ("info", "seconds", "level", "said"),
    [
        ({"role": "slave"}, 0, "bad", "replica"),
        ({"cluster_enabled": 1}, 0, "bad", "Redis Cluster"),
        ({"maxmemory": 100, "used_memory": 91}, 0, "bad", "91%"),
        ({"aof_last_write_status": "err"}, 0, "bad", "aof_last_write_status err"),
        ({"rdb_last_bgsave_status": "err"}, 0, "bad", "rdb_last_bgsave_status err"),
        ({}, 0.06, "warn", "60 ms"),
    ],
)
def test_a_redis_that_hinders_checks_is_told(info: dict[str, Any], seconds: float, level: str, said: str) -> None:
    (finding,) = redis_looks.doubts("the store", info, seconds, "WXCHECK_REDIS_URL")
    assert finding.level == level
    assert said in finding.said
    assert finding.remedy


def test_a_redis_that_is_well_leaves_no_doubt() -> None:
    info = {"role": "master", "maxmemory": 0, "used_memory": 91, "aof_last_write_status": "ok", "cluster_enabled": 0}
    assert list(redis_looks.doubts("the store", info, 0.001, "WXCHECK_REDIS_URL")) == []


# queues


ALL = ["wxcheck.text", "wxcheck.media", "wxcheck.push"]
EMPTY = dict.fromkeys(ALL, 0)


def told_of_queues(
    *processes: Presence, lengths: dict[str, int], ready: Mapping[str, int] = MappingProxyType({})
) -> dict[str, Finding]:
    return {finding.subject: finding for finding in queues.told(list(processes), lengths, ready, {})}


def test_each_queue_needs_a_worker_and_pushes_need_an_endpoint() -> None:
    found = told_of_queues(process(queues=ALL[:2]), lengths={**EMPTY, "wxcheck.push": 1_234}, ready={"wxcheck.push": 5})
    assert [found[name].level for name in ALL] == ["ok", "ok", "bad"]
    assert "1,234 messages wait in it; 5 checks wait for a run" in found["wxcheck.push"].said
    assert found["wxcheck.push"].remedy.endswith("-Q wxcheck.push")
    assert found["endpoint"].level == "bad"
    found = told_of_queues(process(queues=ALL), process("host:1", kind="endpoint"), lengths=EMPTY)
    assert {finding.level for finding in found.values()} == {"ok"}


def test_a_board_is_no_worker() -> None:
    found = told_of_queues(process("host:1", kind="board", queues=ALL), lengths=EMPTY)
    assert {found[name].level for name in ALL} == {"bad"}


def test_processes_of_several_versions_are_a_doubt_that_names_them() -> None:
    found = told_of_queues(process(queues=ALL), process("old@host", version="0.0.9"), lengths=EMPTY)
    assert found["versions"].level == "warn"
    assert "0.0.9: old@host; 0.1.0: text@host" in found["versions"].said


# clocks


def ahead(seconds: float, give: float = 0.0) -> clock.Ahead:
    return clock.Ahead(seconds, give)


@pytest.mark.parametrize(
    ("seconds", "level"), [(0, "ok"), (4.9, "ok"), (5.1, "warn"), (-59, "warn"), (61, "bad"), (-3600, "bad")]
)
def test_a_clock_that_is_off_is_a_doubt_and_beyond_a_minute_a_fault(seconds: float, level: str) -> None:
    assert [finding.level for finding in clock.told(ahead(seconds), None, [])] == [level]
    assert [finding.level for finding in clock.told(ahead(0), ahead(seconds), [])] == [level]
    off = process(clock=EVENING + seconds)
    assert [finding.level for finding in clock.told(ahead(0), None, [off])] == [level]


def test_what_an_answer_took_is_no_difference_between_clocks() -> None:
    slow = clock.between(100.0, 108.0, shown=99.0)
    assert (slow.seconds, slow.give) == (5.0, 4.0)
    assert [finding.level for finding in clock.told(slow, None, [])] == ["ok"]
    # the platform leaves out what is beyond a second: 100 may be 100.99
    assert clock.between(100.5, 100.5, shown=100.0, granularity=1.0).seconds == 0


def test_the_clock_that_two_others_disagree_with_is_the_one_to_set() -> None:
    (finding,) = clock.told(ahead(3600), ahead(0), [])
    assert "Redis' machine" in finding.remedy
    (*_, finding) = clock.told(ahead(3600), ahead(3600), [])
    assert "set this machine's" in finding.remedy


# the platform


def test_the_address_to_put_on_the_ip_list_is_named() -> None:
    errmsg = "invalid ip 203.0.113.7 ipv6 ::ffff:203.0.113.7, not in whitelist rid: 6b08-1"
    finding = refused("wx1 token", CheckRefused(40164, errmsg, None))
    assert finding.level == "bad"
    assert finding.remedy.startswith("Put 203.0.113.7, this machine's public IP, on the appId's IP list")


@pytest.mark.parametrize(
    ("errcode", "remedy"),
    [
        (40125, "WXCHECK_SECRET"),
        (40013, "WXCHECK_APPID"),
        (41004, "WXCHECK_SECRET"),
        (40243, "frozen"),
        (40164, "IP list"),
        (89503, "confirm this machine's IP"),
        (50002, "frozen or limited"),
        (48001, "permissions"),
        (40234, "API security"),
        (40235, "API security"),
        (-1, "busy"),
    ],
)
def test_each_way_to_refuse_an_appid_has_its_remedy(errcode: int, remedy: str) -> None:
    finding = refused("wx1 token", CheckRefused(errcode, "said so", None))
    assert str(errcode) in finding.said
    assert remedy in finding.remedy


def test_43104_in_a_push_may_also_mean_that_the_appid_has_no_permission() -> None:
    pushed, answered = remedy("MediaUnavailable", 43104), remedy("CheckRefused", 43104)
    assert "no permission" in pushed["en"]
    assert "权限" in pushed["zh"]
    assert all("openid" in said for said in (*pushed.values(), *answered.values()))
    assert "permission" not in answered["en"]
    assert "no permission" in str(MediaUnavailable(43104, "appid not match with openid"))


@pytest.mark.parametrize(
    ("used", "level", "said"),
    [
        (90, "ok", "are sent at most"),
        (91, "warn", "9 of the day's 100 are left until midnight in Shanghai, in 4 h 0 min"),
        (100, "bad", "the day's quota of 100 is gone, nothing is sent until midnight in Shanghai, in 4 h 0 min"),
    ],
)
@pytest.mark.parametrize("counted_here", [True, False])
def test_a_quota_that_ends_is_told_with_when_it_opens(used: int, level: str, said: str, counted_here: bool) -> None:
    ours, theirs = (used, 0) if counted_here else (0, used)
    finding = quota_told("wx1 text", "text", ours, PlatformQuota(theirs, 100, 10), (10, 100), EVENING)
    assert finding.level == level
    assert said in finding.said


def test_a_setting_above_what_the_platform_grants_is_named() -> None:
    finding = quota_told("wx1 media", "media", 0, PlatformQuota(0, 100, 10), (20, 100), EVENING)
    assert finding.level == "bad"
    assert "WXCHECK_MEDIA_PER_MINUTE is 20, and WeChat grants 10" in finding.said


# steps on the way


def raised(*causes: BaseException) -> requests.RequestException:
    """The error that requests raises, with those below it, the outermost first."""
    outer: BaseException | None = None
    for cause in reversed(causes):
        cause.__context__ = outer
        outer = cause
    assert isinstance(outer, requests.RequestException)
    return outer


@pytest.mark.parametrize(
    ("error", "step"),
    [
        (raised(requests.ConnectionError(), socket.gaierror(-2, "Name or service not known")), Step.NAME),
        (raised(requests.ConnectionError(), ConnectionRefusedError()), Step.REFUSED),
        (raised(requests.ConnectionError(), OSError(113, "No route to host")), Step.UNREACHABLE),
        (raised(requests.ConnectTimeout(), TimeoutError()), Step.TIMEOUT),
        (raised(requests.ReadTimeout(), TimeoutError()), Step.TIMEOUT),
        (raised(requests.exceptions.SSLError(), ssl.SSLError(1, "wrong version number")), Step.TLS),
        (raised(requests.ConnectionError(), urllib3.exceptions.ProtocolError(), ConnectionResetError()), Step.LOST),
        # the name that is not resolved is the proxy's
        (raised(requests.exceptions.ProxyError(), socket.gaierror(-2, "Name or service not known")), Step.PROXY),
        (raised(requests.exceptions.InvalidURL()), Step.OTHER),
    ],
)
def test_the_step_that_failed_is_told(error: requests.RequestException, step: Step) -> None:
    assert failed_step(error)[0] is step


@pytest.mark.parametrize("kind", [requests.exceptions.InvalidURL, requests.ConnectionError, requests.ReadTimeout])
def test_what_is_said_of_a_step_has_nothing_of_the_url(kind: type[requests.RequestException]) -> None:
    assert "s3cr3t" not in failed_step(kind("https://host/?signature=s3cr3t"))[1]


def test_a_certificate_that_is_not_accepted_is_told_with_the_reason() -> None:
    refusal = ssl.SSLCertVerificationError(1, "certificate verify failed")
    refusal.verify_message = "certificate has expired"
    step, said = failed_step(raised(requests.exceptions.SSLError(), refusal))
    assert step is Step.TLS
    assert "certificate has expired" in said


# the push URL


def heard(status: int = 200, body: str = "", kind: str = "text/plain", location: str | None = None) -> Heard:
    return Heard(status, body, kind, location)


@pytest.mark.parametrize(
    ("answer", "said", "remedy"),
    [
        (heard(403, "bad_signature"), "403 bad_signature", "another PUSH_TOKEN"),
        (heard(403, "stale_timestamp"), "403 stale_timestamp", "clock"),
        (heard(404, "unknown_appid"), "404 unknown_appid", "appId"),
        (heard(404, "Not Found"), "nothing at this path", "proxy"),
        (heard(301, location="https://www.example.com/?signature=s"), "redirect to https://www.example.com/,", "ends"),
        (heard(502, "<html>"), "does not reach the endpoint", "endpoint"),
        (heard(200, "<!doctype html>"), "200 with a page", "proxy"),
        (heard(200, "Welcome", "text/html; charset=utf-8"), "200 with a page", "proxy"),
        (heard(200, "another echo"), "not with what was asked for", "proxy"),
    ],
)
def test_an_answer_that_wechat_would_not_take_is_told_with_the_remedy(answer: Heard, said: str, remedy: str) -> None:
    told = misheard(answer)
    assert said in told[0]
    assert remedy in told[1]
    assert "signature=" not in told[0]


def test_every_refusal_of_the_endpoint_is_known() -> None:
    for refusal in Refusal.__subclasses__():
        said, remedy = misheard(heard(refusal.status, refusal.outcome.value))
        assert said == f"{refusal.status} {refusal.outcome.value}"
        assert remedy


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://push.example.com/wechat/push", None),
        ("https://push.example.com:443/wechat/push", None),
        ("http://push.example.com/wechat/push", None),
        ("http://127.0.0.1:8080/wechat/push", None),
        ("https://push.example.com:8443/wechat/push", "port 443 only"),
        ("http://push.example.com:8080/wechat/push", "port 80 only"),
        ("http://192.168.1.7/wechat/push", "this network only"),
        ("http://10.0.0.1/wechat/push", "this network only"),
    ],
)
def test_a_url_that_only_this_network_reaches_is_told(url: str, why: str | None) -> None:
    told = out_of_reach(url)
    assert told is None if why is None else why in (told or "")


def test_each_mini_program_has_its_push_url() -> None:
    own = "https://other.example.com/push"
    apps = {"wx2": {"push_token": "t"}, "wx3": {"push_token": "t", "push_url": own}}
    with_url = settings(apps=apps, push_url="https://push.example.com/wechat/push/")
    urls = [with_url.push_url_of(program) for program in with_url.programs.values()]
    assert urls == ["https://push.example.com/wechat/push", "https://push.example.com/wechat/push/wx2", own]
    without = settings(apps=apps)
    assert [without.push_url_of(program) for program in without.programs.values()] == [None, None, own]
    said = [with_url.push_url_of(program, "https://said.example.com/x") for program in with_url.programs.values()]
    assert said == ["https://said.example.com/x", "https://said.example.com/x/wx2", own]


def test_a_look_that_hangs_does_not_keep_the_command_from_its_end() -> None:
    def hanging() -> Iterator[Finding]:
        threading.Event().wait()
        yield Finding("ok", "hanging", "never")

    list(side_by_side([("endless", hanging)], 0.05))
    assert [thread.daemon for thread in threading.enumerate() if thread.name == "doctor-endless"] == [True]


def test_a_push_url_that_is_none_is_wrong_usage() -> None:
    ran = CliRunner().invoke(main, ["doctor", "--push-url", "push.example.com/wechat/push"])
    assert ran.exit_code == COULD_NOT
    assert "must be an http(s) URL" in ran.stderr


def test_an_examination_that_cannot_go_on_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def examine(_: str | None) -> Iterator[Finding]:
        yield Finding("ok", "settings", "complete")
        raise RuntimeError("out of order")

    monkeypatch.setattr("ops.doctor.examination.examine", examine)
    ran = CliRunner().invoke(main, ["doctor"])
    assert ran.exit_code == COULD_NOT
    assert "RuntimeError: out of order" in ran.stderr


def test_what_servers_say_moves_no_cursor_and_doubts_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [
        Finding("warn", "wx1 push URL", "answers 301, a redirect to http://x/\x1b[2J", "mend it"),
        Finding("skipped", "lately", "not looked at"),
    ]
    monkeypatch.setattr("ops.doctor.examination.examine", lambda _: iter(found))
    ran = CliRunner().invoke(main, ["doctor"])
    assert ran.exit_code == WELL
    assert ran.stdout.splitlines() == [
        "!   wx1 push URL: answers 301, a redirect to http://x/\\x1b[2J",
        "      mend it",
        "--  lately: not looked at",
        "Nothing is wrong, 1 doubtful.",
    ]
