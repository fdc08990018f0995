"""Each service of docker-compose.yml passes its own health check.

Tests: docker-compose.yml

No Docker engine is needed: the service's very command line runs as a process, with its environment from the file;
hosts and ports are those of this machine.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
import requests
import yaml

from config.misspelt import FOR_COMPOSE
from config.settings import PREFIX, Settings, SettingsError, load_settings
from ops.local.redis_server import find_server
from sandbox.credentials import DEMO_ENVIRONMENT
from tests.support.compose import COMPOSE, SERVICES, Missing, environment_of, interpolated
from tests.support.ports import free_port
from tests.support.processes import ROOT, eventually
from tests.support.system import AES_KEY, plain_client

PYTHON_SERVICES = [name for name in SERVICES if name != "redis"]

LOGIN = ("operator", "hushhush")
#: what the operator sets, here for the profile ``sandbox``
OPERATOR = {
    **DEMO_ENVIRONMENT,
    "WXCHECK_API_BASE": "http://sandbox:8090",
    "FLOWER_BASIC_AUTH": ":".join(LOGIN),
    "WXCHECK_BOARD_PASSWORD": LOGIN[1],
}


class Machine:
    """One loopback interface in place of the compose network."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ports = {port: str(free_port()) for port in ("6379", "8080", "8090", "5555", "8070")}
        self.programs = directory / "bin"
        self.programs.mkdir()
        # the command is to be the file's own; only where its program is found is this machine's affair
        (self.programs / "redis-server").symlink_to(find_server())
        cli = shutil.which("redis-cli")
        if cli is not None:
            # in the container of its server it finds that at the default port
            program = self.programs / "redis-cli"
            program.write_text(f'#!/bin/sh\nexec {shlex.quote(cli)} -p {self.ports["6379"]} "$@"\n')
            program.chmod(0o755)

    def here(self, service: str, value: str) -> str:
        """``value`` with the hosts, ports and paths of a service's container replaced by those of this machine."""
        value = re.sub(r"\b(redis|sandbox|endpoint)(?=:\d)", "127.0.0.1", value)
        value = value.replace("0.0.0.0", "127.0.0.1")  # noqa: S104 - here it is taken out
        value = re.sub(r"\b(6379|8080|8090|5555|8070)\b", lambda match: self.ports[match[0]], value)
        return value.replace("/tmp/", f"{self.directory}/{service}/")  # noqa: S108 - the container's own

    def environment(self, service: str) -> dict[str, str]:
        declared = environment_of(service, OPERATOR)
        return {
            "PATH": f"{self.programs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONUNBUFFERED": "1",
            **{name: self.here(service, value) for name, value in declared.items()},
        }

    def command(self, service: str) -> list[str]:
        command = shlex.split(self.here(service, interpolated(SERVICES[service]["command"], OPERATOR)))
        # in its container it has the default port and a directory of its own
        own = ["--port", self.ports["6379"], "--dir", str(self.directory)] if service == "redis" else []
        return command + own


class Service:
    """A service as a process, in a group of its own and in a directory where no .env is."""

    def __init__(self, name: str, machine: Machine) -> None:
        self.name = name
        self._machine = machine
        self._log = machine.directory / f"{name}.log"
        self._cwd = machine.directory / name
        self._cwd.mkdir()
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                machine.command(name),
                cwd=self._cwd,
                env=machine.environment(name),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def healthy(self) -> bool:
        """Runs its own health check."""
        assert self.process.poll() is None, f"{self.name} ended with {self.process.returncode}:\n{self.output}"
        kind, *command = (self._machine.here(self.name, interpolated(part, OPERATOR)) for part in self._check()["test"])
        check = ["/bin/sh", "-c", *command] if kind == "CMD-SHELL" else command
        seconds = float(str(self._check()["timeout"]).removesuffix("s"))
        # a machine that is busy with other tests is slower than the one that the time-out is for
        done = subprocess.run(
            check,
            cwd=self._cwd,
            env=self._machine.environment(self.name),
            capture_output=True,
            timeout=seconds * 4,
            check=False,
        )
        return done.returncode == 0

    def _check(self) -> dict[str, Any]:
        check: dict[str, Any] = SERVICES[self.name]["healthcheck"]
        return check

    def stop(self) -> int:
        """SIGTERM, then as long as compose would wait."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(float(str(SERVICES[self.name]["stop_grace_period"]).removesuffix("s")))

    def kill(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextmanager
def running(machine: Machine, *names: str) -> Iterator[dict[str, Service]]:
    with ExitStack() as stack:
        services: dict[str, Service] = {}
        for name in names:
            services[name] = Service(name, machine)
            stack.callback(services[name].kill)
            if name == "redis":
                eventually(lambda: store_answers(machine), "Redis answers")
        yield services


def store_url(machine: Machine) -> str:
    return f"redis://127.0.0.1:{machine.ports['6379']}/0"


def store_answers(machine: Machine) -> bool:
    with redis.Redis.from_url(store_url(machine)) as client:
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False


def test_every_service_runs_by_its_command_is_healthy_by_its_check_and_ends_cleanly(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    with running(machine, *SERVICES) as services:
        for name in PYTHON_SERVICES:
            eventually(services[name].healthy, f"the health check of {name} passes")
        if shutil.which("redis-cli"):
            assert services["redis"].healthy()
        with redis.Redis.from_url(store_url(machine), decode_responses=True) as client:
            settings = client.config_get("*")
            kept = {name: settings[name] for name in ("appendonly", "appendfsync", "maxmemory-policy")}
            assert kept == {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}

        # the workers of both kinds, the sandbox's push to the endpoint, and the worker of the pushes work together
        app = plain_client(store_url(machine))
        text = app.send_task("wxcheck.check_text", args=["sandbox:risky"], queue="wxcheck.text")
        url = f"https://img.example.com/{uuid.uuid4().hex}.jpg?sandbox=risky"
        picture = app.send_task("wxcheck.check_media", args=[url, "image"], queue="wxcheck.media")
        assert text.get(timeout=60)["suggest"] == "risky"
        assert picture.get(timeout=60)["suggest"] == "risky"
        app.close()

        flower = f"http://127.0.0.1:{machine.ports['5555']}"
        assert requests.get(f"{flower}/tasks", timeout=20).status_code == 401
        assert requests.get(f"{flower}/tasks", auth=LOGIN, timeout=20).status_code == 200
        order = {"args": ["a text"], "queue": "wxcheck.text"}
        sent = requests.post(f"{flower}/api/task/send-task/wxcheck.check_text", json=order, auth=LOGIN, timeout=20)
        assert (sent.status_code, "read only" in sent.text.lower()) == (403, True)

        board = f"http://127.0.0.1:{machine.ports['8070']}"
        assert requests.get(f"{board}/numbers.json", timeout=20).status_code == 401

        def shows_new_numbers() -> bool:
            shown = requests.get(f"{board}/numbers.json", auth=LOGIN, timeout=20)
            assert shown.status_code == 200
            return bool(shown.json()["stale_seconds"] == 0)

        eventually(shows_new_numbers, "the board shows new numbers")

        # Redis last, as depends_on has it
        for name in [*PYTHON_SERVICES, "redis"]:
            code = services[name].stop()
            assert code == 0, f"{name} ended with {code}:\n{services[name].output}"
            assert "Traceback" not in services[name].output, services[name].output


def test_a_worker_whose_store_went_away_becomes_unhealthy(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    with running(machine, "redis", "worker-push") as services:
        worker = services["worker-push"]
        eventually(worker.healthy, "the health check passes")
        services["redis"].kill()
        # not before: a round that was at work in the store may still touch it
        eventually(lambda: "sweep_failed" in worker.output, "the worker finds its store away")
        heartbeat = Path(machine.environment("worker-push")["WXCHECK_HEARTBEAT_FILE"])
        old = heartbeat.stat().st_mtime - 3600
        os.utime(heartbeat, (old, old))  # an hour passes
        time.sleep(3)  # some rounds: a worker that reached its store would touch it again
        assert not worker.healthy()


def test_flower_does_not_start_without_a_login() -> None:
    with pytest.raises(Missing, match="FLOWER_BASIC_AUTH: set it to user:password"):
        environment_of("flower", {})


def test_the_board_does_not_start_without_a_password() -> None:
    with pytest.raises(Missing, match="WXCHECK_BOARD_PASSWORD: set it to a password of the board"):
        environment_of("board", {})


def test_the_services_name_settings_that_exist_and_together_name_all() -> None:
    named = {name for service in SERVICES for name in environment_of(service, OPERATOR) if name.startswith(PREFIX)}
    assert named == {PREFIX + field.upper() for field in Settings.model_fields}


def test_a_service_gets_the_secrets_that_it_needs_and_no_other() -> None:
    def secrets_of(service: str) -> set[str]:
        return {
            name for name in environment_of(service, OPERATOR) if re.search("SECRET|TOKEN$|AES_KEY|APPS|PASSWORD", name)
        }

    pushes = {"WXCHECK_PUSH_TOKEN", "WXCHECK_PUSH_AES_KEY", "WXCHECK_PUSH_AES_KEY_PREVIOUS", "WXCHECK_APPS"}
    for name in ("worker-text", "worker-media", "worker-push"):
        assert secrets_of(name) == {"WXCHECK_SECRET", "WXCHECK_APPS"}
    assert secrets_of("endpoint") == pushes
    assert secrets_of("board") == {"WXCHECK_BOARD_PASSWORD", "WXCHECK_APPS"}
    assert secrets_of("flower") == set()


def test_secrets_may_be_files_named_as_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WXCHECK_SECRET", "")  # as compose hands over what is not set
    (tmp_path / "wxcheck_appid").write_text("wx0000000000000009\n")
    (tmp_path / "wxcheck_secret").write_text("from-a-file\n")
    (tmp_path / "wxcheck_apps").write_text('{"wx0000000000000008": {"secret": "from-another"}}\n')
    settings = Settings(_secrets_dir=tmp_path, _env_file=None)
    secrets = {appid: program.secret for appid, program in settings.programs.items()}
    told = {appid: secret and secret.get_secret_value() for appid, secret in secrets.items()}
    assert told == {"wx0000000000000009": "from-a-file", "wx0000000000000008": "from-another"}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_restarted_checked_and_reachable_from_this_machine_only(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    assert service["stop_grace_period"]
    assert service["healthcheck"]["test"]
    assert "inspect" not in str(service["healthcheck"]["test"])
    assert all(interpolated(port, OPERATOR).startswith("127.0.0.1:") for port in service.get("ports", []))
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"]
    assert not service.get("privileged")


def test_the_sandbox_starts_in_its_profile_only_and_publishes_no_port() -> None:
    profiles = {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service}
    assert profiles == {"sandbox": ["sandbox"]}
    assert "ports" not in SERVICES["sandbox"]


def test_every_queue_has_a_worker() -> None:
    consumed = re.findall(r"-Q (\S+)", " ".join(service.get("command", "") for service in SERVICES.values()))
    assert sorted(",".join(consumed).split(",")) == ["wxcheck.media", "wxcheck.push", "wxcheck.text"]


APPS = {
    "wxfirst": {"secret": "appsecretOfTheFirst", "push_token": "tokenOfTheFirst", "push_aes_key": AES_KEY},
    "wxsecond": {"secret": "appsecretOfTheSecond", "push_token": "tokenOfTheSecond", "text_per_minute": 7},
}


def part_of(process: str, apps: dict[str, Any]) -> str:
    """The output of ``wxcheck config apps``."""
    command = [str(Path(sys.executable).with_name("wxcheck")), "config", "apps", process]
    environment = {**os.environ, "WXCHECK_APPS": json.dumps(apps)}
    ran = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, timeout=60)
    return ran.stdout.strip()


@pytest.mark.parametrize(("service", "process"), [("endpoint", "endpoint"), ("board", "board")])
def test_endpoint_and_board_get_no_appsecret_of_several_mini_programs(
    service: str, process: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    operator = {**OPERATOR, "WXCHECK_APPID": "", "WXCHECK_APPS": json.dumps(APPS)}
    given = environment_of(service, {**operator, f"WXCHECK_COMPOSE_APPS_{process.upper()}": part_of(process, APPS)})
    assert "appsecret" not in str(given)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    programs = load_settings.__wrapped__(process).programs
    assert set(programs) == set(APPS)
    assert programs["wxsecond"].text_per_minute == 7
    tokens = {program.push_token and program.push_token.get_secret_value() for program in programs.values()}
    assert tokens == ({"tokenOfTheFirst", "tokenOfTheSecond"} if process == "endpoint" else {None})


@pytest.mark.parametrize("service", ["endpoint", "board"])
def test_a_service_that_lacks_its_part_of_apps_says_how_to_make_it(
    service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in environment_of(service, {**OPERATOR, "WXCHECK_APPS": json.dumps(APPS)}).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as told:
        load_settings.__wrapped__(service)
    assert f"set WXCHECK_COMPOSE_APPS_{service.upper()} to what `wxcheck config apps {service}` prints" in str(
        told.value
    )
    assert "appsecret" not in str(told.value)


def test_each_service_sees_the_files_of_its_own_secrets_only() -> None:
    mounted = {
        name: [interpolated(volume, {}) for volume in service["volumes"]]
        for name, service in SERVICES.items()
        if "volumes" in service and name != "redis"
    }
    workers = {name: ["./secrets/worker:/run/secrets:ro"] for name in ("worker-text", "worker-media", "worker-push")}
    others = {name: [f"./secrets/{name}:/run/secrets:ro"] for name in ("endpoint", "board", "sandbox")}
    assert mounted == {**workers, **others}


def test_redis_is_bounded_and_writes_nothing_but_its_data() -> None:
    service = SERVICES["redis"]
    assert re.search(r"--maxmemory 1gb\b", interpolated(service["command"], {}))
    assert interpolated(service["mem_limit"], {}) == "2g"
    assert service["user"] == "redis:redis"
    assert service["volumes"] == ["redis:/data"]
    assert service["tmpfs"] == "/tmp"  # noqa: S108 - in its container


def test_every_image_that_is_not_built_here_is_named_by_its_digest() -> None:
    stages = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    images = {service["image"] for service in SERVICES.values()} | set(stages)
    for image in images - {"wxcheck", "dependencies"}:
        assert re.fullmatch(r"[a-z/]+:[\w.-]+@sha256:[0-9a-f]{64}", image), image


def test_images_are_pinned_anew(tmp_path: Path) -> None:
    """The registry is one of the test's own: it is asked as docker would be."""
    for name in ("Dockerfile", "docker-compose.yml", "deploy/pin-images", "deploy/prometheus/docker-compose.yml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    docker = tmp_path / "docker"
    for digit in "ab":
        answer = f"sha256:{digit * 64}"
        docker.write_text(
            f'#!/bin/sh\n[ "$1 $2 $3" = "buildx imagetools inspect" ] && [ "$5" = --format ] || exit 1\necho {answer}\n'
        )
        docker.chmod(0o755)
        path = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
        subprocess.run([tmp_path / "deploy/pin-images"], check=True, env=path, capture_output=True, timeout=60)
        services = yaml.safe_load((tmp_path / "docker-compose.yml").read_text())["services"]
        beside = yaml.safe_load((tmp_path / "deploy/prometheus/docker-compose.yml").read_text())["services"]
        assert services["redis"]["image"] == f"redis:7-alpine@{answer}"
        assert services["endpoint"]["image"] == "wxcheck"
        assert all(service["image"].endswith(f"@{answer}") for service in beside.values())
        stages = re.findall(r"^FROM (\S+)( AS \w+)?$", (tmp_path / "Dockerfile").read_text(), re.MULTILINE)
        assert [stage[0] for stage in stages] == [
            f"python:3.11-slim@{answer}",
            "dependencies",
            f"python:3.11-slim@{answer}",
        ]
    docker.write_text("#!/bin/sh\necho no such manifest\n")
    before = (tmp_path / "docker-compose.yml").read_text()
    failed = subprocess.run([tmp_path / "deploy/pin-images"], check=False, env=path, capture_output=True, timeout=60)
    assert failed.returncode == 1
    assert b"docker gives no digest for" in failed.stderr
    assert (tmp_path / "docker-compose.yml").read_text() == before


def test_redis_keeps_its_data_in_a_named_volume() -> None:
    assert SERVICES["redis"]["volumes"] == ["redis:/data"]
    assert "redis" in COMPOSE["volumes"]


def test_the_image_copies_what_exists_what_is_not_ignored_and_no_secret() -> None:
    lines = (ROOT / ".dockerignore").read_text().split()
    taken = {line[1:] for line in lines if line.startswith("!")}
    assert "*" in lines
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    sources = {source for line in copied for source in line.split()}
    assert sources == taken
    assert all((ROOT / source).exists() for source in sources)
    assert not any(fnmatch.fnmatch(source, pattern) for source in sources for pattern in (".env*", "secrets*", "."))


def test_the_image_runs_as_nobody_special_with_what_the_lock_file_names() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    final = dockerfile.rpartition("\nFROM ")[2]
    assert re.search(r"^USER wxcheck$", final, re.MULTILINE)
    for install in re.findall(r"pip install .*", dockerfile):
        assert "--require-hashes" in install or "--no-index" in install


def test_the_example_of_a_dotenv_names_every_setting_and_no_other() -> None:
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    named = set(re.findall(r"^#?(WXCHECK_\w+)=", example, re.MULTILINE))
    composed = {f"{PREFIX}{name.upper()}" for name in FOR_COMPOSE}
    assert named - composed == {PREFIX + field.upper() for field in Settings.model_fields}
    file = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    assert all(f"${{{name}" in file for name in composed | {"FLOWER_BASIC_AUTH", "FLOWER_PORT", "FLOWER_READ_ONLY"})
