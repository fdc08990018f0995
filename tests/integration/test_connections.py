"""However many threads ask a Redis at once, a process has few connections to it.

Tests: store.connection
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from store.connection import CONNECTIONS, STORE_AWAY, connect
from tests.support.quota_world import embedded

#: seconds
PATIENCE = 30.0


@pytest.fixture(scope="module")
def store() -> Iterator[redis.Redis]:
    with embedded() as client:
        yield client


def url_of(client: redis.Redis) -> str:
    return "redis://{host}:{port}/0".format(**client.get_connection_kwargs())


def test_more_threads_than_connections_wait_for_each_other(store: redis.Redis) -> None:
    before = len(store.client_list())
    with connect(url_of(store), PATIENCE, retries=0) as client, ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(lambda _: client.blpop(["nothing"], 0.05), range(80)))
        assert answers == [None] * 80
        assert len(store.client_list()) - before <= CONNECTIONS


def test_a_thread_that_gets_no_connection_in_time_finds_the_store_away(store: redis.Redis) -> None:
    with connect(url_of(store), 0.5, retries=0) as client:
        taken = [client.connection_pool.get_connection() for _ in range(CONNECTIONS)]
        with pytest.raises(STORE_AWAY):
            client.get("anything")
        for connection in taken:
            client.connection_pool.release(connection)
        assert client.get("anything") is None
