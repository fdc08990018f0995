"""A check does not fail for a Redis that is away or full when it ends.

Tests: worker.celery_parts.backend, store.connection
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis
from celery import Celery
from celery.app.task import Context
from celery.exceptions import BackendStoreError, ChordError
from kombu.exceptions import OperationalError

from store.connection import STORE_AWAY
from store.outbox.outbox import Run, run_begins
from store.records.records import Records
from tests.support.processes import eventually
from tests.support.system import System
from worker.celery_parts.backend import Backend, passes, use_backend

#: Celery's own call
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex")


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    """A Redis of its own."""
    system = System(tmp_path)
    yield system
    system.close()


@pytest.fixture(params=[True, False], ids=["one Redis", "results apart"])
def app(request: pytest.FixtureRequest, system: System) -> Iterator[Celery]:
    app = Celery("ending", broker=system.redis_url, backend=system.redis_url, set_as_current=False)
    app.conf.broker_transport_options = {"commits_ends": request.param}
    use_backend(app)
    assert isinstance(app.backend, Backend)
    app.backend.set_chord_size("album", 2)
    yield app
    app.close()


@pytest.fixture
def run() -> Iterator[Run]:
    with run_begins() as run:
        run.is_ending = True
        yield run


def because(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def part(app: Celery, number: int) -> Context:
    # of no task: of one that another test has imported, Celery would check the arguments
    body = app.signature("nobody.album", task_id="body", link_error=[app.signature("nobody.hide")])
    return Context(id=f"check-{number}", group="album", group_index=number, chord=dict(body), errbacks=[])


def counted(system: System) -> int:
    return int(system.redis.zcard("celery-taskset-meta-album.j"))


def test_a_verdict_is_counted_for_its_chord_though_the_connection_is_lost_on_the_way(
    system: System, app: Celery
) -> None:
    system.redis.client_pause(1000, all=False)

    def count() -> None:
        with run_begins() as run:
            run.is_ending = True
            app.backend.on_chord_part_return(part(app, 0), "SUCCESS", "pass")

    with ThreadPoolExecutor() as pool:
        counting = pool.submit(count)
        eventually(lambda: "evalsha" in {client["cmd"] for client in system.redis.client_list()}, "it is on its way")
        system.redis.client_kill_filter(_type="normal", skipme=True)
        counting.result()
    assert counted(system) == 1


def test_a_verdict_that_cannot_be_stored_breaks_the_run_and_fails_nothing(
    system: System, app: Celery, run: Run
) -> None:
    request = part(app, 0)
    system.redis.config_set("maxmemory", 1)
    try:
        app.backend.mark_as_done(request.id, "pass", request)
    except redis.exceptions.OutOfMemoryError as error:
        system.redis.config_set("maxmemory", 0)
        app.backend.mark_as_failure(request.id, error, request=request)
    assert run.is_broken
    assert app.backend.get_state(request.id) == "PENDING"
    assert counted(system) == 0


def test_a_check_that_is_on_the_shelf_is_not_failed_because_its_retry_could_not_be_told(app: Celery, run: Run) -> None:
    run.is_shelved = True
    app.backend.mark_as_failure("check-0", ValueError("not told"), request=part(app, 0))
    assert app.backend.get_state("check-0") == "PENDING"


def test_a_chord_whose_verdicts_cannot_be_read_is_not_failed(system: System, app: Celery, run: Run) -> None:
    system.redis.config_set("maxmemory", 1)
    try:
        system.redis.set("any", "thing")
    except redis.exceptions.OutOfMemoryError as error:
        # as Celery does with whatever it meets there
        system.redis.config_set("maxmemory", 0)
        app.backend.chord_error_from_stack(app.signature(part(app, 0).chord), ChordError(f"Join error: {error!r}"))
    assert run.is_broken
    assert app.backend.get_state("body") == "PENDING"
    assert not system.redis.exists("celery")


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
}


@pytest.mark.parametrize(("error", "does"), PASSING.values(), ids=PASSING)
def test_what_passes_by_itself_is_told_from_what_does_not(error: Exception, does: bool) -> None:
    assert passes(error) is does


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
    records = Records(system.redis, 60)
    for write in (lambda: system.redis.set("any", "other"), lambda: records.lease("task", "run", 5)):
        with pytest.raises(STORE_AWAY) as refused:
            write()
        assert code in (refused.value.status_code or "")
    system.redis.config_set("save", "")  # else it would not stop


def test_a_chord_with_a_check_that_failed_is_failed(app: Celery, run: Run) -> None:
    app.backend.on_chord_part_return(part(app, 0), "SUCCESS", "pass")
    app.backend.on_chord_part_return(part(app, 1), "FAILURE", ValueError("refused"))
    assert not run.is_broken
    assert app.backend.get_state("body") == "FAILURE"


def test_a_chord_whose_body_cannot_be_published_for_a_while_is_published_by_the_run_that_comes(
    system: System, app: Celery
) -> None:
    with Celery("cut off", broker="redis://127.0.0.1:1/0", backend=system.redis_url, set_as_current=False) as cut_off:
        cut_off.conf.update(
            broker_transport_options=app.conf.broker_transport_options, task_publish_retry_policy={"max_retries": 0}
        )
        use_backend(cut_off)
        with run_begins() as run:
            run.is_ending = True
            for number in (0, 1):
                cut_off.backend.on_chord_part_return(part(cut_off, number), "SUCCESS", "pass")
            assert run.is_broken
    assert not system.redis.exists("celery")
    app.backend.on_chord_part_return(part(app, 1), "SUCCESS", "pass")
    assert system.redis.llen("celery") == 1
