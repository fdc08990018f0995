"""Nothing of the developer's own environment reaches a test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.support.redis_choice import choose, described

if TYPE_CHECKING:
    from tests.support.browser import Browser

# before any test module is imported: importing the workers' app reads the settings
for name in list(os.environ):
    if name.startswith(("WXCHECK_", "CELERY_", "FLOWER_", "PHOTO_APP_")) or name.lower().endswith("_proxy"):
        del os.environ[name]


#: parts of the names of tests that take longer than fifteen seconds on two cores
LONGEST = (
    *("test_chaos.py::", "test_matrix.py", "test_quota_model.py", "test_secrets.py", "test_load.py"),
    *("test_prometheus_server.py", "RabbitMQ", "rabbitmq", "pool_process_is_killed", "any_number_of_tasks"),
    *("catches_up_three_seconds", "takes_a_queue_from_a_worker", "right_that_is_taken_away"),
)
#: of those, one that waits for two of its kind
LATER = "one Redis-connections"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Has the longest tests begin first, a share of them in each process: the last one would run alone at the end."""
    count = int(getattr(config, "workerinput", {}).get("workercount", 1))
    longest = [item for item in items if LATER not in item.nodeid and any(part in item.nodeid for part in LONGEST)]
    first = set(longest)
    others = [item for item in items if item not in first]
    share = -(-len(others) // count)
    # pytest-xdist gives each process as many tests in a row
    shares = [longest[one::count] + others[one * share : (one + 1) * share] for one in range(count)]
    items[:] = [item for of_one in shares for item in of_one]


def pytest_configure() -> None:
    try:
        choose()
    except LookupError as error:
        raise pytest.UsageError(str(error)) from None


def pytest_report_header() -> str:
    return f"redis: {described()}"


# an example may take its time on a busy machine
settings.register_profile("wxcheck", deadline=None)
settings.load_profile("wxcheck")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, for the tests of one module."""
    from tests.support.browser import chromium  # here: most test processes need no Playwright

    with chromium() as running:
        yield running
