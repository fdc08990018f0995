"""One wxcheck for all tests of a pytest process: starting one costs seconds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from tests.support.places_world import PlacesWorld
from tests.support.quota_world import embedded
from tests.support.system import System, working


@pytest.fixture(scope="session")
def running_system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    # its worker also knows the application's errback of the new signature, which only the failing worker can run
    options = ("-I", "tests.support.application", "--loglevel=DEBUG")
    with working(tmp_path_factory.mktemp("system"), *options) as system:
        yield system


@pytest.fixture(scope="module")
def patient_system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """One whose only retry waits for a minute: what a test does meanwhile is early enough on a busy machine too."""
    system = System(tmp_path_factory.mktemp("patient"), API_RETRIES="1", RETRY_DELAY="60")
    try:
        system.sandbox()
        system.worker()
        system.application()
        yield system
    finally:
        system.close()


@pytest.fixture
def system(running_system: System) -> System:
    """A system whose sandbox and store have forgotten the tests before."""
    running_system.reset_sandbox()
    running_system.forget()
    running_system.redis.delete("application:runs")
    return running_system


@pytest.fixture(scope="module")
def server() -> Iterator[redis.Redis]:
    """A client of a Redis of the module's own."""
    with embedded() as client:
        yield client


@pytest.fixture
def store(server: redis.Redis) -> Iterator[PlacesWorld]:
    """A store with the places of the checks, whose clock is the test's."""
    found = PlacesWorld(server)
    yield found
    found.close()
