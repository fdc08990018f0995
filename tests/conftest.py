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
    *("test_prometheus_server.py", "RabbitMQ", "rabbitmq", "any_number_of_tasks"),
    *("a_clock_that_is_slewed", "takes_a_queue_from_a_worker", "right_that_is_taken_away"),
)
#: modules whose tests share a RabbitMQ, which each process would start anew
SHARING = ("test_ending.py", "test_intake.py", "test_broker_inbox.py")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Has the longest tests begin first, a share of them in each process: the last one would run alone at the end."""
    count = int(getattr(config, "workerinput", {}).get("workercount", 1))
    together: dict[str, list[pytest.Item]] = {}
    others = []
    for item in items:
        if not any(part in item.nodeid for part in LONGEST):
            others.append(item)
        else:
            shares_server = "RabbitMQ" in item.nodeid and item.path.name in SHARING
            together.setdefault(item.path.name if shares_server else item.nodeid, []).append(item)
    shares: list[list[pytest.Item]] = [[] for _ in range(count)]
    for group in together.values():
        min(shares, key=len).extend(group)
    # pytest-xdist gives each process as many tests in a row, the last ones perhaps one more
    left = len(items)
    for number, share in enumerate(shares):
        size = left // (count - number)
        missing = max(0, size - len(share))
        share += others[:missing]
        del others[:missing]
        left -= len(share)
    items[:] = [item for share in shares for item in share]


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
