"""Each process reaches Redis by TLS with a certificate of its own authority, and says what is wrong without it.

Tests: config.redis_url
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator

import pytest
import requests
from celery import Celery, chain

from config.celery import celery_configuration
from config.settings import Settings, SettingsError, load_settings
from ops.local.redis_server import answers
from store.connection import connect
from tests.support.checks import picture, runs, words
from tests.support.forked import WXCHECK, run
from tests.support.ports import free_port
from tests.support.processes import eventually
from tests.support.system import QUEUES, System, plain_client
from tests.support.tls import Tls, server_with_tls, tls

WORKER = ["celery", "-A", "worker", "worker", "-Q", QUEUES, "--loglevel=INFO"]
STARTS = {"worker": WORKER, "endpoint": ["callbacks"], "board": ["ops.cli", "board", "--port", "0"]}


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[System, Tls]]:
    """A system whose Redis speaks TLS too, at a port of its own; the tests themselves look by the plain one."""
    directory = tmp_path_factory.mktemp("tls")
    programs = directory / "bin"
    programs.mkdir()
    (programs / "redis-server").symlink_to(server_with_tls())
    made = tls(directory)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")

        class Secured(System):
            redis_options = made.options

        system = Secured(directory)
    try:
        yield system, made
    finally:
        system.close()


def cli(system: System, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return run([WXCHECK, *arguments], system.directory, {**os.environ, **system.environment, **environment})


def test_every_process_reaches_store_broker_and_results_by_tls(secured: tuple[System, Tls]) -> None:
    system, made = secured
    url = made.url(made.trusted)
    by_tls = {"WXCHECK_REDIS_URL": url}
    system.sandbox()
    system.endpoint(**by_tls)
    worker = system.worker(**by_tls)
    board = system.run("board", STARTS["board"], **by_tls)
    board.wait_for("board:")
    port = free_port()
    flower = system.run("flower", ["celery", "-A", "worker", "flower", f"--port={port}"], **by_tls)
    flower.wait_for("Visit me")
    # an application's Celery wants the option spelt out
    app = plain_client(f"{url}&ssl_cert_reqs=required")
    system.application()
    try:
        for check, argument in (("check_text", words()), ("check_media", picture())):
            task = app.signature(f"wxcheck.{check}", args=(argument,), queue=f"wxcheck.{check.removeprefix('check_')}")
            follow_up = app.signature("application.publish", kwargs={"item": check}, queue="application")
            assert chain(task, follow_up).apply_async().get(timeout=60) == {"item": check, "shown": True}
        assert {run["arguments"][1] for run in runs(system, "publish")} == {"check_text", "check_media"}
        eventually(lambda: requests.get(f"{system.endpoint_url}/readyz", timeout=20).ok, "the endpoint is ready")
        status = cli(system, "status", "--json", **by_tls)
        assert json.loads(status.stdout)["processes"], status.stderr
        assert cli(system, "pending", "--json", **by_tls).returncode == 0
        eventually(lambda: requests.get(f"http://127.0.0.1:{port}/workers?json=1", timeout=20).ok, "Flower answers")
        shown = requests.get(f"http://127.0.0.1:{port}/broker", timeout=20)
        assert "wxcheck.text" in shown.text
    finally:
        app.close()
    for running in (flower, board, worker):
        assert running.stop() == 0, running.output


@pytest.mark.parametrize("spelt", ["CERT_REQUIRED", "required", "CERT_OPTIONAL", "optional", "CERT_NONE", "none"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_each_spelling_of_ssl_cert_reqs_is_read_alike_by_every_client(secured: tuple[System, Tls], spelt: str) -> None:
    _, made = secured
    trusted = "" if spelt.lower().endswith("none") else f"&{made.trusted}"
    url = made.url(f"ssl_cert_reqs={spelt}{trusted}")
    settings = Settings(_env_file=None, redis_url=url, broker_url=url, result_backend=url)
    assert answers(settings.redis_url)
    assert settings.is_one_redis
    with connect(settings.redis_url, 5) as store:
        assert store.ping()
    app = Celery(set_as_current=False)
    app.config_from_object(celery_configuration(settings))
    with app.connection_for_write() as connection:
        connection.ensure_connection(max_retries=0, timeout=5)
        assert connection.default_channel.client.ping()
    assert app.backend.client.ping()
    app.close()


@pytest.mark.parametrize("process", STARTS)
@pytest.mark.parametrize(
    ("query", "host"), [("", "localhost"), ("ssl_cert_reqs=CERT_REQUIRED", "localhost"), ("trusted", "127.1")]
)
def test_a_certificate_that_is_not_trusted_stops_a_process_with_one_line(
    secured: tuple[System, Tls], process: str, query: str, host: str
) -> None:
    system, made = secured
    url = made.url(made.trusted if query == "trusted" else query, host)
    running = system.run(f"{process}-untrusted", STARTS[process], WXCHECK_REDIS_URL=url)
    assert running.process.wait(60) == 1
    told = [line for line in running.output.splitlines() if "certificate is not accepted" in line]
    assert len(told) == 1, running.output
    assert f"WXCHECK_REDIS_URL rediss://{host}:{made.port}/0" in told[0]
    assert "ssl_ca_certs" in told[0]
    assert "Traceback" not in running.output


def test_a_command_says_that_the_certificate_is_not_trusted(secured: tuple[System, Tls]) -> None:
    system, made = secured
    ran = cli(system, "status", WXCHECK_REDIS_URL=made.url())
    assert ran.returncode == 2
    assert "certificate" in ran.stderr
    assert len(ran.stderr.strip().splitlines()) == 1


def test_a_port_without_tls_is_told(secured: tuple[System, Tls]) -> None:
    system, made = secured
    url = system.redis_url.replace("redis://", "rediss://") + f"?{made.trusted}"
    running = system.run("worker-plain", WORKER, WXCHECK_REDIS_URL=url)
    assert running.process.wait(60) == 1
    assert "speaks no TLS" in running.output


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (
            "rediss://host/0?ssl_cert_reqs=sometimes",
            "ssl_cert_reqs must be required, optional or none, not 'sometimes'",
        ),
        ("rediss://host/0?ssl_ca_certs=/nowhere/ca.pem", "ssl_ca_certs: there is no file /nowhere/ca.pem"),
        ("redis://host/0?ssl_cert_reqs=required", "ssl_cert_reqs belongs to a rediss:// URL"),
    ],
)
@pytest.mark.parametrize("setting", ["redis_url", "broker_url", "result_backend"])
def test_an_option_of_tls_that_is_none_is_told_with_its_setting(setting: str, url: str, said: str) -> None:
    with pytest.raises(SettingsError) as told:
        load_settings("any", **{setting: url})
    assert f"WXCHECK_{setting.upper()}: {said}" in str(told.value)


def test_a_certificate_is_asked_for_by_default() -> None:
    settings = Settings(_env_file=None, redis_url="rediss://:p%40ss@host:6380/2")
    assert settings.redis_url == "rediss://:p%40ss@host:6380/2?ssl_cert_reqs=required"
