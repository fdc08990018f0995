"""``wxcheck doctor`` finds faults at real servers, beside the quotas and the ten faults that have tests of their own.

Tests: ops.doctor.examination, ops.doctor.broker, ops.doctor.push, ops.doctor.clock, ops.doctor.lately
"""

from __future__ import annotations

import datetime
import json
import os
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from store import keys
from store.places.shard import SHARD
from tests.support import forked
from tests.support.checks import send_text, verdict_of
from tests.support.forked import WXCHECK
from tests.support.ports import free_port
from tests.support.processes import ROOT, eventually
from tests.support.system import APPID, OTHER_APPID, PUSH_TOKEN, System


def run(system: System, directory: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **system.environment, "PYTHONPATH": str(ROOT)}
    environment |= {name if name.isupper() else f"WXCHECK_{name.upper()}": value for name, value in settings.items()}
    return forked.run([WXCHECK, "doctor", *arguments], directory, environment, timeout=120)


def findings(system: System, directory: Path, **settings: str) -> dict[str, dict[str, Any]]:
    ran = run(system, directory, "--json", **settings)
    assert ran.stderr == ""
    told: list[dict[str, Any]] = json.loads(ran.stdout)
    assert all({"level", "subject", "said", "remedy", "well"} == set(finding) for finding in told)
    assert all(finding["remedy"] for finding in told if finding["level"] in ("warn", "bad"))
    assert ran.returncode == any(finding["level"] == "bad" for finding in told)
    return {finding["subject"]: finding for finding in told}


class Elsewhere(BaseHTTPRequestHandler):
    """A server that answers in place of the endpoint."""

    def do_GET(self) -> None:
        status, head, body = {
            "/moved": (301, ("Location", "https://www.example.com/new"), b""),
            "/page": (200, ("Content-Type", "text/html"), b"<!doctype html><p>Welcome"),
            "/gateway": (502, ("Content-Type", "text/html"), b"<html>Bad Gateway"),
            "/other": (200, ("Content-Type", "text/plain"), b"not the echo"),
        }.get(self.path.partition("?")[0], (404, ("Content-Type", "text/plain"), b"no such place"))
        self.send_response(status)
        self.send_header(*head)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keeps quiet."""


def certificate(directory: Path) -> Path:
    """One that no authority has signed, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = directory / "certificate.pem"
    path.write_bytes(signed.public_bytes(pem) + private)
    return path


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The URLs of a server that is not the endpoint, and of the same over TLS with a certificate that nobody signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate(tmp_path_factory.mktemp("tls")))
    plain, tls = (ThreadingHTTPServer(("127.0.0.1", free_port()), Elsewhere) for _ in range(2))
    tls.socket = context.wrap_socket(tls.socket, server_side=True)
    threads = [threading.Thread(target=server.serve_forever) for server in (plain, tls)]
    for thread in threads:
        thread.start()
    yield f"http://127.0.0.1:{plain.server_port}", f"https://127.0.0.1:{tls.server_port}"
    for server, thread in zip((plain, tls), threads, strict=True):
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def hanging() -> Iterator[str]:
    """Host and port of a server that takes connections and answers nobody."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_each_push_url_is_asked_as_wechat_asks_it(system: System, tmp_path: Path, elsewhere: tuple[str, str]) -> None:
    plain, tls = elsewhere
    endpoint = f"{system.endpoint_url}/wechat/push"
    urls = {
        "wxmoved": f"{plain}/moved",
        "wxpage": f"{plain}/page",
        "wxgateway": f"{plain}/gateway",
        "wxother": f"{plain}/other",
        "wxmissing": f"{plain}/missing",
        "wxtls": f"{tls}/page",
        "wxrefused": f"http://127.0.0.1:{free_port()}/wechat/push",
        "wxunknown": f"{endpoint}/wxunknown",
    }
    apps = {appid: {"secret": "s", "push_token": PUSH_TOKEN, "push_url": url} for appid, url in urls.items()}
    # of this one the endpoint has another token; its URL is the default one's with the appId after it
    apps[OTHER_APPID] = {"secret": "s", "push_token": "someOtherToken"}
    # and this one has none here
    apps["wxsilent"] = {"secret": "s"}
    found = findings(system, tmp_path, apps=json.dumps(apps), push_url=endpoint)

    assert found[f"{APPID} push URL"]["level"] == "ok"
    assert found[f"{APPID} push URL"]["said"] == f"{endpoint} answers as WeChat wants it"
    assert found["wxsilent push URL"]["level"] == "skipped"
    said = {
        "wxmoved": "a redirect to https://www.example.com/new",
        "wxpage": "200 with a page",
        "wxgateway": "502: a proxy answers, and does not reach the endpoint",
        "wxother": "200, but not with what was asked for",
        "wxmissing": "404: there is nothing at this path",
        "wxtls": "TLS fails: the certificate is not accepted",
        "wxrefused": "the connection is refused",
        "wxunknown": "404 unknown_appid",
        OTHER_APPID: f"{endpoint}/{OTHER_APPID} answers 403 bad_signature",
    }
    for appid, words in said.items():
        assert found[f"{appid} push URL"]["level"] == "bad"
        assert words in found[f"{appid} push URL"]["said"]
    assert "PUSH_TOKEN" in found[f"{OTHER_APPID} push URL"]["remedy"]


def test_without_a_push_url_the_endpoint_of_this_machine_is_asked(system: System, tmp_path: Path) -> None:
    found = findings(system, tmp_path)
    for appid, path in ((APPID, ""), (OTHER_APPID, f"/{OTHER_APPID}")):
        finding = found[f"{appid} push URL"]
        assert finding["level"] == "skipped"
        assert finding["said"].startswith(f"{system.endpoint_url}/wechat/push{path} answers as WeChat wants it; ")
        assert "the way from outside was not tried: set WXCHECK_PUSH_URL" in finding["said"]


def test_a_proxy_that_is_away_is_told_and_the_endpoint_of_this_machine_asked_without_it(
    system: System, tmp_path: Path
) -> None:
    found = findings(system, tmp_path, HTTP_PROXY=f"http://127.0.0.1:{free_port()}")
    assert "the proxy of this machine's environment" in found["the platform"]["said"]
    assert f"{APPID} token" not in found
    assert "answers as WeChat wants it" in found[f"{APPID} push URL"]["said"]


def test_an_endpoint_on_another_machine_is_no_fault_of_this_one_and_none_at_all_is(
    system: System, tmp_path: Path
) -> None:
    eventually(
        lambda: b"endpoint" in str(system.redis.hvals(keys.PROCESSES)).encode(), "the endpoint says that it runs"
    )
    found = findings(system, tmp_path, callback_port=str(free_port()))
    assert found["push URL"]["level"] == "skipped"
    assert "on another machine" in found["push URL"]["said"]
    with system.database(7):
        found = findings(system, tmp_path, callback_port=str(free_port()), redis_url=system.database_url(7))
    assert found["push URL"]["level"] == "bad"
    assert found["push URL"]["remedy"] == "start it: python -m callbacks"
    assert found["endpoint"]["level"] == "bad"


def test_servers_that_answer_nobody_are_told_each_and_the_others_are_looked_at(
    system: System, tmp_path: Path, hanging: str
) -> None:
    found = findings(
        system,
        tmp_path,
        broker_url=f"redis://user:hush@{hanging}/0",
        result_backend=f"redis://{hanging}/1",
        api_base=f"http://{hanging}",
        push_url=f"http://{hanging}/wechat/push",
    )
    assert "WXCHECK_BROKER_URL" in found["the broker"]["remedy"]
    assert "TimeoutError" in found["the broker"]["said"]
    assert "WXCHECK_RESULT_BACKEND" in found["the result backend"]["remedy"]
    assert found["the platform"]["said"] == f"http://{hanging} does not answer: no answer in time"
    assert found[f"{APPID} push URL"]["said"].endswith("cannot be reached: no answer in time")
    # of it nothing more is asked
    assert found["lately"]["level"] == "skipped"
    assert "messages" not in found["wxcheck.text"]["said"]
    assert f"{APPID} token" not in found
    assert "WXCHECK_REDIS_URL" not in json.dumps(found)
    assert "hush" not in json.dumps(found)


def test_a_broker_that_is_no_redis_is_asked_too(system: System, tmp_path: Path) -> None:
    away = f"127.0.0.1:{free_port()}"
    found = findings(system, tmp_path, broker_url=f"amqp://user:hush@{away}//")
    assert found["the broker"]["level"] == "bad"
    assert away in found["the broker"]["said"]
    assert found[f"{APPID} token"]["level"] == "ok"
    assert "hush" not in json.dumps(found)


def test_a_wrong_secret_is_told_also_where_a_token_is_in_the_store(system: System, tmp_path: Path) -> None:
    verdict_of(send_text(system.app, "what a lovely day"))
    token = system.redis.hget(SHARD.key(f"token:{APPID}"), "value")
    assert token
    found = findings(system, tmp_path, secret="f" * 32)
    assert found[f"{APPID} token"]["level"] == "bad"
    assert "40125" in found[f"{APPID} token"]["said"]
    assert f"{APPID} text" not in found
    # nor is the one that others use replaced
    assert system.redis.hget(SHARD.key(f"token:{APPID}"), "value") == token


def test_a_token_from_elsewhere_is_not_asked_of_the_platform(system: System, tmp_path: Path) -> None:
    system.tell_sandbox(open_interface=True)
    found = findings(system, tmp_path, token_source="none")
    assert found[f"{APPID} token"]["level"] == "skipped"
    assert found[f"{APPID} text"]["level"] == "ok"
    system.tell_sandbox(open_interface=False)
    found = findings(system, tmp_path, token_source="none")
    assert "open-interface service" in found[f"{APPID} text"]["remedy"]

    found = findings(system, tmp_path, token_source="cloudbase", cloudbase_token_file=str(tmp_path / "token"))
    assert found[f"{APPID} token"]["level"] == "bad"
    assert "cloud hosting keeps fresh" in found[f"{APPID} token"]["remedy"]
    assert system.calls("/cgi-bin/stable_token") == 0


def test_a_classic_token_that_lives_is_not_replaced(system: System, tmp_path: Path) -> None:
    for _ in range(2):
        found = findings(system, tmp_path, token_source="classic")
        assert found[f"{APPID} token"]["level"] == "ok"
    # one for each Mini Program
    assert system.calls("/cgi-bin/token") == 2


def test_a_clock_of_this_machine_that_is_off_is_told_against_redis_and_platform(system: System, tmp_path: Path) -> None:
    shifted = f"{ROOT / 'tests' / 'support' / 'shifted_clock'}{os.pathsep}{ROOT}"
    ran = run(system, tmp_path, PYTHONPATH=shifted, SHIFT_SECONDS="3600")
    assert ran.returncode == 1
    faults = [line for line in ran.stdout.splitlines() if line.startswith("!!  clock of this machine: ")]
    assert ["ahead of Redis'" in fault for fault in faults] == [True, False]
    assert ["ahead of the platform's" in fault for fault in faults] == [False, True]
    assert "403 stale_timestamp" in ran.stdout
    assert "\x1b" not in ran.stdout


def test_a_password_that_redis_does_not_take_is_told_as_that(system: System, tmp_path: Path) -> None:
    found = findings(system, tmp_path, redis_url=system.redis_url.replace("//", "//user:hush@"))
    assert "user and password in WXCHECK_REDIS_URL" in found["the store"]["remedy"]
    assert "hush" not in json.dumps(found)


def test_a_file_of_settings_that_cannot_be_read_is_wrong(system: System, tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"WXCHECK_APPID=\xff\xfe\n")
    found = findings(system, tmp_path)
    assert list(found) == ["settings"]
    assert found["settings"]["level"] == "bad"
    assert "no UTF-8" in found["settings"]["said"]
