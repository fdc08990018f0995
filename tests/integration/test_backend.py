"""A check does not fail for a Redis that is away or full when it ends.

Tests: worker.ending.backend, store.connection
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis
from celery import Celery
from celery.app.task import Context
from celery.exceptions import BackendStoreError
from kombu.exceptions import OperationalError

from store.connection import STORE_AWAY
from store.places.forms import Message
from store.places.places import Places
from store.places.shard import SHARD
from store.quota.clock import Watch
from tests.support.processes import eventually
from tests.support.system import System
from worker.ending.backend import Backend, passes, relaying, use_backend
from worker.ending.left import Left, keeping

#: Celery's own call
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex")


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    """A Redis of its own."""
    system = System(tmp_path)
    yield system
    system.close()


@pytest.fixture
def app(system: System) -> Iterator[Celery]:
    app = Celery("ending", broker=system.redis_url, backend=system.redis_url, set_as_current=False)
    use_backend(app)
    assert isinstance(app.backend, Backend)
    app.backend.set_chord_size("album", 2)
    yield app
    app.close()


def because(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def part(app: Celery, number: int) -> Context:
    # of no task: of one that another test has imported, Celery would check the arguments
    body = app.signature("nobody.album", task_id="body", link_error=[app.signature("nobody.hide")])
    return Context(id=f"check-{number}", group="album", group_index=number, chord=dict(body), errbacks=[])


def test_a_verdict_is_counted_for_its_chord_though_the_connection_is_lost_on_the_way(
    system: System, app: Celery
) -> None:
    system.redis.client_pause(1000, all=False)

    def count() -> None:
        with keeping(Left()), relaying(lambda: None):
            app.backend.on_chord_part_return(part(app, 0), "SUCCESS", "pass")

    with ThreadPoolExecutor() as pool:
        counting = pool.submit(count)
        eventually(lambda: "evalsha" in {client["cmd"] for client in system.redis.client_list()}, "it is on its way")
        system.redis.client_kill_filter(_type="normal", skipme=True)
        counting.result()
    assert int(system.redis.zcard("celery-taskset-meta-album.j")) == 1


def test_what_was_to_follow_a_success_is_not_left_with_the_failure_that_comes_after(app: Celery) -> None:
    left, request = Left(), part(app, 0)
    with keeping(left):
        app.send_task("app.publish", queue="anywhere", ignore_result=True)
        app.backend.mark_as_done("check-0", "pass", request=request)
        app.backend.mark_as_failure("check-0", ValueError("not followed up"), request=request)
        # Celery takes an error in publishing errbacks for the check's
        app.backend.mark_as_failure("check-0", ValueError("an errback's"), request=request)
    assert [(part.state, part.result["exc_message"]) for part in left.chord_parts] == [
        ("FAILURE", ("not followed up",))
    ]
    assert ["not followed up" in result.value for result in left.results] == [True]
    assert left.publications == []


@pytest.mark.parametrize("url", ["redis://localhost:1/0", "rediss://localhost:1/0?ssl_cert_reqs=required"])
def test_every_redis_is_used_so(url: str) -> None:
    with Celery("any", backend=url, set_as_current=False) as app:
        use_backend(app)
        assert isinstance(app.backend, Backend)


AWAY = redis.exceptions.ConnectionError("away")
PASSING = {
    "the store is away": (AWAY, True),
    "a result could not be stored in all its attempts": (because(BackendStoreError("not stored"), AWAY), True),
    "a result could not be read in all its attempts": (because(RuntimeError("retry limit"), AWAY), True),
    "a result is too large": (BackendStoreError("too large"), False),
    "the broker is away": (OperationalError("away"), True),
    "the broker is away, says redis-py": (because(OperationalError("away"), AWAY), True),
    "the broker is away, says the system": (because(OperationalError("away"), ConnectionRefusedError()), True),
    "a queue is another kind of key": (because(OperationalError(), redis.exceptions.ResponseError("WRONGTYPE")), False),
    "no rights": (because(OperationalError(), redis.exceptions.NoPermissionError("NOPERM")), True),
    "full": (because(OperationalError(), redis.exceptions.OutOfMemoryError("OOM")), True),
    "an unknown compression": (because(OperationalError("'rar'"), KeyError("rar")), False),
    "a fault of ours": (TypeError(), False),
    "the broker's connection is gone": (ConnectionResetError(), True),
}


@pytest.mark.parametrize(("error", "does"), PASSING.values(), ids=PASSING)
def test_what_passes_by_itself_is_told_from_what_does_not(error: Exception, does: bool) -> None:
    with Celery("any", broker="redis://localhost:1/0", set_as_current=False) as app:
        assert passes(error, app) is does


@pytest.mark.parametrize(
    ("setting", "value", "code"),
    [("min-replicas-to-write", "1", "NOREPLICAS"), ("maxmemory", "1", "OOM"), ("save", "3600 1", "MISCONF")],
    ids=["no replicas", "full", "a disk that cannot be written"],
)
def test_a_redis_that_takes_no_writes_is_taken_for_one_that_is_away(
    system: System, setting: str, value: str, code: str
) -> None:
    if code == "MISCONF":
        where = system.redis.config_get("dir", "dbfilename")
        Path(str(where["dir"]), str(where["dbfilename"])).mkdir()
    system.redis.set("any", "thing")
    system.redis.config_set(setting, value)
    if code == "MISCONF":
        system.redis.bgsave()
        eventually(lambda: system.redis.info("persistence")["rdb_last_bgsave_status"] == "err", "it cannot be written")
    places = Places(system.redis, SHARD, Watch(), call_timeout=6)
    check = Message("task", "{}", "text", "wx1", 3, "")
    for write in (lambda: system.redis.set("any", "other"), lambda: places.file([check])):
        with pytest.raises(STORE_AWAY) as refused:
            write()
        assert code in (refused.value.status_code or "")
    system.redis.config_set("save", "")  # else it would not stop
