"""A worker goes on with what was in its queues once Redis does what it did before."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.checks import picture, send_media, send_text, verdict_of, words
from tests.support.processes import eventually
from tests.support.system import System


def test_a_worker_goes_on_when_redis_has_forgotten_its_scripts(system: System) -> None:
    system.redis.script_flush()
    assert verdict_of(send_text(system.app, words()))["suggest"] == "pass"
    system.redis.script_flush()
    assert verdict_of(send_media(system.app, picture()))["suggest"] == "pass"


TAKES_NO_WRITES = [
    (("CONFIG", "SET", "min-replicas-to-write", "1"), ("CONFIG", "SET", "min-replicas-to-write", "0")),
    (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
    (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
]


@pytest.mark.parametrize(("stop", "go_on"), TAKES_NO_WRITES, ids=["no replicas", "full", "a replica"])
def test_a_worker_starts_and_connects_anew_while_redis_takes_no_writes(
    tmp_path: Path, stop: tuple[str, ...], go_on: tuple[str, ...]
) -> None:
    system = System(tmp_path)
    try:
        system.sandbox()
        system.redis.execute_command(*stop)
        command = ["celery", "-A", "worker", "worker", "-Q", "wxcheck.text", "-n", "early@%h", "--loglevel=INFO"]
        worker = system.run("early", command)
        worker.wait_for("Trying to re")
        system.redis.execute_command(*go_on)
        worker.wait_for(" ready.")
        system.redis.execute_command(*stop)
        tried = worker.output.count("Trying to re")
        system.redis.client_kill_filter(_type="normal", skipme=True)
        eventually(lambda: worker.output.count("Trying to re") > tried + 1, "it connects, and cannot work")
        system.redis.execute_command(*go_on)
        assert verdict_of(send_text(system.app, words()))["suggest"] == "pass"
        assert worker.stop() == 0
    finally:
        system.close()
