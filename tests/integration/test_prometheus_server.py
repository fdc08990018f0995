"""Debian's Prometheus scrapes a real endpoint, and every alert fires when its fault is made, and ends with it.

Tests: callbacks.metrics, deploy/prometheus
"""

from __future__ import annotations

import asyncio
import functools
import re
import shlex
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis
import requests
import uvicorn
import yaml
from celery import Celery

from callbacks.app import create_app
from config.settings import Settings
from status.cluster_metrics import cluster_metrics
from tests.support.alerting import ALERTS, DEPLOY, FAULTS, HEALTHY_RATES, Fault, Numbers, healthy, program
from tests.support.dashboard import QUERIES
from tests.support.ports import free_port
from tests.support.processes import Running, eventually
from wechat.push.envelope import sign

APPID, TOKEN = "wxplain", "pushtokenOfTheTests"

#: faults of the numbers and totals; those of the endpoint itself are made for real
NUMBERS = [fault for fault in FAULTS if fault.up and fault.store_up and not fault.requests]


class Cluster:
    """Numbers and totals that a test changes; each time the totals are read a minute has passed."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.away = False
        self._totals: Counter[str] = Counter()

    def read(self) -> Numbers:
        if self.away:
            raise redis.ConnectionError("the store is away")
        numbers = healthy()
        for fault in self.faults:
            fault.change(numbers)
        return numbers

    def totals(self) -> dict[str, int]:
        rates = dict(HEALTHY_RATES)
        for fault in self.faults:
            rates |= fault.rates
        for name, rate in rates.items():
            self._totals[name] += round(rate)
        return dict(self._totals)


class Server:
    """Prometheus, with the files of ``deploy/`` but for their times: seconds in place of minutes."""

    def __init__(self, directory: Path, target: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        rules = (DEPLOY / "alerts.yml").read_text(encoding="utf-8")
        rules = re.sub(r"\bfor: \d+m$", "for: 0s", rules, flags=re.MULTILINE)
        rules = re.sub(r"offset \d+m", "offset 2s", re.sub(r"\[\d+m\]", "[3s]", rules))
        (directory / "alerts.yml").write_text(rules, encoding="utf-8")
        config = yaml.safe_load((DEPLOY / "prometheus.yml").read_text(encoding="utf-8"))
        config["global"] = {"scrape_interval": "500ms", "evaluation_interval": "500ms", "scrape_timeout": "500ms"}
        (static,) = config["scrape_configs"][0]["static_configs"]
        assert static["targets"] == ["endpoint:8080"]
        static["targets"] = [target]
        (directory / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
        compose = yaml.safe_load((DEPLOY / "docker-compose.yml").read_text(encoding="utf-8"))
        options = compose["services"]["prometheus"]["command"].replace("=/etc/prometheus", f"={directory}")
        options = options.replace("=/prometheus", f"={directory}/data")
        listen = f"--web.listen-address=127.0.0.1:{self.port}"
        self.command = [program("prometheus"), *shlex.split(options), listen, "--log.level=warn"]

    def ready(self) -> bool:
        try:
            return requests.get(f"{self.url}/-/ready", timeout=10).ok
        except requests.ConnectionError:
            return False

    def alerts(self) -> list[dict[str, Any]]:
        """Those that fire now."""
        answer = requests.get(f"{self.url}/api/v1/alerts", timeout=10).json()
        return [alert for alert in answer["data"]["alerts"] if alert["state"] == "firing"]

    def firing(self) -> set[str]:
        return {alert["labels"]["alertname"] for alert in self.alerts()}

    def query(self, expr: str) -> list[Any]:
        answer = requests.get(f"{self.url}/api/v1/query", params={"query": expr}, timeout=10).json()
        assert answer["status"] == "success", answer
        return list(answer["data"]["result"])


@contextmanager
def endpoint(port: int, cluster: Cluster) -> Iterator[None]:
    """An endpoint whose broker and store nobody has started, at a port that it keeps."""
    nobody = f"redis://127.0.0.1:{free_port()}/0"
    settings = Settings(_env_file=None, redis_url=nobody, apps={APPID: {"push_token": TOKEN}})
    app = create_app(settings, Celery(broker=nobody, set_as_current=False), partial(cluster_metrics, None, cluster))
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, access_log=False, ws="none"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    try:
        eventually(lambda: server.started, "the endpoint listens")
        yield
    finally:
        server.should_exit = True
        thread.join()


def push(port: int, token: str) -> int:
    """Pushes a verdict with that token's signature; the answer's status."""
    now = str(int(time.time()))
    params = {"timestamp": now, "nonce": "n", "signature": sign(token, now, "n")}
    event = {"MsgType": "event", "Event": "wxa_media_check", "trace_id": "t-1", "isrisky": 0, "status_code": 0}
    url = f"http://127.0.0.1:{port}/wechat/push/{APPID}"
    return requests.post(url, params=params, json=event, timeout=10).status_code


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[Server, int]]:
    port = free_port()
    server = Server(tmp_path, f"127.0.0.1:{port}")
    with Running("prometheus", server.command, {}, tmp_path) as running:
        eventually(server.ready, f"Prometheus is ready; it said: {running.output}")
        yield server, port


def test_every_alert_fires_when_its_fault_is_made_and_ends_when_it_is_mended(server: tuple[Server, int]) -> None:
    prometheus, port = server
    cluster = Cluster()

    def fires(*expected: str) -> None:
        eventually(lambda: prometheus.firing() == set(expected), f"{set(expected)} fire, and no other")

    with ExitStack() as stack:
        stack.enter_context(endpoint(port, cluster))
        eventually(lambda: prometheus.query("wxcheck_store_up == 1"), "the endpoint is scraped")
        fires()

        cluster.faults = NUMBERS
        of_numbers = {fault.alert for fault in NUMBERS}
        eventually(lambda: prometheus.firing() == of_numbers, "every fault of the numbers is told")
        for alert in prometheus.alerts():
            told = " ".join(alert["annotations"].values())
            assert not re.search(r"<no value>|<error|\{\{", told), told
        levels = {alert["labels"]["severity"] for alert in prometheus.alerts()}
        assert levels == {"critical", "warning"}

        def pushed() -> bool:
            assert (push(port, "a stranger's"), push(port, TOKEN)) == (403, 503)
            return prometheus.firing() == {*of_numbers, "WxcheckForgedPushes", "WxcheckPushesNotQueued"}

        eventually(pushed, "forged pushes, and pushes that nobody takes, are told")
        # the dashboard has something to show in every panel, just now
        for expr in QUERIES:
            asked = re.sub(r"\[[^]]*\]", "[5s]", expr.replace("$job", "wxcheck").replace("$appid", ".+"))
            eventually(functools.partial(prometheus.query, asked), f"there is an answer to {asked}")

        cluster.faults = []
        fires()
        cluster.away = True
        fires("WxcheckStoreAway")
        cluster.away = False
        fires()
    fires("WxcheckEndpointDown")
    with endpoint(port, cluster):
        fires()
    outside = {"WxcheckForgedPushes", "WxcheckPushesNotQueued", "WxcheckStoreAway", "WxcheckEndpointDown"}
    assert of_numbers | outside == {rule["alert"] for rule in ALERTS}
