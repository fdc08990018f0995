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
