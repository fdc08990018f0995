"""Each process tells which servers it has, so that a broker without workers is not believed to have some."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from store import keys
from tests.support.commands import wxcheck_command
from tests.support.processes import eventually
from tests.support.system import System


@pytest.mark.parametrize("topology", ["broker apart", pytest.param("RabbitMQ", marks=pytest.mark.long)])
def test_the_doctor_of_another_broker_names_who_has_which(topology: str, tmp_path: Path) -> None:
    system = System(tmp_path, topology)
    try:
        system.sandbox()
        system.worker()
        eventually(lambda: system.redis.hlen(keys.PROCESSES), "the worker says that it runs")

        def found(broker: str) -> dict[str, str]:
            ran = wxcheck_command(system, "doctor", "--json", BROKER_URL=broker)
            assert "guest:guest" not in ran.stdout
            return {finding["subject"]: f"{finding['level']} {finding['said']}" for finding in json.loads(ran.stdout)}

        elsewhere = found(system.redis_url)
        assert elsewhere["wxcheck.text"].startswith("bad no worker serves it")
        assert "not all processes have the same broker" in elsewhere["servers"]
        assert f"{system.redis_url}: wxcheck doctor; " in elsewhere["servers"]
        assert ": worker@" in elsewhere["servers"]
        # the same one, by another name
        same = found(system.broker_url.replace("127.0.0.1", "localhost"))
        assert same["wxcheck.text"].startswith("ok served by worker@")
        assert "servers" not in same
    finally:
        system.close()
