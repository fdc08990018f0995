"""Everything on one machine: Redis, the platform's stand-in, workers, the endpoint, Flower; started, and waited for."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import requests

from config.redis_url import place
from config.settings import PREFIX, Settings, of_file
from ops.local.errors import PortTaken, RedisSilent
from ops.local.ports import free_port, is_free
from ops.local.processes import ROOT, Processes
from ops.local.redis_server import HOST, answers, embedded_redis
from sandbox.credentials import DEMO_ENVIRONMENT
from store.connection import connect
from store.places.vouching import vouch

#: most seconds until a process is ready; a busy machine with two cores takes some ten
READY_TIMEOUT = 45.0
#: most seconds to wait for a Redis of the user's
_REDIS_TIMEOUT = 5.0
#: most seconds to wait for an answer of a server
_ANSWER = 2.0

#: stages end with the highest first: a worker's last steps need the platform and the store
_STORE, _PLATFORM, _OTHERS = 0, 1, 2


def drop_celery_variables() -> None:
    """Remove CELERY_BROKER_URL and its like, most likely an application's: Celery would use them instead of ours."""
    for name in [name for name in os.environ if name.upper().startswith("CELERY_")]:
        del os.environ[name]


class Stack:
    """The processes of a local system, as a context: inside it all of them are ready, after it none is left.

    Raises LocalError on entry if a process cannot be started, is not ready in time, or ends.
    """

    #: the URLs that programs need; they may hold a password
    store_url: str
    broker: str
    backend: str
    endpoint_url: str
    sandbox_url: str | None = None
    flower_url: str | None = None
    #: the variables, beside the user's own settings, by which another process joins this system
    environment: dict[str, str]

    def __init__(
        self,
        settings: Settings,
        *,
        sandbox: bool,
        isolated: bool = False,
        flower: bool = False,
        demo_app: bool = False,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Name the processes to start beside a worker and the endpoint.

        ``sandbox``: the stand-in platform, with its own Mini Program in place of those of ``settings``. ``isolated``:
        nothing of the user's settings reaches a process, but the Redis and the broker where ``settings`` name these.
        ``tell`` gets a line for each step.
        """
        self._settings = settings
        self._sandbox = sandbox
        self._isolated = isolated
        self._flower = flower
        self._demo_app = demo_app
        self._tell = tell

    def __enter__(self) -> Self:
        self.processes = Processes(self._inherited())
        self.processes.__enter__()
        try:
            self._start()
        except BaseException:
            self.processes.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.processes.close()

    @property
    def redis_url(self) -> str:
        """Return the store's URL for people to read, without a password."""
        return place(self.store_url)

    def check(self) -> None:
        """Make sure that every process still runs.

        Raises:
            ProcessFailed: one has ended; with its name, how, and its last lines.
        """
        self.processes.check()

    def _start(self) -> None:
        self.environment = {}
        self._start_redis()
        ready: dict[str, Callable[[], bool]] = {}
        endpoint_port = self._endpoint_port()
        if self._sandbox:
            ready["sandbox"] = self._start_sandbox(endpoint_port)
        ready["endpoint"] = self._start_endpoint(endpoint_port)
        queues = "wxcheck.text,wxcheck.media,wxcheck.push"
        ready["worker"] = self._start_worker("worker", "worker", "-Q", queues, "-n", "wxcheck@%h")
        if self._demo_app:
            # one task at a time is enough here, and takes one process
            ready["demo-app"] = self._start_worker(
                "demo-app", "ops.local.demo_app", "-Q", "demo", "-n", "demo@%h", "--pool=solo"
            )
        if self._flower:
            ready["flower"] = self._start_flower()
        self._tell(f"starting {', '.join(ready)}")
        deadline = time.monotonic() + READY_TIMEOUT
        for name, look in ready.items():
            self.processes.wait_until(name, look, deadline - time.monotonic())
            self._tell(f"{name} is ready")

    def _inherited(self) -> dict[str, str]:
        """Return the environment of each process, from that of this process."""
        inherited = dict(os.environ)
        if self._isolated:
            inherited = {name: value for name, value in inherited.items() if not name.upper().startswith(PREFIX)}
        else:
            # a variable that is set to nothing is not set
            inherited = of_file() | {name: value for name, value in inherited.items() if value or name not in of_file()}
        for name in ("NO_PROXY", "no_proxy"):  # all processes talk to this machine only
            inherited[name] = ",".join(filter(None, [inherited.get(name), HOST, "localhost"]))
        inherited["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), inherited.get("PYTHONPATH")]))
        inherited["PYTHONUNBUFFERED"] = "1"  # a log that lags is lost when a process dies
        if self._isolated or "log_format" not in self._settings.model_fields_set:
            inherited[f"{PREFIX}LOG_FORMAT"] = "text"  # people read the log, and its end is shown if a process fails
        return inherited

    def _start_process(self, name: str, *arguments: str, stage: int = _OTHERS) -> None:
        # a directory without .env, and without modules of the same names as ours
        command = [sys.executable, "-m", *arguments]
        self.processes.start(name, command, environment=self.environment, cwd=self.processes.directory, stage=stage)

    def _start_redis(self) -> None:
        # a demo must not meet a live system's queues, which the settings describe if they have an appId
        given = not (self._isolated and self._settings.programs)
        given_redis = given and "redis_url" in self._settings.model_fields_set
        if given_redis:
            url = self._settings.redis_url
            self._await_given_redis(url)
        else:
            redis = embedded_redis(free_port(), self.processes.directory)
            self.processes.start("redis", redis.command, environment={}, cwd=self.processes.directory, stage=_STORE)
            self.processes.wait_until("redis", redis.answers, READY_TIMEOUT)
            url = redis.url
        broker, backend = (self._settings.broker_url, self._settings.result_backend) if given else ("", "")
        self.store_url, self.broker, self.backend = url, broker or url, backend or url
        if self._isolated:
            self.environment |= {f"{PREFIX}BROKER_URL": self.broker, f"{PREFIX}RESULT_BACKEND": self.backend}
        if self._isolated or not given_redis:
            self.environment[f"{PREFIX}REDIS_URL"] = url
        self._tell(f"redis is ready at {self.redis_url}")
        if self._sandbox:
            # the platform is as new as this stack, so nothing was sent to it lately
            with connect(url, _REDIS_TIMEOUT, retries=1) as client:
                vouch(client, DEMO_ENVIRONMENT["WXCHECK_APPID"])

    def _await_given_redis(self, url: str) -> None:
        deadline = time.monotonic() + _REDIS_TIMEOUT
        while not answers(url):
            if time.monotonic() > deadline:
                raise RedisSilent(
                    f"the Redis at {place(url)} does not answer PING, or refuses its password: start it, "
                    f"correct {PREFIX}REDIS_URL, or leave {PREFIX}REDIS_URL out to have a Redis started here"
                )
            time.sleep(0.2)

    def _endpoint_port(self) -> int:
        port = self._settings.callback_port
        if self._isolated or port == 0:
            return free_port()
        if is_free(self._settings.callback_host, port):
            return port
        if self._sandbox:
            return free_port()
        raise PortTaken(
            f"port {port}, where the callback endpoint is to listen, is taken: end what listens there, or set "
            f"{PREFIX}CALLBACK_PORT to another one and have the pushes forwarded there"
        )

    def _start_sandbox(self, endpoint_port: int) -> Callable[[], bool]:
        port = free_port()
        self.sandbox_url = f"http://{HOST}:{port}"
        self.environment |= {f"{PREFIX}API_BASE": self.sandbox_url, **DEMO_ENVIRONMENT}
        push_url = f"http://{self._endpoint_host()}:{endpoint_port}/wechat/push"
        self._start_process("sandbox", "sandbox", "--port", str(port), "--push-url", push_url, stage=_PLATFORM)
        return lambda: _answers_200(f"{self.sandbox_url}/sandbox/options")

    def _start_endpoint(self, port: int) -> Callable[[], bool]:
        if self._isolated or port != self._settings.callback_port:
            self.environment[f"{PREFIX}CALLBACK_PORT"] = str(port)
        self._start_process("endpoint", "callbacks")
        self.endpoint_url = f"http://{self._endpoint_host()}:{port}"
        return lambda: _answers_200(f"{self.endpoint_url}/readyz")

    def _endpoint_host(self) -> str:
        """Return the endpoint's URL on this machine."""
        host = HOST if self._isolated else self._settings.callback_host
        if host in ("", "0.0.0.0", "::"):  # noqa: S104 - asked, not bound
            return HOST
        return f"[{host}]" if ":" in host else host

    def _start_worker(self, name: str, app: str, *arguments: str) -> Callable[[], bool]:
        self._start_process(name, "celery", "-A", app, "worker", *arguments, "--loglevel=INFO")
        return lambda: _says_ready(self.processes.log(name))

    def _start_flower(self) -> Callable[[], bool]:
        port = free_port()
        self.flower_url = f"http://{HOST}:{port}"
        self._start_process("flower", "celery", "-A", "worker", "flower", f"--port={port}", f"--address={HOST}")
        return lambda: _answers_200(f"{self.flower_url}/healthcheck")


def _answers_200(url: str) -> bool:
    with requests.Session() as session:
        session.trust_env = False  # no proxy
        try:
            return bool(session.get(url, timeout=_ANSWER).status_code == 200)
        except requests.RequestException:
            return False


def _says_ready(log: Path) -> bool:
    try:
        # "wxcheck@host ready.", once it consumes its queues; asking by broadcast would cost a second of CPU
        return b" ready." in log.read_bytes()
    except FileNotFoundError:
        return False
