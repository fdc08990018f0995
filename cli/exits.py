"""How a command ends: its exit code, and what it says where it could not do what was asked.

0  well
1  the answer is "no": review or risky, something is wrong, nobody knows the check
2  it could not be done, or not be understood
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

WELL = 0
NO = 1
COULD_NOT = 2


def fail(message: str) -> NoReturn:
    """Says why it could not be done, and ends the command."""
    click.echo(f"wxcheck: {message}", err=True)
    sys.exit(COULD_NOT)


@contextmanager
def store_answers() -> Iterator[None]:
    """Ends the command with a message where the store does not answer what is asked within."""
    from redis import RedisError

    try:
        yield
    except RedisError as error:
        fail(store_away(error))


@contextmanager
def broker_answers() -> Iterator[None]:
    """The same of broker and result backend."""
    from celery.exceptions import BackendError
    from kombu.exceptions import OperationalError
    from redis import RedisError

    try:
        yield
    except (OperationalError, RedisError, BackendError, RuntimeError) as error:  # the last two are Celery's
        fail(f"broker or result backend: {described(error)}")


def store_away(error: BaseException) -> str:
    """What is said where the store does not answer."""
    return f"the store: {described(error)}; does WXCHECK_REDIS_URL lead to a Redis that runs?"


def described(error: BaseException) -> str:
    """An error in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
