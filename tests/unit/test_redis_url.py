"""One place says whether a URL is that of a Redis."""

from __future__ import annotations

import re

import pytest
from kombu import Connection
from kombu.transport import redis

from config.redis_url import is_kombus_redis, is_redis
from tests.support.processes import ROOT

ROOMS = ("callbacks", "config", "ops", "sandbox", "status", "store", "tasks", "wechat", "worker")

REDISES = ["redis://", "redis://:hush@127.0.0.1:6379/0", "rediss://host:6380/0?ssl_cert_reqs=required", "REDIS://host"]
SOCKETS = ["redis+socket:///run/redis.sock"]
OTHERS = ["", "amqp://rabbit//", "pyamqp://rabbit//", "memory://", "sentinel://a:1;sentinel://b:2", "rediska://host"]


@pytest.mark.parametrize(
    ("url", "is_asked", "is_kombus"),
    [
        *((url, True, True) for url in REDISES),
        *((url, False, True) for url in SOCKETS),
        *((url, False, False) for url in OTHERS),
    ],
)
def test_a_redis_is_told_by_its_scheme(url: str, is_asked: bool, is_kombus: bool) -> None:
    assert (is_redis(url), is_kombus_redis(url)) == (is_asked, is_kombus)


@pytest.mark.parametrize("url", [*REDISES[:3], *SOCKETS])
def test_kombu_reaches_these_by_its_transport_for_redis(url: str) -> None:
    with Connection(url) as connection:
        assert issubclass(connection.get_transport_cls(), redis.Transport)


def test_kombu_asks_for_a_master_that_no_setting_names() -> None:
    with Connection("sentinel://127.0.0.1:1") as connection, pytest.raises(ValueError, match="master_name"):
        connection.channel()


def test_no_other_module_compares_schemes() -> None:
    asks = re.compile(r"""startswith\(\(?["'](?:redis|sentinel)|scheme (?:in|==) .*["']redis["']""")
    modules = {path.relative_to(ROOT) for room in ROOMS for path in (ROOT / room).rglob("*.py")}
    found = {str(path) for path in modules if asks.search((ROOT / path).read_text())}
    assert found == {"config/redis_url.py"}
