"""A real RabbitMQ for a test: Debian's ``rabbitmq-server``, on free ports, with everything that it keeps in a folder of
the test's own.

A node answers for a user ``guest`` with the password ``guest``, on loopback only.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

import pytest
from kombu import Connection

from tests.support.ports import free_port
from tests.support.processes import Running, eventually

#: not Debian's wrapper on the PATH, which changes to the system's own user and folder
SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")

#: seconds; a node starts in four on an idle machine
_START_SECONDS = 120.0


def needs_rabbitmq() -> None:
    """Skips the test where RabbitMQ is not installed; fails it where nothing may be skipped.

    Raises:
        AssertionError: ``TESTS_COMPLETE`` is set, and there is no RabbitMQ.
    """
    if SERVER.exists() and shutil.which("epmd"):
        return
    assert "TESTS_COMPLETE" not in os.environ, "rabbitmq-server is not installed"
    pytest.skip("needs Debian's rabbitmq-server")


class RabbitMQ:
    """One node, started at once; :meth:`close` ends it. Killed with :meth:`kill`, it keeps its durable queues."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "rabbitmq"
        self.directory.mkdir(parents=True)
        self.port = free_port()
        self.url = self.url_at(self.port)
        self._stack = ExitStack()
        epmd_port, node_port = free_port(), free_port()
        # Erlang's port mapper, which a node would else leave running behind it
        self._epmd = self._run(
            "epmd", [str(shutil.which("epmd")), "-port", str(epmd_port), "-address", "127.0.0.1"], {}
        )
        # the smallest node: no plugins, little memory for what it allocates ahead
        (self.directory / "enabled_plugins").write_text("[].\n", encoding="utf-8")
        (self.directory / "rabbitmq.conf").write_text(
            "loopback_users.guest = true\nvm_memory_high_watermark.absolute = 1GB\ndisk_free_limit.absolute = 50MB\n",
            encoding="utf-8",
        )
        self._environment = {
            "HOME": str(self.directory),  # the node's cookie
            "ERL_EPMD_PORT": str(epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"wxcheck{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(node_port),
            "RABBITMQ_CONFIG_FILE": str(self.directory / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.directory / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(self.directory / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.directory / "log"),
            "RABBITMQ_PID_FILE": str(self.directory / "pid"),
            "RABBITMQ_CONF_ENV_FILE": str(self.directory / "none"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 +sbwt none",
        }
        try:
            self.server = self._start()
        except BaseException:
            self.close()
            raise

    def answers(self) -> bool:
        """Whether a client can log in."""
        connection = Connection(self.url, connect_timeout=2)
        try:
            connection.connect()
        except OSError:
            return False
        else:
            return True
        finally:
            connection.release()

    def kill(self) -> None:
        """SIGKILL to the node."""
        self.server.kill()

    def restart(self) -> None:
        """Starts a killed node again, with what it keeps."""
        self.server = self._start()

    def freeze(self) -> None:
        """SIGSTOP: it keeps its connections and answers nobody."""
        self.server.freeze()

    def thaw(self) -> None:
        self.server.thaw()

    def control(self, *arguments: str) -> str:
        """The output of ``rabbitmqctl``; takes a second or two."""
        command = [str(SERVER.with_name("rabbitmqctl")), "--quiet", *arguments]
        done = subprocess.run(
            command, env={**os.environ, **self._environment}, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @staticmethod
    def url_at(port: int) -> str:
        """The URL by which clients find it at ``port``."""
        return f"amqp://guest:guest@127.0.0.1:{port}//"

    def held(self, queues: Iterable[str]) -> dict[str, int]:
        """The number of messages in each of ``queues``, those in consumers' hands with them."""
        lines = [line.split("\t") for line in self.control("list_queues", "name", "messages").splitlines()]
        found = {line[0]: line[1] for line in lines if len(line) > 1}
        return {queue: int(found.get(queue, "0")) for queue in queues}

    def length(self, queue: str) -> int:
        """The number of messages waiting in ``queue``, without those in a consumer's hands; 0 without such a queue."""
        with Connection(self.url) as connection, connection.channel() as channel:
            try:
                return int(channel.queue_declare(queue, passive=True).message_count)
            except connection.channel_errors:
                return 0

    def close(self) -> None:
        self._stack.close()

    def _run(self, name: str, command: list[str], environment: dict[str, str]) -> Running:
        running = Running(name, command, environment, self.directory)
        self._stack.callback(running.kill)
        return running

    def _start(self) -> Running:
        server = self._run("server", [str(SERVER)], self._environment)

        def up() -> bool:
            assert server.process.poll() is None, f"RabbitMQ ended:\n{server.output}"
            return self.answers()

        eventually(up, "RabbitMQ answers", _START_SECONDS)
        return server
