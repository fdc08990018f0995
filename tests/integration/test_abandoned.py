"""Messages that a worker left behind, as the transport gives them out again by the project's configuration."""

from __future__ import annotations

import pytest
from kombu import Connection

from config.celery import celery_configuration
from config.settings import Settings
from tests.support.system import System
from worker.transport import Transport


def test_a_worker_that_looks_for_them_keeps_others_off_for_seconds_only(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may never learn that it holds the lock, where Redis stalls, and then nobody looks until the lock expires."""
    url = system.database_url(8)
    options = celery_configuration(Settings(redis_url=url))["broker_transport_options"]
    connection = Connection(url, transport=Transport, transport_options=options)
    with system.database(8) as store, connection, connection.channel() as channel:
        store.zadd("wxcheck:unacked_index", {"left behind": 1})
        locked_for: list[int] = []
        monkeypatch.setattr(
            channel.qos, "restore_by_tag", lambda *_: locked_for.append(store.ttl("wxcheck:unacked_mutex"))
        )
        channel.qos.restore_visible()
    (seconds,) = locked_for
    assert 0 < seconds <= 30
