"""What becomes of a check whose end meets a Redis that is away or full: it is no failure of the check."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis
from celery import Celery
from celery.app.task import Context
from celery.exceptions import ChordError

from tests.support.processes import eventually
from tests.support.system import System
from worker.backend import Backend, use_backend
from worker.outbox import Run, run_begins

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


@pytest.fixture
def run() -> Iterator[Run]:
    with run_begins() as run:
        run.is_ending = True
        yield run


def part(app: Celery, number: int) -> Context:
    body = app.signature("application.album", task_id="body", link_error=[app.signature("application.hide")])
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


def test_a_chord_with_a_check_that_failed_is_failed(app: Celery, run: Run) -> None:
    app.backend.on_chord_part_return(part(app, 0), "SUCCESS", "pass")
    app.backend.on_chord_part_return(part(app, 1), "FAILURE", ValueError("refused"))
    assert not run.is_broken
    assert app.backend.get_state("body") == "FAILURE"
